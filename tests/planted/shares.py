"""Bugs about who gets users: last server, one region, targets, approval, capacity,
shared fate (invariants 1, 2, 4, 5, 9 and 11)."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from dayshift.core import capacity
from dayshift.core.desk import Desk
from dayshift.model.dial import ALL, DialKind, Setting
from dayshift.model.evidence import Side
from dayshift.model.records import ActionKind, Phase
from tests.planted import plans
from tests.planted.frame import CALM, Mutant, Patch, Storm, without_checks, wraps

SET = ActionKind.SET_DIAL
NO_FAULT: Patch = ("dayshift.model.dial.Setting.fault", lambda self: None)
NO_DEVICE_CHECK: Patch = ("dayshift.drivers.base.setting_reason", lambda *args: None)
ASLEEP = (Storm("controller-sleeps-writing", Phase.DRAINING, 60_000, 100),)
SURGE = (Storm("surge", None, 900_000),)
DEAD_SURVIVOR = (Storm("survivor-dies", Phase.DRAINING, 90_000, 1_000),)


@wraps
def errors_are_traffic(former: Any) -> Any:
    """Whoever has requests serves, whatever becomes of them."""

    def serving(sight: Any, service: str, region: str, policy: Any) -> bool:
        meters = sight.place(service, region).meters
        return any(one.mrps > 0 for one in meters if one.side is Side.USERS)

    return serving


@wraps
def _wrong_unit(former: Any) -> Any:
    """A clock that was read in the wrong unit."""
    return lambda since, now: former(since, now) // 100


@wraps
def _one_fewer(former: Any) -> Any:
    def enough(sight: Any, service: Any, away: Any, policy: Any) -> Any:
        lower = replace(policy, serving=policy.serving - 1)
        return former(sight, service, away, lower)

    return enough


@wraps
def no_proof(former: Any) -> Any:
    def token(*args: Any) -> Any:
        return replace(former(*args), serving=())

    return token


@wraps
def robs_another(former: Any) -> Any:
    """What a region gives up is taken from another one as well."""

    def row_with(shares: dict[str, int], region: str, share: int) -> dict[str, int]:
        row: dict[str, int] = former(shares, region, share)
        others = sorted((name for name in row if name != region), key=row.__getitem__)
        moved = min(2_000, row[others[0]])
        return {
            **row,
            others[0]: row[others[0]] - moved,
            others[-1]: row[others[-1]] + moved,
        }

    return row_with


@wraps
def next_one_too(former: Any) -> Any:
    """A switch takes the neighbour out together with the region."""

    def setting(dial: Any, service: Any, region: str, row: Any) -> Setting:
        made: Setting = former(dial, service, region, row)
        if made.kind is not DialKind.SWITCH or row[region]:
            return made
        on = dict(made.rows[ALL])
        on[[name for name, share in on.items() if share][-1]] = 0
        return Setting(made.kind, {ALL: on})

    return setting


@wraps
def neighbour_instead(former: Any) -> Any:
    """The names of a row are in another order than its shares."""

    def row_with(shares: dict[str, int], region: str, share: int) -> dict[str, int]:
        names = sorted(shares)
        wrong = names[(names.index(region) + 1) % len(names)]
        row: dict[str, int] = former(shares, wrong, min(share, shares[wrong]))
        return row

    return row_with


@wraps
def leaks(former: Any) -> Any:
    """A row of shares that loses one percent on the way."""

    def row_with(shares: dict[str, int], region: str, share: int) -> dict[str, int]:
        row: dict[str, int] = former(shares, region, share)
        rich = max(sorted(row), key=lambda name: row[name])
        return {**row, rich: row[rich] - 100}

    return row_with


@wraps
def _below_zero(former: Any) -> Any:
    """The last step of a drain goes one step too far."""

    def row_with(shares: dict[str, int], region: str, share: int) -> dict[str, int]:
        row: dict[str, int] = former(shares, region, share)
        if row[region]:
            return row
        rich = max(sorted(row), key=lambda name: row[name])
        return {**row, region: -100, rich: row[rich] + 100}

    return row_with


@wraps
def _anybody(former: Any) -> Any:
    """Late arrivals are forwarded to whoever matches."""

    def forward(usual: Any, service: Any, region: str, share: int) -> Setting:
        made: Setting = former(usual, service, region, share)
        row = {**made.rows[region], "*": 0}
        return Setting(made.kind, {**made.rows, region: row})

    return forward


@wraps
def a_bit_more(former: Any) -> Any:
    """What is set is a little off what was approved."""

    def set_dial(
        self: Any, dial: str, setting: Setting, key: str, revert: Any = None
    ) -> bool:
        if key == "drain/0":
            row = dict(setting.rows[ALL])
            poor, rich = sorted(row, key=lambda name: row[name])[:2]
            row[poor], row[rich] = row[poor] + 100, row[rich] - 100
            setting = Setting(setting.kind, {ALL: row})
        return bool(former(self, dial, setting, key, revert))

    return set_dial


@wraps
def _rung_of_its_own(former: Any) -> Any:
    """A rung in between, that nobody planned."""

    def take(self: Desk, stage: Any, key: str, revert: Any = None) -> bool:
        if "rung/" not in key or not stage.share_bp or key.endswith("/0"):
            return bool(former(self, stage, key, revert))
        moves = tuple(
            replace(move, setting=_off_by(move.setting, 50)) for move in stage.moves
        )
        return bool(former(self, replace(stage, moves=moves), key, revert))

    return take


def _off_by(setting: Setting, share: int) -> Setting:
    row = dict(setting.rows[ALL])
    first, second = sorted(row)[:2]
    row[first], row[second] = row[first] + share, row[second] - share
    return Setting(setting.kind, {ALL: row})


@wraps
def _without_headroom(former: Any) -> Any:
    """A region may be filled to the brim."""

    def reason(plan: Any, *seen: Any) -> Any:
        policy = replace(plan.estate.policy, headroom_bp=10_000)
        estate = replace(plan.estate, policy=policy)
        return former(replace(plan, estate=estate), *seen)

    return reason


def _emptiest(services: Any, rows: Any, loads_mrps: Any) -> Any:
    every = [
        one
        for service in services
        if service.name in rows
        for one in capacity.after(service, rows[service.name], loads_mrps[service.name])
    ]
    return min(every, key=lambda one: one.filled_bp)


@wraps
def _rates_one_reading(former: Any) -> Any:
    def take(track: Any, reading: Any, fresh_ms: int) -> None:
        former(track, reading, fresh_ms)
        track.rated = reading.at

    return take


@wraps
def _load_of_one(former: Any) -> Any:
    """The load is what the busiest region has, not what all of them have."""

    def load(sight: Any, service: Any, fresh_ms: int) -> int | None:
        total = former(sight, service, fresh_ms)
        return None if total is None else total // len(service.shares)

    return load


@wraps
def _half_is_enough(former: Any) -> Any:
    def left(members: Any, region: str) -> int | None:
        stay = sum(place != region for place in members.values())
        return stay if 2 * stay < len(members) else None

    return left


SHARES = (
    Mutant(
        "everybody-serves",
        "last-server",
        "a region counts as serving whatever was seen of it",
        (
            ("dayshift.core.proof.serving", lambda *args: True),
            ("dayshift.core.guards.survivors_reason", lambda *args: None),
            ("dayshift.core.proof.trouble", lambda *args: None),
        ),
        DEAD_SURVIVOR,
        plans.slow_drain,
    ),
    Mutant(
        "errors-are-traffic",
        "last-server",
        "a region that answers every request with an error counts as serving",
        (
            ("dayshift.core.proof.serving", errors_are_traffic),
            ("dayshift.core.proof.trouble", lambda *args: None),
        ),
        DEAD_SURVIVOR,
        plans.slow_drain,
    ),
    Mutant(
        "one-server-fewer",
        "last-server",
        "one region fewer than the policy asks for is enough",
        (
            ("dayshift.core.proof.enough_serve", _one_fewer),
            ("dayshift.core.proof.trouble", lambda *args: None),
            without_checks(SET, "_last_server"),
        ),
        DEAD_SURVIVOR,
        plans.two_must_serve,
    ),
    Mutant(
        "proof-outdated",
        "last-server",
        "the age of a proof is read in the wrong unit, a hundred times too young",
        (("dayshift.runtime.actuator.elapsed_ms", _wrong_unit),),
        ASLEEP,
    ),
    Mutant(
        "proof-of-nobody",
        "last-server",
        "a write names nobody who serves, and the device does not mind",
        (("dayshift.runtime.actuator._token", no_proof), NO_DEVICE_CHECK),
    ),
    Mutant(
        "robs-another",
        "one-region",
        "a second region falls below its usual share with the first",
        (
            ("dayshift.core.steering.row_with", robs_another),
            without_checks(SET, "_one_region"),
        ),
        plan=plans.wide,
    ),
    Mutant(
        "neighbour-too",
        "one-region",
        "a switch turns off the next region as well",
        (
            ("dayshift.core.steering._setting", next_one_too),
            without_checks(SET, "_one_region"),
        ),
        plan=plans.wide,
    ),
    Mutant(
        "row-leaks",
        "explicit-targets",
        "shares that do not sum to all users reach a dial",
        (("dayshift.core.steering.row_with", leaks), NO_FAULT),
        CALM,
    ),
    Mutant(
        "below-zero",
        "explicit-targets",
        "a drain goes one step beyond zero",
        (("dayshift.core.steering.row_with", _below_zero), NO_FAULT),
    ),
    Mutant(
        "anybody",
        "explicit-targets",
        "a row names everybody by a wildcard",
        (
            ("dayshift.core.steering._forward", _anybody),
            ("dayshift.core.steering.on_the_way", lambda *args: ()),
            NO_FAULT,
        ),
        plan=plans.wide,
    ),
    Mutant(
        "a-bit-more",
        "executed-approved",
        "a dial is set a little off what the plan lists",
        (
            ("dayshift.core.desk.Desk.set_dial", a_bit_more),
            without_checks(SET, "_approved"),
        ),
    ),
    Mutant(
        "rung-of-its-own",
        "executed-approved",
        "the way back takes a rung that nobody planned",
        (
            ("dayshift.core.desk.Desk.take", _rung_of_its_own),
            without_checks(SET, "_approved", "_one_region"),
        ),
    ),
    Mutant(
        "nobody-approved",
        "executed-approved",
        "a plan that needs a second person begins without one",
        (("dayshift.core.guards.approval_reason", lambda *args: None),),
        CALM,
        plan=plans.four_eyes,
    ),
    Mutant(
        "capacity-not-asked",
        "receiver-ready",
        "a region gets more users than it can take",
        (("dayshift.core.capacity.worst", lambda *args: None),),
        SURGE,
    ),
    Mutant(
        "no-headroom",
        "receiver-ready",
        "a region is filled to the brim, above the headroom of the policy",
        (("dayshift.core.guards.capacity_reason", _without_headroom),),
        SURGE,
    ),
    Mutant(
        "ends-only",
        "receiver-ready",
        "what the moves of a stage amount to half-way is not asked",
        (("dayshift.core.steering.on_the_way", lambda *args: ()),),
        (Storm("dial-self-reverts", Phase.HANDING_OVER, 900_000),),
        plan=plans.wide,
    ),
    Mutant(
        "silence-is-nobody",
        "receiver-ready",
        "a count that does not grow, or the first one after a silence, is the load of "
        "nobody",
        (
            ("dayshift.core.tracks.MeterTrack.take", _rates_one_reading),
            ("dayshift.core.feeding.Feeding.missed", lambda *args: 0),
        ),
        (
            Storm("meter-silent", Phase.DRAINING, 30_000, 9_000),
            Storm("surge", Phase.DRAINING, 900_000, 9_000),
        ),
        plan=plans.slow_drain,
    ),
    Mutant(
        "emptiest-counts",
        "receiver-ready",
        "the emptiest region is asked for its room, not the fullest",
        (("dayshift.core.capacity.worst", _emptiest),),
        SURGE,
    ),
    Mutant(
        "load-of-one",
        "receiver-ready",
        "the survivors' room is reckoned with the load of one region",
        (("dayshift.core.capacity.load_mrps", _load_of_one),),
        SURGE,
    ),
    Mutant(
        "fate-not-asked",
        "shared-fate",
        "a region is drained that the majority of the voters stands in",
        (
            ("dayshift.core.fate.reasons", lambda *args: ()),
            ("dayshift.core.fate.reason", lambda *args: None),
            without_checks(SET, "_fate"),
        ),
        plan=plans.voters_in_fra,
    ),
    Mutant(
        "half-is-a-majority",
        "shared-fate",
        "one of two voters is taken for a majority",
        (
            ("dayshift.core.fate.left", _half_is_enough),
            without_checks(SET, "_fate"),
        ),
        plan=plans.two_voters,
    ),
    Mutant(
        "own-place-forgotten",
        "shared-fate",
        "the only controller drains the region that it stands in",
        (
            ("dayshift.core.fate._controllers", lambda *args: ()),
            without_checks(SET, "_fate"),
        ),
        plan=plans.controller_in_fra,
    ),
)
