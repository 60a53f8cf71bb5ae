"""The order of the questions and the words of the answers, as tables."""

from __future__ import annotations

import msgspec
import pytest

from dayshift.errors import Bug
from dayshift.gates import (
    Block,
    JudgeState,
    combine,
    for_services,
    observe,
    verdict,
)
from dayshift.gates.power import smallest_bp
from dayshift.gates.signals import Pair, common_bound, slow_pair
from dayshift.model.estate import GatePolicy
from dayshift.model.evidence import BEYOND_US, Counts, Verdict, VerdictKind
from tests.gates.world import DEMO

PASS, HOLD = VerdictKind.PASS, VerdictKind.HOLD
FAIL, BLIND = VerdictKind.FAIL, VerdictKind.BLIND
UNTRUSTED = msgspec.structs.replace(DEMO, trusted=False)
NO_SLOW = msgspec.structs.replace(DEMO, slow_us=())


def counted(requests: int, errors: int = 0, slow: int = 0) -> Counts:
    quick = requests - slow
    buckets = {100_000: quick, 250_000: quick, BEYOND_US: requests}
    return Counts(requests, errors, buckets)


def looked(
    *looks: tuple[Counts | None, Counts | None],
    policy: GatePolicy = DEMO,
    share: int = 100,
    state: JudgeState | None = None,
) -> JudgeState:
    state = state or JudgeState()
    for canary, others in looks:
        state = observe(state, Block(canary, others), policy, 200, share, 500)
    return state


def said(
    state: JudgeState,
    policy: GatePolicy = DEMO,
    share: int = 100,
    fresh: bool = True,
    dwell_ms: int = 10_000,
) -> Verdict:
    return verdict(state, policy, share, fresh, dwell_ms, "fra")


CLEAN = [(counted(1), counted(70))] * 15
BAD = [(counted(1, 1), counted(70))] * 4
SLOW = [(counted(1, 0, 1), counted(70))] * 4
DIM = msgspec.structs.replace(DEMO, dwell_ms_min=60_000)


@pytest.mark.parametrize(
    ("looks", "policy", "options", "kind", "words"),
    [
        ([], DEMO, {}, HOLD, "nothing counted yet in fra at 1.00 %"),
        (CLEAN, DEMO, {}, PASS, "0 of 15 requests failed in fra (0 %), 0 % elsewhere"),
        (CLEAN, DEMO, {}, PASS, "less than 20 % more fail than elsewhere; needed 20:1"),
        (CLEAN[:9], DEMO, {}, HOLD, "evidence still thin: 0 of 9 requests"),
        (CLEAN, DIM, {}, HOLD, "10 s of 60 s at 1.00 % are over"),
        (CLEAN, DEMO, {"fresh": False}, BLIND, "the last counts are too old"),
        (BAD, DEMO, {"fresh": False}, BLIND, "the last counts are too old"),
        (CLEAN, DEMO, {"share": 500}, HOLD, "nothing counted yet in fra at 5.00 %"),
        (BAD, DEMO, {"share": 500}, FAIL, "4 of 4 requests failed in fra (100 %)"),
        (BAD, DEMO, {}, FAIL, "that fra is worse; limit 100:1"),
        (SLOW, DEMO, {}, FAIL, "took longer than 100 ms in fra (100 %), 0 % elsewhere"),
        (CLEAN + BAD[:1], DEMO, {}, HOLD, "no promotion from 4:1, rollback at 100:1"),
        (SLOW, UNTRUSTED, {}, HOLD, "calibration is not trusted: a person decides"),
        (BAD, UNTRUSTED, {}, FAIL, "more than the absolute limit of 2 % fail"),
        ([*CLEAN, (None, counted(70))], DEMO, {}, BLIND, "restarted or silent"),
        ([*BAD, (counted(1), None)], DEMO, {}, BLIND, "restarted or silent"),
        ([(counted(9), counted(0))] * 9, DEMO, {}, HOLD, "nothing to compare fra with"),
        ([(counted(1, 1), counted(0))] * 4, DEMO, {}, FAIL, "absolute limit of 2 %"),
    ],
)
def test_verdicts(looks, policy, options, kind, words):
    answer = said(looked(*looks, policy=policy), policy, **options)
    assert (answer.kind, words in answer.why) == (kind, True), answer.why


def test_a_blind_look_changes_no_evidence_and_ends_by_itself():
    clean = looked(*CLEAN)
    blind = looked((None, None), state=clean)
    assert blind.signals == clean.signals
    assert said(blind).kind is BLIND
    assert said(looked(CLEAN[0], state=blind)).kind is PASS


def test_promotion_begins_anew_at_each_share_and_rollback_is_carried():
    state = looked(*CLEAN, *BAD[:1])
    suspicion = said(state).rollback_mlog10
    state = looked((counted(0), counted(70)), share=500, state=state)
    after = said(state, share=500)
    assert after.promote_mlog10 <= 0 and after.requests == 0
    assert abs(after.rollback_mlog10 - suspicion) < 30
    assert after.kind is HOLD


def test_good_evidence_of_one_share_promotes_at_no_other():
    state = looked((counted(1), counted(70)), share=500, state=looked(*CLEAN))
    answer = said(state, share=500)
    assert answer.kind is HOLD and 0 <= answer.promote_mlog10 < 200


def test_a_shared_incident_holds_and_is_not_held_against_the_region():
    calm = looked(*[(counted(1), counted(70))] * 20)
    burning = looked(*[(counted(1, 1), counted(70, 30))] * 5, policy=DEMO, state=calm)
    answer = said(burning)
    assert answer.kind is HOLD and "a shared incident" in answer.why
    assert answer.rollback_mlog10 <= said(calm).rollback_mlog10
    assert answer.promote_mlog10 <= said(calm).promote_mlog10
    assert "150 of 1750 requests (8.571 %, usually 0 %)" in answer.why


def test_others_at_three_times_their_usual_rate_are_an_incident():
    usual = [(counted(1), counted(70, one % 10 == 0)) for one in range(300)]
    calm = looked(*usual, policy=DEMO)
    assert said(calm).kind is PASS
    storm = looked(*[(counted(1), counted(70, 1))] * 60, state=calm)
    assert said(storm).kind is HOLD and "shared incident" in said(storm).why


def test_an_outage_of_the_region_alone_is_no_incident():
    state = looked(*[(counted(90, 90), counted(260))], share=2500)
    assert said(state, share=2500).kind is FAIL


def test_a_difference_too_small_to_matter_never_fails():
    look = (counted(500_000, 70), counted(500_000, 20))
    answer = said(looked(*[look] * 3, policy=NO_SLOW, share=5000), NO_SLOW, 5000)
    assert answer.rollback_mlog10 > answer.rollback_need
    assert answer.kind is HOLD


def test_the_numbers_are_integers_in_their_units():
    answer = said(looked(*CLEAN))
    numbers = [v for v in msgspec.structs.asdict(answer).values() if v != answer.why]
    assert all(isinstance(v, int) for v in numbers if not isinstance(v, VerdictKind))
    assert answer.rollback_need == 2000 and answer.promote_need == 1301
    assert 1301 <= answer.promote_mlog10 < 1500
    assert answer.promised_bp == 2000 and answer.requests == 15


@pytest.mark.parametrize(
    ("share", "following", "rps", "promised"),
    [
        (100, 500, 350, 2000),
        (500, 2500, 350, 400),
        (2500, 5000, 350, 200),
        (5000, 5000, 350, 200),
        (100, 500, 5, 5000),
        (5000, 5000, 5, 667),
    ],
)
def test_one_blast_radius_for_every_rate(share, following, rps, promised):
    mine = max(1, rps * 10 * share // 10_000)
    block = Block(counted(mine), counted(rps * 10 - mine))
    state = observe(JudgeState(), block, DEMO, 10_000, share, following)
    assert said(state, share=share).promised_bp == promised


@pytest.mark.parametrize(
    ("left", "right", "wanted", "found"),
    [
        ({100: 1, 250: 2, 900: 2}, {100: 1, 250: 2, 900: 2}, 250, 250),
        ({100: 1, 200: 1, 900: 2}, {100: 1, 250: 1, 900: 2}, 250, None),
        ({100: 1, 200: 1, 900: 2}, {200: 1, 250: 1, 900: 2}, 250, 200),
        ({200: 1, 300: 1, 900: 2}, {200: 1, 300: 1, 900: 2}, 250, 300),
        ({125: 1, 500: 1, 900: 2}, {125: 1, 500: 1, 900: 2}, 250, 125),
        ({100: 1, 250: 2}, {100: 1, 250: 2}, 250, None),
        ({}, {100: 1, 250: 2}, 100, None),
    ],
)
def test_only_bounds_on_both_sides_speak(left, right, wanted, found):
    assert common_bound(left, right, wanted) == found


def test_slow_is_counted_out_of_what_was_timed():
    mine = Counts(9, 0, {100: 3, 250: 4, 900: 5})
    theirs = Counts(90, 0, {100: 60, 500: 70, 900: 71})
    assert slow_pair(mine, theirs, 100) == Pair(5, 2, 71, 11)
    assert slow_pair(mine, Counts(9), 100) == Pair()


def test_without_a_common_bucket_the_rung_holds_and_says_so():
    state = looked(*[(Counts(1), counted(70))] * 30)
    answer = said(state)
    assert answer.kind is HOLD
    assert "no common latency bucket" in answer.why and "100 ms" in answer.why


def test_the_smallest_regression_shrinks_with_what_was_counted():
    seen = [smallest_bp(Pair(n, 0, 99 * n, 0), DEMO) for n in (0, 1, 14, 140, 1400)]
    assert seen[:2] == [10_000, 10_000]
    assert seen == sorted(seen, reverse=True) and 1500 < seen[2] < 3000
    assert smallest_bp(Pair(140, 0, 13_860, 40), DEMO) > seen[3]


def test_without_trust_only_the_absolute_guard_can_see():
    rung = Pair(140, 0, 13_860, 0)
    assert smallest_bp(rung, UNTRUSTED) > smallest_bp(rung, DEMO)


def test_several_services_share_the_false_alarms_and_the_worst_decides():
    assert for_services(DEMO, 3).rollback_odds == 300
    good, bad = said(looked(*CLEAN)), said(looked(*BAD))
    blind = said(looked(*CLEAN), fresh=False)
    assert combine({"shop": good}) == good
    assert combine({"shop": good, "mail": blind}).why.startswith("mail: no fresh")
    assert combine({"shop": bad, "mail": blind}).kind is FAIL
    assert combine({"a": good, "b": said(looked(*CLEAN[:3]))}).kind is HOLD
    with pytest.raises(Bug):
        combine({})
