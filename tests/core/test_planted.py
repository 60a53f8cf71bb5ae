"""Bugs planted on purpose, one for each promise: each must be found.

Found means: the interlock refuses, or a checker that asks only the world and the
records sees it. The same scenario without the bug must be clean, or the test proves
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from dayshift.core import (
    coming_back,
    decide,
    going_out,
    guards,
    interlock,
    planner,
    proof,
    review,
    steering,
    working,
)
from dayshift.core.desk import Desk
from dayshift.core.state import Status
from dayshift.model import records as r
from dayshift.model.dial import ALL, Claim, DialKind, Setting
from dayshift.model.evidence import Verdict, VerdictKind
from dayshift.model.records import ActionKind, Phase
from dayshift.model.sight import Sight
from tests.kit.play import Play, change, estate

Patch = pytest.MonkeyPatch
LOAD_RPS = 400


class Watched(Play):
    """A play whose world writes down what must never happen to users."""

    dead: str = ""
    refused_codes: list[str]

    def act(self, action: r.Action, sight: Sight) -> None:
        before = len(self.refused)
        super().act(action, sight)
        if len(self.refused) > before:
            self.refused_codes.append(str(self.records[-1].body.reason.code))  # type: ignore[union-attr]

    def _apply(self, action: r.Action, claim: Claim) -> None:
        super()._apply(action, claim)
        if action.kind is ActionKind.SET_DIAL:
            self._look_at_users(action)
        if action.kind is ActionKind.TAKE_DUTY:
            holders = self.holders[action.target]
            if len(holders) > 1:
                self.seen.append(f"two holders: {holders}")

    def _look_at_users(self, action: r.Action) -> None:
        assert action.setting is not None
        row = action.setting.rows.get(ALL, {})
        fed = {name for name, share in row.items() if share}
        if not fed - {self.dead}:
            self.seen.append(f"nobody serves: {row}")
        for name, share in row.items():
            limit = self.estate.services[0].capacity_rps[name] * 8_500
            if LOAD_RPS * share > limit and self.plan.verb.value == "maintain":
                self.seen.append(f"{name} is too full: {share}")
        usual = self.estate.services[0].shares
        less = [name for name in row if row[name] < usual[name]]
        if len(less) > 1:
            self.seen.append(f"more than one region out: {less}")
        if self.at_work & fed:
            self.seen.append(f"users at work in {self.at_work & fed}")

    @property
    def seen(self) -> list[str]:
        return self.__dict__.setdefault("_seen", [])

    @property
    def at_work(self) -> set[str]:
        here = self.here
        inside = here.started and here.phase in (
            Phase.WORKING,
            Phase.CATCHING_UP,
            Phase.WARMING,
        )
        return {here.region} if inside else set()


def watched(the_estate: Any = None, **kwargs: Any) -> Watched:
    play = Watched.__new__(Watched)
    play.refused_codes = []
    play.__init__(the_estate or estate(), **kwargs)  # type: ignore[misc]
    return play


def spend(play: Watched, turns: int = 400) -> Watched:
    for _ in range(turns):
        if play.run.status is Status.CLOSED:
            break
        play.step()
    return play


def findings(play: Watched) -> list[str]:
    """Everything that a stranger finds: refusals, the world's own eyes, the ledger."""
    found = [f"refused {code}" for code in play.refused_codes] + play.seen
    found.extend(one.code for one in review.faults(play.plan))
    found.extend(ledger(play.records))
    if play.run.status is Status.CLOSED:
        if play.open:
            found.append("a bracket is open")
        if any(len(held) != 1 for held in play.holders.values()):
            found.append(f"holders: {play.holders}")
        if not play.state.left_drained and play.dials != play.plan.baseline:
            found.append(f"shares: {play.dials}")
    return found


def ledger(records: list[r.Record]) -> list[str]:
    """What the records alone tell: fences first, each step once."""
    found: list[str] = []
    fenced: set[int] = set()
    begun: list[str] = []
    done: set[str] = set()
    for one in records:
        body = one.body
        if isinstance(body, r.Phased):
            done.add(body.new.value)
        if not isinstance(body, r.Intent):
            continue
        kind = body.action.kind
        if "/fence/" in body.action.key:
            fenced.add(one.epoch)
        elif kind is ActionKind.SET_DIAL and one.epoch not in fenced:
            found.append(f"epoch {one.epoch} writes before its fence")
        if kind is ActionKind.START_WORK:
            begun.append(f"{body.action.region}/{body.action.target}")
    twice = {name for name in begun if begun.count(name) > 1}
    return found + [f"{name} began twice" for name in sorted(twice)]


# Scenarios: what the world does while the bug is in.


def good() -> Watched:
    return spend(watched())


def dead_survivor() -> Watched:
    play = watched()
    play.dead = "ber"

    def dead(sight: Sight) -> Sight:
        places = tuple(
            replace(
                place,
                meters=tuple(replace(m, mrps=0) for m in place.meters),
                probes=tuple(replace(p, streak=0, failures=9) for p in place.probes),
            )
            if place.region == "ber"
            else place
            for place in sight.places
        )
        return replace(sight, places=places)

    play.until_phase(Phase.DRAINING)
    play.bend = dead
    return spend(play)


def crash_in_draining() -> Watched:
    play = watched(estate(drain_dwell_ms=2_000)).until(
        lambda one: one.here.phase is Phase.DRAINING and one.here.index == 0
    )
    play.crash()
    return spend(play)  # type: ignore[arg-type]


def users_stay() -> Watched:
    """Requests stay in flight in fra: it is never empty."""
    play = watched()

    def stuck(sight: Sight) -> Sight:
        places = tuple(
            replace(p, meters=tuple(replace(m, in_flight=3) for m in p.meters))
            if p.region == "fra"
            else p
            for p in sight.places
        )
        return replace(sight, places=places)

    play.bend = stuck
    spend(play)
    if play.started:
        play.seen.append("work began where users were")
    return play


def blind_gate() -> Watched:
    play = watched()
    play.verdict = lambda region: Verdict(VerdictKind.BLIND, "no reading")
    spend(play)
    if play.dials["entry"].rows[ALL]["fra"] > 100:
        play.seen.append("a blind gate let users back")
    return play


def bad_release() -> Watched:
    play = watched()
    play.verdict = lambda region: Verdict(VerdictKind.FAIL, "12 of 40 failed")
    spend(play)
    if play.dials["entry"].rows[ALL]["fra"]:
        play.seen.append("users stayed with a failing release")
    return play


def small_survivor() -> Watched:
    small = estate()
    service = replace(small.services[0], capacity_rps={"fra": 900, "ber": 300})
    return spend(watched(replace(small, services=(service,))))


def abort_in_handing_over() -> Watched:
    play = watched()
    play.until(lambda one: "release-duty" in str([a.kind for a in one.actions]))
    play.ask("abort")
    return spend(play)


def abort_at_work() -> Watched:
    play = watched()
    play.until(lambda one: bool(one.here.started))
    play.ask("abort")
    return spend(play)


def drifting() -> Watched:
    play = watched().until_phase(Phase.RETURNING)
    play.dials["entry"] = Setting(DialKind.SPLIT, {ALL: {"fra": 4_000, "ber": 6_000}})
    spend(play)  # type: ignore[arg-type]
    return play  # type: ignore[return-value]


def three_regions() -> Watched:
    names = ("ber", "fra", "muc")
    return spend(watched(estate(names), the_change=change(*names)))


# Bugs: what somebody might have written.


def nothing(*_: Any, **__: Any) -> None:
    return None


def yes(*_: Any, **__: Any) -> bool:
    return True


def shifted_take(patch: Patch) -> None:
    """The executor moves one share more than was approved."""
    take = Desk.take

    def bent(desk: Desk, stage: Any, key: str, *rest: Any) -> bool:
        moves = []
        for move in stage.moves:
            row = dict(move.setting.rows[ALL])
            if 0 < row["fra"] < 10_000:
                row["fra"], row["ber"] = row["fra"] + 1, row["ber"] - 1
            moves.append(replace(move, setting=Setting(move.setting.kind, {ALL: row})))
        return take(desk, replace(stage, moves=tuple(moves)), key, *rest)

    patch.setattr(Desk, "take", bent)


def wildcard(patch: Patch) -> None:
    """A selector that means everything."""
    ask = Desk.want

    def bent(desk: Desk, action: r.Action) -> bool:
        if action.kind is ActionKind.SET_DIAL:
            action = replace(action, target="*")
        return ask(desk, action)

    patch.setattr(Desk, "want", bent)


def greedy_row(patch: Patch) -> None:
    """The planner takes from two regions at once."""

    def bent(shares: Any, region: str, share_bp: int) -> dict[str, int]:
        others = sorted(name for name in shares if name != region)
        row = dict.fromkeys(others, 0)
        row[others[0]] = 10_000 - share_bp
        return {**row, region: share_bp}

    patch.setattr(steering, "row_with", bent)


def take_first(patch: Patch) -> None:
    """Take before release was read back."""
    duty = going_out._duty

    def bent(desk: Desk, kind: ActionKind, name: str, region: str) -> bool:
        return kind is ActionKind.RELEASE_DUTY or duty(desk, kind, name, region)

    patch.setattr(going_out, "_duty", bent)


def new_key(patch: Patch) -> None:
    """A step gets a new name whenever somebody looks."""
    patch.setattr(
        working,
        "work_key",
        lambda here, step: f"{here.region}-{step}-{next(NAMES)}",
    )


NAMES = iter(range(10**6))


def early_ramp(patch: Patch) -> None:
    """Users are sent while the work has only begun."""
    work = working.working

    def bent(desk: Desk) -> None:
        if desk.here.started:
            desk.take(desk.route.ramp[0], "early")
        else:
            work(desk)

    patch.setitem(decide.HANDLERS, Phase.WORKING, bent)


def close_at_once(patch: Patch) -> None:
    """Abort means: stop."""
    patch.setattr(
        decide,
        "_abort",
        lambda desk: desk.records.append(r.RunClosed(r.RunResult.ABORTED)),
    )


def never_held(patch: Patch) -> None:
    """The fence is there, but what may expire is left as it is."""
    hold = Desk.hold_dials
    patch.setattr(
        Desk, "hold_dials", lambda desk, key: key == "hold" or hold(desk, key)
    )


def no_look(where: Any, name: str, put: Any = nothing) -> Callable[[Patch], None]:
    return lambda patch: patch.setattr(where, name, put)


def without(*checks: str) -> Callable[[Patch], None]:
    """The interlock without these checks."""

    def plant(patch: Patch) -> None:
        for kind, every in interlock._CHECKS.items():
            left = tuple(one for one in every if one.__name__ not in checks)
            patch.setitem(interlock._CHECKS, kind, left)

    return plant


Plant = Callable[[Patch], None]
BUGS: dict[str, tuple[Callable[[], Watched], tuple[Plant, ...], str]] = {
    "last server": (
        dead_survivor,
        (no_look(guards, "survivors_reason"),),
        "RECEIVER-NOT-READY",
    ),
    "last server, no interlock": (
        dead_survivor,
        (no_look(guards, "survivors_reason"), without("_last_server")),
        "nobody serves",
    ),
    "one region": (three_regions, (greedy_row,), "OTHER-REGION-OUT"),
    "one region, no interlock": (
        three_regions,
        (greedy_row, without("_one_region")),
        "more than one region out",
    ),
    "fencing": (crash_in_draining, (no_look(decide, "_fence"),), "NOT-FENCED-YET"),
    "fencing, no interlock": (
        crash_in_draining,
        (no_look(decide, "_fence"), without("_fence_first")),
        "before its fence",
    ),
    "explicit targets": (good, (wildcard,), "EXPLICIT-TARGET"),
    "executed within approved": (good, (shifted_take,), "NOT-APPROVED-SETTING"),
    "held before work": (good, (never_held,), "NOT-EMPTY"),
    "proven empty": (
        users_stay,
        (no_look(proof, "empty_gaps", lambda *_: ()),),
        "work began",
    ),
    "kept out while at work": (good, (early_ramp,), "REGION-AT-WORK"),
    "kept out, no interlock": (
        good,
        (early_ramp, without("_kept_out")),
        "feeds fra, which is at work",
    ),
    "blind is not green": (
        blind_gate,
        (no_look(coming_back, "_judge", nothing),),
        "a blind gate",
    ),
    "a failing gate empties": (
        bad_release,
        (no_look(Desk, "retreat"),),
        "users stayed",
    ),
    "receiver ready": (
        small_survivor,
        (no_look(guards, "capacity_reason"),),
        "too full",
    ),
    "abort converges": (abort_at_work, (close_at_once,), "shares:"),
    "a duty is never lost": (
        abort_in_handing_over,
        (no_look(going_out, "duties_kept", yes),),
        "holders:",
    ),
    "drift refuses": (drifting, (no_look(decide, "_drift"),), "refused DRIFT"),
    "never two holders": (good, (take_first,), "TWO-HOLDERS"),
    "never two holders, no interlock": (
        good,
        (take_first, without("_nobody_holds")),
        "two holders",
    ),
    "once at a time": (good, (new_key,), "began twice"),
    "brackets are closed": (
        good,
        (no_look(going_out, "leave_brackets", yes),),
        "bracket is open",
    ),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: str, monkeypatch: Patch) -> None:
    scenario, plants, expected = BUGS[bug]
    assert findings(scenario()) == []
    for plant in plants:
        plant(monkeypatch)
    try:
        found = findings(scenario())
    except AssertionError as error:  # an invariant of the state, or no way forward
        found = [str(error)]
    assert any(expected in one for one in found), found


def test_a_plan_with_a_planted_bug_is_not_approved(monkeypatch: Patch) -> None:
    greedy_row(monkeypatch)
    names = ("ber", "fra", "muc")
    plan = planner.make(estate(names), change(*names), good().plan.verb)
    assert "TWO-REGIONS" in [one.code for one in review.faults(plan)]
