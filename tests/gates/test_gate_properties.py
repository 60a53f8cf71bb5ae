"""What holds for every sequence of looks that can be told, however strange."""

from __future__ import annotations

import math
import warnings

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dayshift.gates import Judge, Look
from dayshift.gates.compare import Comparison
from dayshift.gates.noise import Belief
from dayshift.gates.noninferior import log_evidence
from dayshift.gates.signals import Pair
from dayshift.gates.stream import Stream
from dayshift.gates.words import SUBSTANTIAL_ODDS
from dayshift.model.calibration import Calibration, SignalNoise
from dayshift.model.estate import GatePolicy, GaugeRule
from dayshift.model.evidence import BEYOND_US, Counts, VerdictKind
from tests.gates.test_gate_twins import KINDS
from tests.gates.world import AMS, DEMO, FRA, ONLY_ERRORS, PPM, learned

PASS, FAIL, BLIND = VerdictKind.PASS, VerdictKind.FAIL, VerdictKind.BLIND
QUICK = settings(max_examples=80, deadline=None)
NYC = "nyc"
SIGHTED = Calibration(
    "service",
    FRA,
    (
        SignalNoise(0, 1_000_000, 4 * PPM, 5 * PPM, 30_000, 60_000, 20_000, 30_000),
        SignalNoise(250_000, 30_000_000, own_dispersion_ppm=PPM, bias_ppm=200_000),
    ),
    trusted=True,
    requests=10_000_000,
    mrps=500_000,
)
GAUGED = msgspec.structs.replace(
    DEMO, gauges=(GaugeRule("heap", 5_000, 600_000), GaugeRule("lag", 100))
)
JUDGES = [
    (DEMO, ()),
    (GatePolicy(), ()),
    (GAUGED, (SIGHTED,)),
    (GatePolicy(warmup_ms=0, dwell_ms_min=0), (SIGHTED,)),
    (GatePolicy(absolute_error_bp=0, blast_bp=0, harm_requests=0, horizon_ms=0), ()),
]

amounts = st.one_of(st.integers(0, 40), st.integers(0, 10_000), st.just(10**9))
layouts = st.sampled_from(
    [(), (BEYOND_US,), (100_000, BEYOND_US), (90_000, 250_000), (1, 250_000, 10**7)]
)


@st.composite
def counts(draw: st.DrawFn) -> Counts:
    """Also more errors than requests, and buckets that hold fewer than their lower."""
    requests, errors, layout = draw(amounts), draw(amounts), draw(layouts)
    return Counts(requests, errors, {bound: draw(amounts) for bound in layout})


@st.composite
def looks(draw: st.DrawFn, at_ms: int = 0) -> Look:
    regions = {
        name: draw(st.one_of(st.none(), counts()))
        for name in draw(st.sets(st.sampled_from([FRA, AMS, NYC])))
    }
    return Look(
        at_ms=draw(st.integers(0, 10**7)),
        span_ms=draw(st.sampled_from([0, 1, 200, 15_000, 60_000, 10**8])),
        share_bp=draw(st.sampled_from([1, 100, 500, 5000, 10_000])),
        regions=regions,
        stream=draw(st.sampled_from(["service", "service", "mail/vip"])),
        next_bp=draw(st.sampled_from([0, 0, 1, 10_000])),
        entry=draw(st.one_of(st.none(), counts())),
        gauges=draw(
            st.dictionaries(
                st.sampled_from(["heap", "lag", "unheard"]),
                st.integers(-(10**15), 10**15),
                max_size=2,
            )
        ),
    )


@QUICK
@given(st.lists(looks(), min_size=1, max_size=12), st.sampled_from(JUDGES))
def test_any_looks_get_a_verdict_with_finite_numbers(history, judged):
    policy, calibrations = judged
    judge = Judge(policy, calibrations, FRA)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*invalid value.*")
        for look in history:
            answer = judge.observe(look)
            stream = judge.streams[look.stream]
            assert answer.why and 0 <= answer.smallest_bp <= 10_000
            assert 0 <= answer.promised_bp <= 10_000
            for name in judge.streams:
                _consistent(judge, name)
            for low, high in stream.bands():
                assert 0 <= low <= high < math.inf
            assert np.isfinite(stream.against()).all()
            assert msgspec.json.decode(msgspec.json.encode(answer))


def _consistent(judge: Judge, name: str) -> None:
    stream, answer = judge.streams[name], judge.verdict(name)
    policy = judge.policy
    if stream.blind:
        assert answer.kind not in (PASS,)
    if answer.kind is PASS:
        assert not stream.blind and not stream.entry_only and not stream.incident
        assert answer.promote_mlog10 >= answer.promote_need - 1
        assert answer.requests > 0
        turning = policy.rollback_odds * SUBSTANTIAL_ODDS
        assert answer.rollback_mlog10 <= 500 * math.log10(turning)
    if answer.kind is FAIL:
        assert answer.rollback_mlog10 >= answer.rollback_need
        assert not stream.incident or "absolute limit" in answer.why
    stale = judge.verdict(name, fresh=False)
    assert stale.kind is BLIND
    elsewhere = judge.verdict(name, share_bp=stream.share_bp + 1)
    assert elsewhere.kind is not PASS


evidence_counts = st.tuples(
    st.integers(1, 3_000),
    st.integers(0, 60),
    st.integers(1, 50_000),
    st.integers(0, 90),
)


def _log(noise, row: tuple[int, int, int, int]) -> float:
    comparison = Comparison(noise)
    comparison.begin(np.array([0.001]), 30_000)
    return float(comparison.logs(np.array([row], dtype=float))[0])


@pytest.mark.parametrize("clump", [1.0, 1.2, 4.0, 16.0])
@pytest.mark.parametrize("wander", [0.0, 0.4])
@QUICK
@given(evidence_counts)
def test_one_bad_answer_here_or_good_one_elsewhere_never_clears(clump, wander, row):
    """Exactly so for every single belief about the split of bad answers. Not for
    several together, nor with a usual level: a lone bad answer then also says that
    they do not come in clumps, or that the block is a strange one."""
    here, bad, there, others_bad = row
    if bad >= here or others_bad >= there:
        return
    noise = msgspec.structs.replace(
        KINDS["quiet"][0], beliefs=(Belief(clump, wander, 0.0),)
    )
    now = _log((noise,), row)
    assert _log((noise,), (here, bad + 1, there, others_bad)) >= now - 1e-9
    assert _log((noise,), (here, bad, there, others_bad + 1)) <= now + 1e-9
    if clump == 1.0:
        assert _log((noise,), (here + 1, bad, there, others_bad)) <= now + 1e-9


@pytest.mark.parametrize("share", [500, 2500, 5000])
@pytest.mark.parametrize("clumps", [1, 9])
def test_whoever_is_turned_back_would_be_with_more_errors_too(share, clumps):
    """With all beliefs and the guard together: once FAIL, FAIL up to all failing."""
    noise = learned(dispersion_ppm=clumps * PPM, own_dispersion_ppm=clumps * PPM)
    here = 7_500 * share // 10_000
    kinds = []
    for bad in sorted({*np.geomspace(1, here, 40).astype(int)}):
        judge = Judge(GatePolicy(), (noise,), FRA)
        for at, errors in ((15_000, int(bad)), (30_000, 0)):
            regions = {FRA: Counts(here, errors), AMS: Counts(7_500 - here, 6)}
            regions = regions if at == 15_000 else {FRA: Counts(), AMS: Counts()}
            answer = judge.observe(Look(at, 15_000, share, regions))
        kinds.append(answer.kind)
    assert FAIL in kinds and set(kinds[kinds.index(FAIL) :]) == {FAIL}


@QUICK
@given(
    st.integers(1, 400),
    st.integers(0, 40),
    st.integers(1, 9_000),
    st.integers(0, 90),
    st.floats(1e-6, 0.3),
    st.floats(1e-3, 0.4),
)
def test_promotion_falls_with_every_bad_answer(
    here, bad, there, others_bad, rate, excess
):
    bad, others_bad = min(bad, here), min(others_bad, there)

    def log(x: int, y: int) -> float:
        return log_evidence(Pair(here, x, there, y), rate, excess)

    assert log(bad + 1, others_bad) <= log(bad, others_bad) + 1e-9
    assert log(bad, others_bad + 1) >= log(bad, others_bad) - 1e-9


@pytest.mark.parametrize("cut", [2, 4, 59])
@given(st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_a_block_says_the_same_in_however_many_looks_it_is_told(cut, seed):
    """Exactly, under these conditions: one share, no incident, less than a block in
    all, the usual traffic known (else the urn's weight is set at the block's first
    look, by what the rate is then), and the last look let in by a step."""
    known = msgspec.structs.replace(learned(0.003), mrps=1_000_000)
    rng = np.random.default_rng(seed)
    parts = [
        (100, int(rng.binomial(100, 0.01)), 400, int(rng.binomial(400, 0.003)))
        for _ in range(118)
    ]
    once, often = (Stream(ONLY_ERRORS, known, FRA) for _ in range(2))
    for stream, groups in ((once, [parts]), (often, np.array_split(parts, cut))):
        for group in groups:
            n, x, m, y = (int(one) for one in np.sum(group, axis=0))
            regions = {FRA: Counts(n, x), AMS: Counts(m, y)}
            stream.look(Look(0, 500 * len(group), 500, regions), 2500)
            # A few errors of the others at once may pass for an incident.
            assume(not any(map(any, stream._burned)))
        stream.look(Look(0, 15_000, 2500, {FRA: Counts(9), AMS: Counts(9)}), 5000)
    assert often.against() == pytest.approx(once.against(), abs=1e-9)
    assert often.absolute.log() == pytest.approx(once.absolute.log(), abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_evidence_is_finite_at_the_ends_of_what_can_be_counted(kind):
    for here in (1, 10**9):
        for bad in (0, here):
            for there in (1, 10**9):
                for others_bad in (0, there):
                    assert math.isfinite(
                        _log(KINDS[kind], (here, bad, there, others_bad))
                    )
