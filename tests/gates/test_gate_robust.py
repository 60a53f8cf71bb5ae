"""Looks as meters really give them: late, twice, restarted, silent; and memory."""

from __future__ import annotations

import gc
import pickle
import tracemalloc

import msgspec
import numpy as np
import pytest

from dayshift.gates import Judge, Look
from dayshift.model.estate import GatePolicy, GaugeRule
from dayshift.model.evidence import (
    BEYOND_US,
    Counts,
    MeterReading,
    Verdict,
    VerdictKind,
    since,
)
from dayshift.model.units import Instant
from tests.gates.world import AMS, DEMO, FRA, SCRAPE_MS, learned, told

PASS, HOLD = VerdictKind.PASS, VerdictKind.HOLD
FAIL, BLIND = VerdictKind.FAIL, VerdictKind.BLIND
KNOWN = (learned(0.001),)


def look(here: Counts | None, there: Counts | None, share: int = 5000, **more) -> Look:
    return Look(0, SCRAPE_MS, share, {FRA: here, AMS: there}, **more)


def healthy(judge: Judge, looks: int = 20, share: int = 5000) -> Verdict:
    for _ in range(looks):
        said = judge.observe(look(Counts(3_750, 4), Counts(3_750, 4), share))
    return said


def reading(requests: int, errors: int, series: str = "a") -> MeterReading:
    at = Instant(0, 0, "boot")
    buckets = {100_000: requests, BEYOND_US: requests}
    return MeterReading(at, requests, errors, 0, 0, buckets, {}, series)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (reading(1000, 5), reading(10, 0)),
        (reading(2**64 - 1, 5), reading(7, 5)),
        (reading(1000, 5), reading(2000, 4)),
        (reading(1000, 5), reading(2000, 9, "b")),
    ],
)
def test_a_reset_or_an_overflow_is_a_blind_look_and_never_zero(before, after):
    counts = since(before, after)
    assert counts is None
    judge = Judge(GatePolicy(), KNOWN, FRA)
    evidence = healthy(judge).rollback_mlog10
    said = judge.observe(look(counts, Counts(3_750, 4)))
    assert said.kind is BLIND and said.rollback_mlog10 == evidence
    assert healthy(judge, 1).kind is PASS


def test_a_gap_makes_the_next_look_longer_and_nothing_is_lost():
    one, gaps = Judge(GatePolicy(), KNOWN, FRA), Judge(GatePolicy(), KNOWN, FRA)
    for _ in range(10):
        for _ in range(2):
            first = one.observe(look(Counts(3_750, 5), Counts(3_750, 4)))
        gaps.observe(look(None, Counts(3_750, 4)))
        second = gaps.observe(
            Look(
                0, 2 * SCRAPE_MS, 5000, {FRA: Counts(7_500, 10), AMS: Counts(7_500, 8)}
            )
        )
    assert first.requests == second.requests and first.kind is second.kind
    assert abs(first.rollback_mlog10 - second.rollback_mlog10) < 300


@pytest.mark.parametrize("spans", [[0] * 40, [0, 0, 60_000] * 10, [10**8] + [0] * 20])
def test_a_clock_that_stands_or_jumps_raises_nothing(spans):
    judge = Judge(GatePolicy(), KNOWN, FRA)
    for at, span in enumerate(spans):
        regions = {FRA: Counts(100), AMS: Counts(100)}
        said = judge.observe(Look(-at, span, 5000, regions))
        assert said.kind in (PASS, HOLD)
    if not any(spans):
        assert said.kind is HOLD and "rate of all traffic is not known" in said.why


@pytest.mark.parametrize("nobody", [FRA, AMS])
def test_nobody_comes_to_one_region(nobody):
    """At any traffic and with any history: no crash, no pass, no fail."""
    judge = Judge(GatePolicy(), KNOWN, FRA)
    for n in (1, 1_000, 10**6, 10**9):
        counts = {FRA: Counts(n, n // 1000), AMS: Counts(n, n // 1000)}
        counts[nobody] = Counts()
        for _ in range(12):
            said = judge.observe(look(counts[FRA], counts[AMS]))
            assert said.kind is HOLD
    assert np.isfinite(judge.streams["service"].against()).all()


def test_the_share_may_change_at_any_look_up_and_down():
    judge = Judge(DEMO, (), FRA)
    for share in (100, 500, 100, 2500, 2500, 1, 10_000, 5000, 5001):
        for _ in range(2):
            mine = 100 * share // 10_000 + 1
            said = judge.observe(
                Look(0, 200, share, {FRA: told(mine), AMS: told(101 - min(mine, 100))})
            )
            assert said.kind in (PASS, HOLD)
            assert said.requests <= 4 * mine


def test_a_region_that_kills_its_meter_does_not_hide_its_outage():
    """The users' entry counts; the others' meters do too, or do not."""
    for there in (Counts(3_750, 4), None):
        judge = Judge(GatePolicy(), KNOWN, FRA)
        assert healthy(judge).kind is PASS
        said = judge.observe(look(None, there, entry=Counts(7_500, 3_754)))
        assert said.kind is FAIL, there
    judge = Judge(GatePolicy(), KNOWN, FRA)
    healthy(judge)
    assert judge.observe(look(None, Counts(3_750, 4))).kind is BLIND


def test_ten_times_the_errors_at_the_entry_are_found_by_comparison():
    rng, judge = np.random.default_rng(1), Judge(GatePolicy(), KNOWN, FRA)
    healthy(judge)
    for _ in range(20):
        x, y = int(rng.poisson(37.5)), int(rng.poisson(3.75))
        entry = Counts(7_500, x + y)
        said = judge.observe(look(None, Counts(3_750, y), entry=entry))
        if said.kind is FAIL:
            break
    assert said.kind is FAIL and "is worse" in said.why


def test_only_the_entry_and_nobody_else_never_passes():
    judge = Judge(DEMO, (), FRA)
    for _ in range(60):
        said = judge.observe(look(None, None, 100, entry=told(350)))
        assert said.kind is BLIND and "nothing passes" in said.why


def test_blind_never_passes_however_much_was_proven():
    judge = Judge(GatePolicy(), KNOWN, FRA)
    assert healthy(judge, 100).kind is PASS
    for missing in (
        {FRA: None, AMS: Counts(9)},
        {FRA: Counts(9)},
        {},
        {AMS: Counts(9)},
    ):
        assert judge.observe(Look(0, 1, 5000, missing)).kind is BLIND
    healthy(judge, 1)
    assert judge.verdict("service", fresh=False).kind is BLIND


def test_layouts_of_buckets_may_change_under_way():
    judge = Judge(DEMO, (), FRA)
    layouts = [
        {100_000: 5, 250_000: 5, BEYOND_US: 5},
        {},
        {90_000: 5, 260_000: 5, BEYOND_US: 5},
        {1: 0, 10**9: 5},
        {100_000: 3, 250_000: 2, BEYOND_US: 1},
    ]
    for mine in layouts:
        for theirs in layouts:
            here, there = Counts(5, 0, mine), Counts(5, 0, theirs)
            said = judge.observe(Look(0, 200, 5000, {FRA: here, AMS: there}))
            assert said.kind in (PASS, HOLD)


def test_more_errors_than_requests_are_as_many_requests():
    judge = Judge(GatePolicy(), KNOWN, FRA)
    said = judge.observe(look(Counts(0, 400), Counts(3_750, 4)))
    assert said.kind is FAIL and (said.requests, said.errors) == (400, 400)


def test_memory_stays_after_twenty_thousand_looks():
    gauged = msgspec.structs.replace(DEMO, gauges=(GaugeRule("heap", 10**9, 60_000),))
    judge = Judge(gauged, (), FRA)
    rng = np.random.default_rng(0)
    told_of = [told(5, int(x), int(x)) for x in rng.random(64) < 0.02]

    def run(looks: int) -> None:
        stream = judge._stream("service")
        for at in range(looks):
            regions = {FRA: told_of[at % 64], AMS: told_of[at % 61]}
            share = 500 if at % 977 else 2500
            one = Look(at * 1000, 1000, share, regions, gauges={"heap": at})
            judge.observe(one) if at % 100 == 0 else stream.look(one, 5000)

    run(1_000)
    size, state = len(msgspec.json.encode(judge.combined())), len(pickle.dumps(judge))
    gc.collect()
    objects = len(gc.get_objects())
    tracemalloc.start()
    run(500)
    before = tracemalloc.get_traced_memory()[0]
    run(2_000)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    run(18_000)
    gc.collect()
    assert grown < 50_000 and len(gc.get_objects()) - objects < 500
    assert len(pickle.dumps(judge)) < state + 1_000
    assert len(msgspec.json.encode(judge.combined())) < size + 400
