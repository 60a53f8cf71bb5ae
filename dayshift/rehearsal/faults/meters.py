"""Meters that are silent, stuck, late or wrong, and probes that flap."""

from __future__ import annotations

from functools import partial

from dayshift.rehearsal.meters import MeterLie, SimulatedMeter
from dayshift.rehearsal.weather import End, Fault, Scene


def _lie(how: MeterLie, scene: Scene) -> End:
    """One meter of the region in flight; harder: everywhere; hardest: all meters."""
    meters = _meters(scene)
    for meter in meters:
        for region in _where(scene, meter):
            meter.lie(how, region)

    def over() -> None:
        for meter in meters:
            meter.be_honest()

    return over


def _meters(scene: Scene) -> list[SimulatedMeter]:
    every = [scene.stage.meters[key] for key in sorted(scene.stage.meters)]
    return every if scene.strength > 2 else [scene.draw.choice(every)]


def _where(scene: Scene, meter: SimulatedMeter) -> tuple[str, ...]:
    regions = tuple(scene.stage.world.services[meter.service].shares)
    if scene.strength > 1 or scene.target not in regions:
        return regions
    return (scene.target,)


def _delay(scene: Scene) -> End:
    meter = _meters(scene)[0]
    meter.delay_ms = 1_000 * scene.strength

    def over() -> None:
        meter.delay_ms = 0

    return over


def _contradict(scene: Scene) -> End:
    """Users still come past the dial, and one side's meter does not see them."""
    side = scene.draw.choice(sorted({m.side for m in scene.stage.meters.values()}))
    blind = [m for _, m in sorted(scene.stage.meters.items()) if m.side == side]
    for meter in blind:
        meter.lie(MeterLie.FROZEN, scene.target)
    places = scene.stage.world.every(scene.target)
    for place in places:
        place.stray_rps += 3 * scene.strength

    def over() -> None:
        scene.stage.world.advance()
        for place in places:
            place.stray_rps -= 3 * scene.strength
        for meter in blind:
            meter.be_honest()

    return over


def _restart(scene: Scene) -> End:
    """Processes restart: every counter of one region begins again."""
    for place in scene.stage.world.every(scene.one_of(scene.stage.regions())):
        place.restart()
    return lambda: None


def _flap(scene: Scene) -> End:
    """Every third answer of the probes of one region is bad, whatever it is like."""
    region = scene.one_of(scene.stage.regions())
    probes = [one for _, one in sorted(scene.stage.probes.items())]
    asked = [0]

    def bent(where: str) -> bool:
        asked[0] += where == region
        return where == region and asked[0] % 3 == 0

    for one in probes:
        one.bent = bent

    def over() -> None:
        for one in probes:
            one.bent = lambda region: False

    return over


def _fail(scene: Scene) -> End:
    """The probes' own path is broken: they fail everywhere, users are served."""
    probes = [one for _, one in sorted(scene.stage.probes.items())]
    for one in probes:
        one.bent = lambda region: True

    def over() -> None:
        for one in probes:
            one.bent = lambda region: False

    return over


def _residue(scene: Scene) -> End:
    """Something that nobody declared reaches the region in flight."""
    places = scene.stage.world.every(scene.target)
    for place in places:
        place.residue_rpm["scanner"] = 30 * scene.strength

    def over() -> None:
        scene.stage.world.advance()
        for place in places:
            place.residue_rpm.pop("scanner", None)

    return over


def _says(name: str, how: MeterLie, says: str) -> Fault:
    return Fault(name, says, partial(_lie, how), (5_000, 400_000))


FAULTS = (
    _says("meter-silent", MeterLie.BLIND, "a meter gives nothing, or NaN"),
    _says("meter-nonsense", MeterLie.FAULT, "a meter gives what is no number"),
    _says("meter-stale", MeterLie.STALE, "a meter shows an old reading and says so"),
    _says("meter-frozen", MeterLie.FROZEN, "a meter shows old counts as new ones"),
    _says("meter-negative", MeterLie.NEGATIVE, "a meter counts below zero"),
    _says("meter-reset", MeterLie.RESET, "a meter starts from zero under its old name"),
    _says("meter-renamed", MeterLie.NEW_SERIES, "a meter starts from zero, renamed"),
    _says("meter-half", MeterLie.HALF, "a meter sees one of two requests"),
    _says("meter-hangs", MeterLie.HANG, "a meter does not answer"),
    Fault("meter-late", "a meter's counts come seconds late", _delay),
    Fault(
        "meters-contradict",
        "users come past the dial, and the meters of one side do not see them",
        _contradict,
    ),
    Fault("counters-restart", "all counters of a region begin again", _restart),
    Fault("probes-flap", "every third probe of one region fails", _flap),
    Fault("probes-fail", "no probe gets through, though users do", _fail),
    Fault("residue-unknown", "an undeclared client reaches the region", _residue),
)
