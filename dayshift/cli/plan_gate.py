"""What the gate could see of a plan: which meter decides, and how fast it would tell.

For `plan`, before anything moves. The figures are the gate's own; here they are asked
for each stream and region, and laid out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap

import msgspec

from dayshift.core.deciding import deciding, look_ms
from dayshift.gates import RungSpeed, resolution
from dayshift.model.calibration import Calibration
from dayshift.model.estate import GatePolicy, Service
from dayshift.model.plan import PassPlan, Plan
from dayshift.surfaces import words

LEAD = " " * 11
WIDTH = 77
NAMED, COLUMN, COLUMNS_MAX = 29, 12, 4
EXACT_MS_MAX = 10_000
UNTRUSTED = (
    "the comparison may only hold traffic, errors above the absolute limit alone turn "
    "it back; `dayshift gate calibrate --write` learns from history"
)


class GateSight(msgspec.Struct, frozen=True):
    """One stream of users at one region's return; `mrps` 0: traffic is not known.

    `rungs` says for each share how fast half of the requests failing, ten times and
    twice the errors would be caught, milliseconds; None: not within an hour.
    """

    stream: str
    region: str
    meter: str
    look_ms: int
    mrps: int
    trusted: bool
    calibration: Calibration | None = None
    rungs: tuple[RungSpeed, ...] = ()


def gate_sights(plan: Plan) -> tuple[GateSight, ...]:
    """For each service that moves, each stream of its users and each pass."""
    return tuple(
        _sight(plan, service, one, stream, meter.name, look_ms(meter))
        for service in plan.estate.moving()
        for stream, meter in deciding(service).items()
        for one in plan.passes
        if service.shares.get(one.region)
    )


def _sight(
    plan: Plan, service: Service, one: PassPlan, stream: str, meter: str, every_ms: int
) -> GateSight:
    policy = plan.estate.policy.gate
    learned = next(
        (
            known
            for known in plan.estate.calibrations
            if (known.stream, known.region) == (stream, one.region)
        ),
        None,
    )
    mrps = learned.mrps if learned else 0
    if plan.measured and stream == service.name:
        mrps = 1000 * sum(plan.measured.load_rps.get(stream, {}).values())
    most = service.shares[one.region]
    ramp = sorted({min(stage.share_bp, most) for stage in one.ramp})
    rungs = resolution(policy, learned, every_ms, mrps, ramp) if mrps else ()
    trusted = learned.trusted if learned else policy.trusted
    return GateSight(stream, one.region, meter, every_ms, mrps, trusted, learned, rungs)


def gate_lines(sights: Sequence[GateSight], policy: GatePolicy) -> Iterator[str]:
    """Each stream once; regions that would be judged alike share a table."""
    for stream in dict.fromkeys(one.stream for one in sights):
        mine = [one for one in sights if one.stream == stream]
        first = mine[0]
        every = words.span if first.look_ms >= 1_000 else words.exact
        yield (
            f"judged     {stream}: meter {first.meter} decides, new counts every "
            f"{every(first.look_ms)}"
        )
        for alike in _alike(mine):
            names = " and ".join(one.region for one in alike)
            said = wrap(f"{names}: {_calibration(alike[0], policy)}", WIDTH)
            for line in (*said, *_table(alike[0])):
                yield f"{LEAD}{line}"
    if not sights:
        yield "judged     NOTHING: no meter on the users' side may speak at the gate"


def _alike(sights: Iterable[GateSight]) -> list[list[GateSight]]:
    found: dict[bytes, list[GateSight]] = {}
    for one in sights:
        learned = one.calibration
        anywhere = msgspec.structs.replace(
            one,
            region="",
            calibration=learned and msgspec.structs.replace(learned, region=""),
        )
        found.setdefault(msgspec.json.encode(anywhere), []).append(one)
    return list(found.values())


def _calibration(one: GateSight, policy: GatePolicy) -> str:
    """Learned when and from what, trusted or not, and what that means."""
    learned = one.calibration
    if learned is None:
        if policy.trusted:
            return "nothing learned; what the policy says of noise is trusted"
        return f"no calibration: {UNTRUSTED}"
    day = f" on {words.day(learned.learned_wall_ms)}" if learned.learned_wall_ms else ""
    usual = learned.signals[0].usual_ppb if learned.signals else 0
    said = (
        f"learned{day} from {words.span(learned.span_ms)} and "
        f"{words.many(learned.requests, 'request')}, usually "
        f"{words.rate(usual, 1_000_000_000)} errors"
    )
    if learned.trusted:
        return f"{said}; trusted: the comparison may turn traffic back"
    return f"{said}; NOT trusted ({learned.why}): {UNTRUSTED}"


def _table(one: GateSight) -> list[str]:
    """How fast each rung would show three kinds of trouble."""
    if not one.rungs:
        return ["traffic is not known, so nobody can say how fast anything would show"]
    rungs = _some(one.rungs)
    rps = f"at {words.per_second(one.mrps)} requests/s, seen in"
    rows = [
        (rps, [words.short_share(rung.share_bp) for rung in rungs]),
        ("half of the requests fail", [_took(rung.outage_ms) for rung in rungs]),
    ]
    if one.trusted:
        rows += [
            ("ten times the errors", [_took(rung.tenfold_ms) for rung in rungs]),
            ("twice the errors", [_took(rung.twofold_ms) for rung in rungs]),
        ]
    out = [
        f"{name:<{NAMED}}" + "".join(f"{cell:>{COLUMN}}" for cell in cells)
        for name, cells in rows
    ]
    unseen = any(words.UNKNOWN in cells for _, cells in rows)
    return [*out, f"{words.UNKNOWN}: not within an hour"] if unseen else out


def _some(rungs: Sequence[RungSpeed]) -> list[RungSpeed]:
    """As many as a page has room for, spread over the ramp, first and last included."""
    if len(rungs) <= COLUMNS_MAX:
        return list(rungs)
    last = len(rungs) - 1
    return [rungs[last * n // (COLUMNS_MAX - 1)] for n in range(COLUMNS_MAX)]


def _took(ms: int | None) -> str:
    if ms is None:
        return words.UNKNOWN
    return f"{ms / 1000:.1f} s" if ms < EXACT_MS_MAX else words.about(ms)
