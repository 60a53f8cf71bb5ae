"""The interlock alone: what it must refuse, by code, and what it must let pass."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from dayshift.core import interlock
from dayshift.core.state import JournalState
from dayshift.model import records as r
from dayshift.model.dial import ALL, Claim, DialKind, InstanceReading, Setting, split
from dayshift.model.records import Action, ActionKind, Phase
from dayshift.model.sight import DutySight, Sight
from tests.kit.play import Play

K = ActionKind
ZERO = {"fra": 0, "ber": 10_000}
HALF = {"fra": 5_000, "ber": 5_000}


def to(row: dict[str, int], dial: str = "entry", region: str = "fra") -> Action:
    return Action(K.SET_DIAL, "key", dial, region, setting=split(row))


def at(phase: Phase) -> Play:
    return Play().until_phase(phase)


def started() -> Play:
    return Play().until(lambda one: bool(one.here.started))


def silent(sight: Sight, *regions: str) -> Sight:
    """Nobody sees anything of these regions, and their probes fail."""
    places = tuple(
        replace(
            one,
            meters=tuple(replace(m, age_ms=60_000) for m in one.meters),
            probes=tuple(replace(p, streak=0, failures=9) for p in one.probes),
        )
        if one.region in regions
        else one
        for one in sight.places
    )
    return replace(sight, places=places)


def moved(sight: Sight, row: dict[str, int]) -> Sight:
    """The dial shows something nobody here asked for, at one of two instances."""
    reading = sight.dials["entry"]
    claim = Claim("demo", "j", 1, 1)
    extra = InstanceReading("b", split(row), claim)
    two = replace(reading, instances=(*reading.instances, extra))
    later = replace(two, at=sight.at)
    return replace(sight, dials={"entry": later})


def held_by(sight: Sight, *names: str, fault: str = "") -> Sight:
    return replace(
        sight, duties={"nightly": DutySight("nightly", names, fault, sight.at)}
    )


Case = tuple[Callable[[], Play], Action, Callable[[Sight], Sight], str]


def same(sight: Sight) -> Sight:
    return sight


def drop_hold(state: JournalState) -> JournalState:
    """As if the dials had been written with a lease after they were held."""
    run = state.run
    assert run is not None
    last = max(
        (one for one in run.asked.values() if one.action.target == "entry"),
        key=lambda one: one.seq,
    )
    leased = replace(last, action=replace(last.action, lease_ms=30_000))
    asked = {**run.asked, last.action.key: leased}
    return replace(state, run=replace(run, asked=asked))


START = Action(K.START_WORK, "key", "upgrade", "fra", text="fra-upgrade-0")
TAKE = Action(K.TAKE_DUTY, "key", "nightly", "ber")
OFF = Setting(DialKind.SPLIT, {ALL: {"fra": 0, "ber": 0}})

CASES: dict[str, Case] = {
    "no dial named": (
        lambda: at(Phase.DRAINING),
        to(ZERO, ""),
        same,
        "EXPLICIT-TARGET",
    ),
    "every dial": (lambda: at(Phase.DRAINING), to(ZERO, "*"), same, "EXPLICIT-TARGET"),
    "an unknown dial": (
        lambda: at(Phase.DRAINING),
        to(ZERO, "other"),
        same,
        "EXPLICIT-TARGET",
    ),
    "no setting": (
        lambda: at(Phase.DRAINING),
        Action(K.SET_DIAL, "key", "entry", "fra"),
        same,
        "EXPLICIT-TARGET",
    ),
    "nobody gets users": (
        lambda: at(Phase.DRAINING),
        replace(to(ZERO), setting=OFF),
        same,
        "EXPLICIT-TARGET",
    ),
    "a share that was not approved": (
        lambda: at(Phase.DRAINING),
        to({"fra": 1_234, "ber": 8_766}),
        same,
        "NOT-APPROVED-SETTING",
    ),
    "a dial that drifted": (
        lambda: at(Phase.EMPTYING),
        to(ZERO),
        lambda sight: moved(sight, {"fra": 3_000, "ber": 7_000}),
        "DRIFT",
    ),
    "the other region": (
        lambda: at(Phase.DRAINING),
        to({"fra": 10_000, "ber": 0}),
        same,
        "OTHER-REGION-OUT",
    ),
    "the last server": (
        lambda: at(Phase.DRAINING),
        to(ZERO),
        lambda sight: silent(sight, "fra", "ber"),
        "LAST-SERVER",
    ),
    "a survivor that nobody sees": (
        lambda: at(Phase.DRAINING),
        to({"fra": 2_500, "ber": 7_500}),
        lambda sight: silent(sight, "ber"),
        "RECEIVER-NOT-READY",
    ),
    "users at work": (started, to(HALF), same, "REGION-AT-WORK"),
    "work before empty": (lambda: at(Phase.EMPTYING), START, same, "NOT-EMPTY"),
    "a step of no plan": (
        lambda: at(Phase.WORKING),
        replace(START, target="other"),
        same,
        "NOT-APPROVED-SETTING",
    ),
    "work in the other region": (
        lambda: at(Phase.WORKING),
        replace(START, region="ber"),
        same,
        "NOT-EMPTY",
    ),
    "a duty that is held": (
        lambda: at(Phase.HANDING_OVER),
        TAKE,
        lambda sight: held_by(sight, "fra"),
        "TWO-HOLDERS",
    ),
    "a duty that nobody can read": (
        lambda: at(Phase.HANDING_OVER),
        TAKE,
        lambda sight: held_by(sight, fault="no answer"),
        "TWO-HOLDERS",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_refuses(case: str) -> None:
    make, action, bend, code = CASES[case]
    play = make()
    found = interlock.reason(play.state, bend(play.sight()), action)
    assert found is not None
    assert found.code == code
    assert found.what and found.because


def test_every_kind_that_moves_something_is_checked() -> None:
    harmless = {
        K.ENTER_BRACKET,
        K.LEAVE_BRACKET,
        K.RELEASE_DUTY,
        K.STOP_WORK,
        K.NOTIFY,
    }
    assert set(K) == harmless | set(interlock._CHECKS)


def test_work_does_not_start_while_a_write_may_expire() -> None:
    play = at(Phase.WORKING)
    assert interlock.reason(play.state, play.sight(), START) is None
    found = interlock.reason(drop_hold(play.state), play.sight(), START)
    assert found is not None and found.code == "NOT-EMPTY"


def test_work_does_not_start_without_the_certificate() -> None:
    play = at(Phase.WORKING)
    play.append(r.Tripped("fra", 1, "edge"))
    found = interlock.reason(play.state, play.sight(), START)
    assert found is not None and found.code == "NOT-EMPTY"


def test_a_region_left_drained_gets_users_only_by_its_own_return() -> None:
    play = at(Phase.DRAINING)
    zero = Setting(DialKind.SPLIT, {ALL: {"fra": 10_000, "ber": 0}})
    state = replace(play.state, left_drained=("ber",), confirmed={"entry": zero})
    seen = play.sight().dials["entry"]
    mine = replace(seen, instances=(InstanceReading("a", zero, None),))
    sight = replace(play.sight(), dials={"entry": mine})
    found = interlock.reason(state, sight, to(ZERO))
    assert found is not None and found.code == "OTHER-REGION-OUT"


def test_nothing_happens_without_a_run() -> None:
    play = Play().until_closed()
    found = interlock.reason(play.state, play.sight(), to(ZERO))
    assert found is not None and found.code == "NO-RUN"


def test_a_whole_good_run_passes() -> None:
    assert Play().until_closed().refused == []
