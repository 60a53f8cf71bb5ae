"""The order of the questions and the words of the answers, as tables."""

from __future__ import annotations

import msgspec
import pytest

from dayshift.errors import Bug
from dayshift.gates import Judge, Look
from dayshift.gates.incident import failing, slow
from dayshift.gates.signals import Pair, at_entry, common_bound, seen, slow_pair
from dayshift.model.estate import GatePolicy, GaugeRule
from dayshift.model.evidence import Counts, Verdict, VerdictKind
from tests.gates.world import AMS, DEMO, FRA, ONLY_ERRORS, learned, told

PASS, HOLD = VerdictKind.PASS, VerdictKind.HOLD
FAIL, BLIND = VerdictKind.FAIL, VerdictKind.BLIND
UNTRUSTED = msgspec.structs.replace(DEMO, trusted=False)
DIM = msgspec.structs.replace(DEMO, dwell_ms_min=60_000)
COLD = msgspec.structs.replace(DEMO, warmup_ms=120_000)
LOOK_MS = 1_000
Sides = tuple[Counts | None, Counts | None]


def judged(
    *looks: Sides,
    policy: GatePolicy = DEMO,
    share: int = 100,
    judge: Judge | None = None,
    span_ms: int = LOOK_MS,
) -> Judge:
    """The judge after these looks at fra and ams."""
    judge = judge or Judge(policy, (), FRA, (100, 500, 2500, 5000))
    for here, there in looks:
        regions = {FRA: here, AMS: there}
        judge.observe(Look(0, span_ms, share, regions))
    return judge


def said(judge: Judge, **options) -> Verdict:
    return judge.detailed(judge.verdict("service", **options))


CLEAN = [(told(5), told(350))] * 15
BAD = [(told(5, 5), told(350))] * 4
SLOW = [(told(5, 0, 5), told(350))] * 4
ONE_BAD = [(told(5, 1), told(350)), (told(5), told(350))]


@pytest.mark.parametrize(
    ("looks", "policy", "options", "kind", "words"),
    [
        (CLEAN, DEMO, {}, PASS, "0 of 75 requests failed in fra (0 %), 0 % elsewhere"),
        (CLEAN, DEMO, {}, PASS, "more fail than elsewhere; needed 20:1"),
        (CLEAN[:2], DEMO, {}, HOLD, "evidence still thin: 0 of 10 requests"),
        (CLEAN, DIM, {}, HOLD, "15 s of 60 s at 1.00 % are over"),
        (CLEAN, COLD, {}, HOLD, "caches of fra are cold"),
        (CLEAN, DEMO, {"fresh": False}, BLIND, "the last counts are too old"),
        (BAD, DEMO, {"fresh": False}, BLIND, "the last counts are too old"),
        (CLEAN, DEMO, {"share_bp": 500}, HOLD, "nothing counted yet in fra"),
        (BAD, DEMO, {"share_bp": 500}, FAIL, "20 of 20 requests failed in fra (100 %)"),
        (BAD, DEMO, {}, FAIL, "limit 100:1"),
        (SLOW, DEMO, {}, FAIL, "took longer than 100 ms in fra (100 %), 0 % elsewhere"),
        (SLOW, UNTRUSTED, {}, HOLD, "calibration is not trusted: a person decides"),
        (BAD, UNTRUSTED, {}, FAIL, "more than the absolute limit of 2 % fail"),
        ([*CLEAN, (None, told(70))], DEMO, {}, BLIND, "restarted or silent"),
        ([*CLEAN, (told(1), None)], DEMO, {}, BLIND, "restarted or silent"),
        ([*BAD, (told(1), None)], DEMO, {}, BLIND, "restarted or silent"),
        ([(told(9), told(0))] * 9, DEMO, {}, HOLD, "nothing to compare fra with"),
        ([(told(1, 1), told(0))] * 9, DEMO, {}, FAIL, "absolute limit of 2 %"),
        ([(Counts(5), told(350))] * 9, DEMO, {}, HOLD, "no common latency bucket"),
        (ONE_BAD, DEMO, {}, HOLD, "no promotion from 4:1, rollback at 100:1"),
    ],
)
def test_verdicts(looks, policy, options, kind, words):
    answer = said(judged(*looks, policy=policy), **options)
    assert (answer.kind, words in answer.why) == (kind, True), answer.why
    assert bool(answer.needs) == (kind in (HOLD, BLIND))


def test_before_any_look_there_is_nothing_to_say():
    judge = Judge(DEMO, (), FRA)
    assert judge.verdict("service").kind is HOLD
    assert judge.verdict("service", fresh=False).kind is BLIND
    with pytest.raises(Bug):
        judge.combined()


def test_a_blind_look_changes_no_evidence_and_ends_by_itself():
    judge = judged(*CLEAN)
    before = said(judge)
    judged((None, None), judge=judge)
    blind = said(judge)
    assert blind.kind is BLIND
    for field in ("rollback_mlog10", "promote_mlog10", "requests", "smallest_bp"):
        assert getattr(blind, field) == getattr(before, field)
    assert said(judged(CLEAN[0], judge=judge)).kind is PASS


def test_promotion_begins_anew_at_each_share_and_rollback_is_carried():
    judge = judged(*CLEAN, *ONE_BAD)
    suspicion = said(judge)
    judged((told(0), told(350)), share=500, judge=judge)
    after = said(judge)
    assert after.promote_mlog10 <= 0 and after.requests == 0
    assert abs(after.rollback_mlog10 - suspicion.rollback_mlog10) < 100
    assert after.kind is HOLD


def test_going_down_also_begins_anew_but_nothing_is_cold_then():
    judge = judged(*CLEAN, policy=COLD, share=2500)
    judged((told(5, 0, 1), told(350)), judge=judge, share=500)
    answer = said(judge)
    assert (answer.requests, answer.slow) == (5, 1)


def test_slow_answers_count_only_after_the_warm_up():
    judge = judged(*[(told(5, 0, 5), told(350))] * 30, policy=COLD)
    assert said(judge).slow == 0 and said(judge).kind is HOLD
    judged(*[(told(5), told(350))] * 200, judge=judge)
    assert said(judge).kind is PASS


def test_a_shared_incident_holds_and_is_not_held_against_the_region():
    judge = judged(*[(told(5), told(350))] * 70)
    calm = said(judge)
    judged(*[(told(5, 5), told(350, 150))] * 5, judge=judge)
    answer = said(judge)
    assert answer.kind is HOLD and answer.incident and "a shared incident" in answer.why
    assert answer.rollback_mlog10 <= calm.rollback_mlog10 + 5
    assert answer.promote_mlog10 <= calm.promote_mlog10
    assert "usually 0 %" in answer.why


@pytest.mark.parametrize("there", [0, 1])
def test_an_outage_of_the_region_alone_is_no_incident(there):
    judge = judged((told(90, 90), told(260, there)), share=2500)
    assert said(judge).kind is FAIL


def test_a_difference_too_small_to_matter_never_fails():
    look = (told(500_000, 70), told(500_000, 20))
    answer = said(judged(*[look] * 3, policy=ONLY_ERRORS, share=5000))
    assert answer.signals[0].against_mlog10 > answer.rollback_need
    assert answer.kind is HOLD


def test_the_numbers_are_integers_in_their_units():
    answer = said(judged(*CLEAN))
    assert answer.rollback_need in (1999, 2000) and answer.promote_need == 1301
    assert answer.promote_mlog10 >= 1301 and answer.requests == 75
    assert answer.promised_bp == 2000 and answer.wait_ms == 0
    kinds = [(one.signal, one.bound_us) for one in answer.signals]
    assert kinds == [
        ("errors", 0),
        ("slow", 100_000),
        ("slow", 250_000),
        ("absolute", 0),
    ]
    errors = answer.signals[0]
    assert (errors.canary, errors.others) == (75, 5250)
    assert msgspec.json.decode(msgspec.json.encode(answer), type=Verdict) == answer


@pytest.mark.parametrize(
    ("share", "rps", "promised"),
    [
        (100, 350, 2000),
        (500, 350, 400),
        (2500, 350, 200),
        (5000, 350, 200),
        (100, 5, 5000),
        (5000, 5, 667),
    ],
)
def test_one_blast_radius_for_every_rate(share, rps, promised):
    mine = max(1, rps * 10 * share // 10_000)
    judge = judged((told(mine), told(rps * 10 - mine)), share=share, span_ms=10_000)
    assert said(judge).promised_bp == promised


def test_the_caller_may_say_what_comes_next():
    judge = Judge(DEMO, (), FRA)
    regions = {FRA: told(35), AMS: told(3465)}
    answer = judge.observe(Look(0, 10_000, 100, regions, next_bp=10_000))
    assert answer.promised_bp == 100


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


ENTRY = Counts(1000, 30)


@pytest.mark.parametrize(
    ("regions", "here", "others"),
    [
        ({FRA: Counts(10, 1), AMS: Counts(90, 2)}, (10, 1), (90, 2)),
        ({FRA: None, AMS: Counts(90, 2)}, None, (90, 2)),
        ({FRA: Counts(10, 1), AMS: None}, (10, 1), None),
        ({FRA: Counts(10, 1), AMS: Counts(9), "ber": None}, (10, 1), None),
        ({FRA: Counts(10, 1), AMS: Counts(9), "ber": Counts(8, 3)}, (10, 1), (17, 3)),
        ({FRA: Counts(10, 1)}, (10, 1), None),
    ],
)
def test_the_others_are_seen_whole_or_not_at_all(regions, here, others):
    def told_as(one: Counts | None) -> tuple[int, int] | None:
        return None if one is None else (one.requests, one.errors)

    mine, theirs = seen(Look(0, 1, 100, regions), FRA)
    assert (told_as(mine), told_as(theirs)) == (here, others)


@pytest.mark.parametrize(
    ("others", "usual", "errors"),
    [
        (Counts(5_000, 0), 0.0, 96),
        (Counts(5_000, 15), 0.0, 69),
        (None, 0.0, 96),
        (None, 0.003, 69),
    ],
)
def test_the_entry_tells_what_neither_others_nor_chance_explain(others, usual, errors):
    look = Look(0, 1, 5000, {}, entry=Counts(10_000, 100))
    assert at_entry(look, others, usual, 1.0) == Counts(5_000, errors)
    assert at_entry(Look(0, 1, 5000, {}), others, usual, 1.0) is None


@pytest.mark.parametrize(
    ("pair", "usual", "clump", "burns"),
    [
        (Pair(others=1000, others_bad=9), (0, 0), 1, False),
        (Pair(others=1000, others_bad=101), (0, 0), 1, True),
        (Pair(others=1000, others_bad=40), (0, 0), 1, False),
        (Pair(others=1000, others_bad=40), (100, 10_000), 1, True),
        (Pair(others=1000, others_bad=25), (100, 10_000), 1, False),
        (Pair(others=1000, others_bad=40), (100, 10_000), 5, False),
        (Pair(others=1000, others_bad=40), (5, 500), 1, False),
    ],
)
def test_others_fail_much_more_than_usual_or_than_anybody_accepts(
    pair, usual, clump, burns
):
    assert failing(pair, 1000, usual, clump) is burns


def test_others_are_slow_only_beyond_chance():
    usual = (3_000.0, 100_000.0)
    assert not slow(Pair(others=1000, others_bad=45), usual, 1)
    assert slow(Pair(others=10_000, others_bad=450), usual, 1)
    assert not slow(Pair(others=10_000, others_bad=450), usual, 9)
    assert not slow(Pair(others=10_000, others_bad=9_000), (0.0, 0.0), 1)


RULES = (GaugeRule("lag", 2_000), GaugeRule("heap", 8_000, 3_600_000))


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        ({"lag": 100}, "gauge 'heap' is not seen"),
        ({"heap": 100}, "gauge 'lag' is not seen"),
        ({"lag": 2_001, "heap": 100}, "lag is 2.001, above 2"),
        ({"lag": 2_000, "heap": 100, "other": 10**9}, ""),
    ],
)
def test_a_level_only_holds(levels, words):
    policy = msgspec.structs.replace(ONLY_ERRORS, gauges=RULES)
    judge = Judge(policy, (), FRA)
    for at in range(15):
        regions = {FRA: told(5), AMS: told(350)}
        answer = judge.observe(Look(at * 1000, 1000, 100, regions, gauges=levels))
    assert answer.kind is (HOLD if words else PASS)
    assert words in answer.why


def test_a_rising_level_holds_and_a_level_never_fails_or_saves():
    policy = msgspec.structs.replace(ONLY_ERRORS, gauges=RULES)
    for errors, kind in ((0, HOLD), (5, FAIL)):
        judge = Judge(policy, (), FRA)
        for at in range(20):
            levels = {"lag": 0, "heap": 1_000 + 50 * at}
            regions = {FRA: told(5, errors), AMS: told(350)}
            look = Look(at * 10_000, 10_000, 100, regions, gauges=levels)
            answer = judge.observe(look)
        assert answer.kind is kind
        assert ("rises steadily" in answer.why) == (kind is HOLD)


def test_a_calibration_of_another_region_or_stream_is_ignored():
    judge = Judge(GatePolicy(), (learned(), learned(stream="mail")), "ams")
    judge.observe(Look(0, 1000, 100, {FRA: told(100), AMS: told(1)}))
    assert not judge.streams["service"].trusted
    judge = Judge(GatePolicy(), (learned(stream="mail"),), FRA)
    judge.observe(Look(0, 1000, 100, {FRA: told(1), AMS: told(100)}))
    assert not judge.streams["service"].trusted
