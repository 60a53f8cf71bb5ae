"""Broken glass in the core: which claims refuse, and where an overtaken run stands."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from dayshift.core import glass, guards, interlock
from dayshift.core.fold import fold
from dayshift.core.state import JournalState, PassState, Status
from dayshift.model import records as r
from dayshift.model.dial import Claim, split
from dayshift.model.glass import break_epoch
from dayshift.model.records import Action, ActionKind, Phase
from dayshift.model.sight import Sight
from dayshift.model.units import Instant
from tests.kit.play import Play

USUAL = {"fra": 5_000, "ber": 5_000}
ZERO = {"fra": 0, "ber": 10_000}
HERE, ELSEWHERE = break_epoch(1, "here"), break_epoch(1, "elsewhere")


def to(row: dict[str, int]) -> Action:
    return Action(ActionKind.SET_DIAL, "key", "entry", "fra", setting=split(row))


def broken(state: JournalState, epoch: int = HERE, goes_on: bool = False) -> r.Record:
    body = r.GlassBroken(epoch, "here", "eve", "fire", state.seq, 0, goes_on)
    at = Instant(10_000_000, 10_000_000, "boot")
    return r.Record(state.seq + 1, "", at, epoch, "", body)


def claimed(play: Play, epoch: int, seq: int = 1) -> Sight:
    sight = play.sight()
    reading = sight.dials["entry"]
    claim = Claim(play.state.estate, play.state.journal, epoch, seq)
    seen = tuple(replace(one, claim=claim) for one in reading.instances)
    return replace(sight, dials={"entry": replace(reading, instances=seen)})


def test_a_break_glass_that_the_journal_does_not_have_refuses() -> None:
    play = Play().until_phase(Phase.DRAINING)
    sight = claimed(play, ELSEWHERE)
    reason = guards.claims_reason(play.state, sight)
    assert reason is not None and reason.code == "BREAK-GLASS-UNMERGED"
    refused = interlock.reason(play.state, sight, to(ZERO))
    assert refused is not None and refused.code == "FENCED-OFF"


def test_somebody_else_who_broke_the_glass_is_named() -> None:
    play = Play().until_phase(Phase.DRAINING)
    state = fold(play.state, broken(play.state))
    reason = guards.claims_reason(state, claimed(play, ELSEWHERE))
    assert reason is not None and reason.code == "BREAK-GLASS-ELSEWHERE"
    assert guards.claims_reason(state, claimed(play, HERE)) is None


def test_what_regular_controllers_wrote_since_is_outranked_and_taken_over() -> None:
    play = Play().until_phase(Phase.DRAINING)
    state = fold(play.state, broken(play.state))
    sight = claimed(play, state.claims["entry"].epoch + 3, 10_000)
    assert guards.claims_reason(state, sight) is None
    taken = glass.taken_over(state, sight)
    assert [one.dial for one in taken] == ["entry"]
    assert glass.taken_over(play.state, sight) == ()


def test_an_evacuated_region_does_not_come_back_with_its_run() -> None:
    play = Play().until_phase(Phase.VALIDATING)
    here = replace(play.here, phase=Phase.RETURNING, kept_out=True)
    run = replace(play.run, passes=(here, *play.run.passes[1:]))
    state = replace(play.state, run=run)
    refused = interlock.reason(state, play.sight(), to(USUAL))
    assert refused is not None and refused.code == "EVACUATED"
    clear = replace(run, passes=(replace(here, kept_out=False), *run.passes[1:]))
    assert interlock.reason(replace(state, run=clear), play.sight(), to(USUAL)) is None


@pytest.mark.parametrize("phase", list(Phase))
def test_a_run_is_parked_in_every_phase_and_is_there_again_after_the_merge(
    phase: Phase,
) -> None:
    play = Play().until_phase(Phase.DRAINING)
    run = replace(play.run, passes=(replace(play.here, phase=phase),))
    state = replace(play.state, run=run)
    state = fold(state, broken(state))
    assert state.open_run is None
    state = fold(state, broken(state, HERE + 1))
    assert len(state.parked) == 1
    lease = r.Lease(HERE + 1_000_000_000, "ada")
    at = Instant(20_000_000, 20_000_000, "boot")
    state = fold(state, r.Record(state.seq + 1, "", at, lease.epoch, "", lease))
    again = state.open_run
    assert again is not None
    assert again.run == run.run
    assert again.status is Status.HELD
    assert again.now_at.phase is phase
    assert state.glass is None
    assert not state.parked


WHERE = [
    # phase, its step began, ended, evacuated, full share → phase, kept out
    (Phase.DRAINING, False, False, True, False, Phase.LEFT_DRAINED, True),
    (Phase.EMPTY, False, False, True, False, Phase.LEFT_DRAINED, True),
    (Phase.WORKING, True, False, True, False, Phase.WORKING, True),
    (Phase.WORKING, True, True, True, False, Phase.LEFT_DRAINED, True),
    (Phase.VALIDATING, True, True, True, False, Phase.LEFT_DRAINED, True),
    (Phase.RETURNING, True, True, True, False, Phase.LEFT_DRAINED, True),
    (Phase.DONE, True, True, True, False, Phase.DONE, False),
    (Phase.DRAINING, False, False, False, True, Phase.SERVING, False),
    (Phase.EMPTY, False, False, False, True, Phase.SERVING, False),
    (Phase.RETURNING, True, True, False, True, Phase.SOAKING, False),
    (Phase.LEFT_DRAINED, False, False, False, True, Phase.SERVING, False),
    (Phase.DRAINING, False, False, False, False, Phase.DRAINING, False),
    (Phase.WORKING, True, False, False, False, Phase.WORKING, False),
]


@pytest.mark.parametrize(
    ("phase", "began", "ended", "out", "full", "becomes", "kept_out"), WHERE
)
def test_where_an_overtaken_pass_stands(
    phase: Phase,
    began: bool,
    ended: bool,
    out: bool,
    full: bool,
    becomes: Phase,
    kept_out: bool,
) -> None:
    play = Play().until_phase(Phase.DRAINING)
    step = ("upgrade",)
    here = replace(
        play.here,
        phase=phase,
        started=step if began else (),
        done=step if ended else (),
    )
    run = replace(play.run, passes=(here, *play.run.passes[1:]), status=Status.HELD)
    confirmed = {"entry": split(USUAL if full else ZERO)}
    state = replace(play.state, run=None, parked=(run,), confirmed=confirmed)
    after = glass._overtaken(state, "fra" if out else "", out=out).parked[0]
    stands: PassState = after.passes[0]
    assert stands.phase is becomes
    assert stands.kept_out is kept_out
