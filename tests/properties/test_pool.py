"""Addresses and shares: what is written is what is read, in every step promised."""

from __future__ import annotations

import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dayshift.drivers.dials.names.pool import Pool
from dayshift.limits import FULL_BP
from dayshift.model.dial import ALL, DialKind, Setting, split
from dayshift.model.units import apportion

REGIONS = ("ber", "fra", "muc")
SIZES = st.lists(st.integers(1, 12), min_size=2, max_size=3)


def pool_of(four: list[int], six: list[int], kind: DialKind = DialKind.SPLIT) -> Pool:
    """So many IPv4 and IPv6 addresses for each region."""
    return Pool(
        {
            region: [
                *(f"192.0.{number}.{one}" for one in range(1, n4 + 1)),
                *(f"2001:db8:{number}::{one:x}" for one in range(1, n6 + 1)),
            ]
            for number, (region, n4, n6) in enumerate(
                zip(REGIONS, four, six or [0] * len(four), strict=False)
            )
        },
        kind,
    )


EVEN_IF_SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def both(found: tuple[list[int], list[int]]) -> Pool:
    """Of as many regions as both families have."""
    count = min(map(len, found))
    return pool_of(found[0][:count], found[1][:count])


POOLS = st.tuples(SIZES, SIZES).map(both)


@EVEN_IF_SLOW
@given(POOLS, st.data())
def test_every_promised_step_is_written_and_read(
    pool: Pool, data: st.DataObject
) -> None:
    steps = FULL_BP // pool.granularity_bp
    assert steps * pool.granularity_bp == FULL_BP
    cuts = data.draw(
        st.lists(
            st.integers(0, steps),
            min_size=len(pool.regions) - 1,
            max_size=len(pool.regions) - 1,
        ).map(sorted)
    )
    parts = [b - a for a, b in itertools.pairwise([0, *cuts, steps])]
    row = {r: n * pool.granularity_bp for r, n in zip(pool.regions, parts, strict=True)}
    records = pool.records(split(row))
    assert records is not None
    assert set(records) == set(pool.families) and all(records.values())
    assert pool.shown(records).setting == split(row)


@EVEN_IF_SLOW
@given(POOLS, st.lists(st.integers(0, 50), min_size=3, max_size=3).filter(any))
def test_what_no_number_gives_is_told_and_never_rounded(
    pool: Pool, weights: list[int]
) -> None:
    wish = dict(zip(pool.regions, weights, strict=False))
    if not any(wish.values()):
        wish[pool.regions[0]] = 1
    setting = split(apportion(FULL_BP, wish))
    records = pool.records(setting)
    assert records is None or pool.shown(records).setting == setting


@EVEN_IF_SLOW
@given(SIZES, st.data())
def test_a_region_without_a_share_has_no_address_left(
    sizes: list[int], data: st.DataObject
) -> None:
    for kind in (DialKind.SPLIT, DialKind.SWITCH):
        pool = pool_of(sizes, sizes, kind)
        alone = data.draw(st.sampled_from(pool.regions))
        row = {region: FULL_BP * (region == alone) for region in pool.regions}
        records = pool.records(Setting(kind, {ALL: row}))
        assert records is not None
        every = [one for values in records.values() for one in values]
        assert {pool.region_of[one] for one in every} == {alone}


def test_one_address_each_is_all_or_half_or_nothing() -> None:
    pool = pool_of([1, 1], [])
    assert pool.granularity_bp == FULL_BP
    for fra, can in ((0, True), (5_000, True), (10_000, True), (2_500, False)):
        setting = split({"ber": FULL_BP - fra, "fra": fra})
        assert (pool.records(setting) is not None) is can
