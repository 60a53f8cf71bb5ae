"""What happens to regions and users: surges, deaths, sick services, bad releases."""

from __future__ import annotations

from dayshift.model.plan import Plan
from dayshift.rehearsal import stage as staging
from dayshift.rehearsal.weather import End, Fault, Scene


def _surge(scene: Scene) -> End:
    """More users than planned; at its hardest more than the survivors can take."""
    world = scene.stage.world
    world.advance()
    world.surge_permille = 1000 + 150 * scene.strength

    def over() -> None:
        world.advance()
        world.surge_permille = 1000

    return over


def _dies(scene: Scene) -> End:
    region = scene.survivor()
    scene.stage.set_up(region, False)
    return lambda: scene.stage.set_up(region, True)


def _target_dies(scene: Scene) -> End:
    region = scene.target
    scene.stage.set_up(region, False)
    return lambda: scene.stage.set_up(region, True)


def _sick(scene: Scene) -> End:
    """A survivor answers errors; it is not dead, and not well."""
    region, ppm = scene.survivor(), 40_000 * scene.strength
    places = [one for one in scene.stage.world.every(region) if not one.why]
    for place in places:
        place.error_ppm, place.why = ppm, "weather: errors"

    def over() -> None:
        scene.stage.world.advance()
        for place in places:
            if place.why == "weather: errors":
                place.error_ppm, place.why = 0, ""

    return over


def _slow(scene: Scene) -> End:
    """The region in flight answers slowly once it is back."""
    places = scene.stage.world.every(scene.target)
    for place in places:
        place.slow_ppm += 60_000 * scene.strength

    def over() -> None:
        scene.stage.world.advance()
        for place in places:
            place.slow_ppm = max(0, place.slow_ppm - 60_000 * scene.strength)

    return over


def _cold(scene: Scene) -> End:
    """Caches take much longer to warm than the policy thinks."""
    scene.stage.world.cold_ms += 120_000 * scene.strength
    return lambda: None


def _bad_release(scene: Scene) -> End:
    """The new version hurts users; only the work brings it."""
    for worker in scene.stage.workers.values():
        worker.release_ppm = (5_000, 50_000, 300_000)[scene.strength - 1]
    return lambda: None


def _stuck(scene: Scene) -> End:
    """Long requests stay in flight in the region for a while."""
    places = scene.stage.world.every(scene.target)
    for place in places:
        place.stuck += scene.strength

    def over() -> None:
        for place in places:
            place.stuck -= scene.strength

    return over


def _strays(scene: Scene) -> End:
    """Users still come past every dial: old DNS answers, pinned clients."""
    places = scene.stage.world.every(scene.target)
    for place in places:
        place.stray_rps += scene.strength

    def over() -> None:
        scene.stage.world.advance()
        for place in places:
            place.stray_rps -= scene.strength

    return over


def _releases(plan: Plan) -> bool:
    return any(one.steps for one in plan.change.regions)


FAULTS = (
    Fault("surge", "more users come than planned", _surge, (10_000, 900_000)),
    Fault("survivor-dies", "a region that serves for the other dies", _dies),
    Fault("region-dies", "the region in flight dies", _target_dies),
    Fault("survivor-sick", "a region that serves for the other gives errors", _sick),
    Fault("region-slow", "the region is slow", _slow, (10_000, 600_000)),
    Fault("caches-cold", "caches warm more slowly than the policy thinks", _cold),
    Fault("bad-release", "the new version hurts users", _bad_release, needs=_releases),
    Fault("requests-stuck", "long requests do not end", _stuck),
    Fault("users-stray", "users reach the region past the dials", _strays),
)
assert staging.FULLNESS_PERMILLE * 1450 > 1_000_000, "the hardest surge must overload"
