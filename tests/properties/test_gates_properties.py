"""What holds for every block that can be counted."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from dayshift.gates import Block, JudgeState, observe, verdict
from dayshift.gates.judge import evidence
from dayshift.model.evidence import BEYOND_US, Counts, VerdictKind
from tests.gates.world import DEMO

ROUGH = msgspec.structs.replace(DEMO, dispersion_ppm=3_000_000, variation_ppm=200_000)
UNTRUSTED = msgspec.structs.replace(DEMO, trusted=False)
QUICK = settings(max_examples=60, deadline=None)


@st.composite
def counts(draw: st.DrawFn) -> Counts:
    requests = draw(st.integers(0, 400))
    slow = draw(st.integers(0, requests))
    slower = draw(st.integers(0, slow))
    errors = draw(st.integers(0, requests))
    buckets = {
        100_000: requests - slow,
        250_000: requests - slower,
        BEYOND_US: requests,
    }
    return Counts(requests, errors, draw(st.sampled_from([buckets, {}])))


blocks = st.builds(Block, counts(), counts())
any_blocks = st.builds(
    Block, st.one_of(st.none(), counts()), st.one_of(st.none(), counts())
)
policies = st.sampled_from([DEMO, ROUGH, UNTRUSTED])
shares = st.sampled_from([100, 500, 2500, 5000])
histories = st.lists(st.tuples(any_blocks, shares, st.integers(1, 90_000)), max_size=8)


def played(history, policy) -> JudgeState:
    state = JudgeState()
    for block, share, elapsed in history:
        state = observe(state, block, policy, elapsed, share, min(5000, 5 * share))
    return state


@QUICK
@given(histories, policies, st.booleans(), shares, st.integers(0, 10_000_000))
def test_a_verdict_is_always_possible_and_blind_decides_nothing(
    history, policy, fresh, share, dwell
):
    state = played(history, policy)
    answer = verdict(state, policy, share, fresh, dwell)
    assert answer.why and 0 <= answer.smallest_bp <= 10_000
    assert (answer.kind is VerdictKind.BLIND) == (not fresh or state.blind)
    if answer.kind is VerdictKind.PASS:
        assert answer.promote_mlog10 >= answer.promote_need
        assert answer.rollback_mlog10 < 602 and state.share_bp == share
        assert answer.requests > 0
    if answer.kind is VerdictKind.FAIL:
        assert answer.rollback_mlog10 >= answer.rollback_need


@QUICK
@given(histories, blocks, policies)
def test_one_more_bad_answer_never_speaks_for_the_region(history, block, policy):
    canary = block.canary
    if canary.errors >= canary.requests:
        return
    worse = msgspec.structs.replace(canary, errors=canary.errors + 1)
    before = played(history, policy)
    first, second = (
        observe(before, Block(one, block.others), policy, 200, 500, 2500)
        for one in (canary, worse)
    )
    left, right = evidence(first, policy), evidence(second, policy)
    assert right.merged >= left.merged - 1e-9
    assert right.promote <= left.promote + 1e-9


@QUICK
@given(histories, blocks, policies)
def test_the_order_of_buckets_and_regions_inside_a_look_is_nothing(
    history, block, policy
):
    def turned(one: Counts) -> Counts:
        buckets = dict(reversed(one.buckets.items()))
        return msgspec.structs.replace(one, buckets=buckets)

    before = played(history, policy)
    same = Block(turned(block.canary), turned(block.others))
    assert observe(before, same, policy, 200, 500, 2500) == observe(
        before, block, policy, 200, 500, 2500
    )


@QUICK
@given(st.integers(1, 20), st.integers(20, 90), st.integers(0, 3), st.integers(2, 5))
def test_equal_parts_of_a_look_weigh_as_much_as_the_whole(mine, theirs, bad, parts):
    bad = min(bad, mine)
    whole = Block(Counts(mine * parts, bad * parts), Counts(theirs * parts, parts))
    part = Block(Counts(mine, bad), Counts(theirs, 1))
    once = observe(JudgeState(), whole, DEMO, 200 * parts, 500, 2500)
    often = JudgeState()
    for _ in range(parts):
        often = observe(often, part, DEMO, 200, 500, 2500)
    if not once.incident and not often.incident:
        left, right = evidence(once, DEMO), evidence(often, DEMO)
        assert abs(left.merged - right.merged) < 1e-7


@QUICK
@given(histories, blocks)
def test_without_trust_the_comparison_alone_never_fails(history, block):
    calm = [
        (
            Block(
                msgspec.structs.replace(b.canary, errors=0) if b.canary else None,
                b.others,
            ),
            share,
            elapsed,
        )
        for b, share, elapsed in [*history, (block, 500, 200)]
    ]
    state = played(calm, UNTRUSTED)
    answer = verdict(state, UNTRUSTED, 500, True, 0)
    assert answer.kind is not VerdictKind.FAIL


@QUICK
@given(histories, counts(), counts(), policies)
def test_a_shared_incident_never_adds_evidence(history, canary, others, policy):
    before = played(history, policy)
    burning = msgspec.structs.replace(others, requests=400, errors=300)
    quiet = observe(before, Block(Counts(), Counts()), policy, 0, 500, 2500)
    after = observe(before, Block(canary, burning), policy, 0, 500, 2500)
    assert after.incident
    left, right = evidence(quiet, policy), evidence(after, policy)
    assert right.merged <= left.merged + 1e-9
    assert right.promote <= left.promote + 1e-9
