"""What is found by an index or in one walk is what a naive search finds."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from dayshift.core import capacity, guards, interlock, keeping, planner, proof
from dayshift.core.state import Asked
from dayshift.limits import WHOLE_PLACES_MAX
from dayshift.model.dial import DialReading, InstanceReading, split
from dayshift.model.estate import Estate, Policy, Service
from dayshift.model.evidence import Residue, Side
from dayshift.model.plan import Capacity, Verb
from dayshift.model.records import Action, ActionKind, OutcomeKind
from dayshift.model.sight import Kept, MeterSight, PlaceSight, ProbeSight, Sight
from dayshift.model.units import FULL_BP, Instant
from tests.kit.play import Play, change, estate

AT = Instant(1, 1, "b")
REGIONS = ("ber", "fra", "muc", "vie")
numbers = st.sampled_from([0, 1, 2, 3, 9, 10, 11, 4_000, 30_000, 600_000])
ages = st.sampled_from([None, 0, 10, 3_000, 3_001])
meters = st.builds(
    MeterSight,
    meter=st.sampled_from(["entry", "edge"]),
    side=st.sampled_from(list(Side)),
    age_ms=ages,
    mrps=numbers,
    errors=numbers,
    error_ppm=numbers,
    residue=st.sampled_from([(), (Residue("192.0.2.1", "user", 1),)]),
)
probes = st.builds(ProbeSight, st.just("p"), st.integers(0, 2), st.integers(0, 4), ages)
places = st.builds(
    PlaceSight,
    service=st.sampled_from(["shop", "mail"]),
    region=st.sampled_from(REGIONS),
    meters=st.lists(meters, max_size=3).map(tuple),
    probes=st.lists(probes, max_size=2).map(tuple),
)
sights = st.lists(places, max_size=12).map(lambda seen: Sight(AT, places=tuple(seen)))
policies = st.builds(Policy, serving=st.integers(1, 3))
rows = st.fixed_dictionaries(dict.fromkeys(REGIONS, st.sampled_from([0, 10, 2_500])))


def naive_place(sight: Sight, service: str, region: str) -> PlaceSight:
    for one in sight.places:
        if one.service == service and one.region == region:
            return one
    return PlaceSight(service, region)


def naive_load(sight: Sight, service: Service, fresh_ms: int) -> int | None:
    total = 0
    for region in service.shares:
        users = [
            one
            for one in naive_place(sight, service.name, region).meters
            if one.side is Side.USERS
            and one.age_ms is not None
            and one.age_ms <= fresh_ms
        ]
        if not users:
            return None
        total += min(users, key=lambda one: one.age_ms or 0).mrps
    return total


def naive_survivors(
    the_estate: Estate, sight: Sight, region: str
) -> tuple[str, str] | None:
    policy = the_estate.policy
    for service in the_estate.services:
        others = [name for name in service.shares if name != region]
        healthy = [n for n in others if proof.serving(sight, service.name, n, policy)]
        if len(healthy) < policy.serving:
            return "LAST-SERVER", f"{len(healthy)} other regions"
        for name in others:
            text = proof.trouble(sight, service, name, policy)
            if text and service.shares[name]:
                return "SURVIVOR-TROUBLE", text
    return None


def naive_worst(service: Service, row: dict[str, int], mrps: int) -> Capacity:
    return max(capacity.after(service, row, mrps), key=lambda one: one.filled_bp)


@given(sights)
def test_a_place_is_the_first_that_was_seen(sight: Sight) -> None:
    for service in ("shop", "mail", "none"):
        for region in REGIONS:
            found = sight.place(service, region)
            assert found == naive_place(sight, service, region)


@settings(max_examples=300, deadline=None)
@given(sights, policies, rows)
def test_survivors_and_load_are_those_of_a_search(
    sight: Sight, policy: Policy, shares: dict[str, int]
) -> None:
    shop = replace(estate(REGIONS).services[0], shares=shares)
    mail = replace(shop, name="mail")
    the_estate = replace(estate(REGIONS), services=(shop, mail), policy=policy)
    plan = replace(
        planner.make(estate(REGIONS), change("fra"), Verb.DRAIN), estate=the_estate
    )
    for service in (shop, mail):
        ms = policy.fresh_ms
        assert capacity.load_mrps(sight, service, ms) == naive_load(sight, service, ms)
    found = guards.survivors_reason(plan, sight, "fra")
    naive = naive_survivors(the_estate, sight, "fra")
    assert (found is None) == (naive is None)
    if found is not None and naive is not None:
        assert found.code == naive[0] and naive[1] in found.what


@given(rows, rows, st.integers(0, 10_000_000))
def test_the_fullest_region_is_that_of_a_search(
    row: dict[str, int], limits: dict[str, int], mrps: int
) -> None:
    shop = replace(estate(REGIONS).services[0], capacity_rps=limits)
    mail = replace(shop, name="mail", capacity_rps=dict.fromkeys(REGIONS, 25))
    given_rows, loads = {"shop": row, "mail": row}, {"shop": mrps, "mail": mrps}
    for services in ((shop, mail), (mail, shop)):
        each = [naive_worst(one, row, mrps) for one in services]
        found = capacity.worst(services, given_rows, loads)
        assert found == max(each, key=lambda one: one.filled_bp)
    assert capacity.worst((shop,), {}, loads) is None


settings_of_dials = st.sampled_from(
    [None, split({"fra": FULL_BP}), split({"ber": FULL_BP}), split({"fra": FULL_BP})]
)


@given(st.lists(settings_of_dials, max_size=4))
def test_instances_that_disagree_are_mixed(shown: list) -> None:  # type: ignore[type-arg]
    each = tuple(InstanceReading("a", one, None) for one in shown)
    different = {msgspec.json.encode(one, order="sorted") for one in shown}
    reading = DialReading("d", AT, each)
    assert reading.mixed == (len(different) > 1)
    for setting in (None, split({"fra": FULL_BP})):
        plain = bool(each) and not reading.mixed and reading.setting == setting
        assert reading.shows(setting) == plain


asked = st.builds(
    lambda kind, dial, region, seq, lease_ms, result: Asked(
        Action(kind, "k", dial, region, lease_ms=lease_ms), 1, seq, AT, result=result
    ),
    st.sampled_from(list(ActionKind)),
    st.sampled_from(["entry", "dns"]),
    st.sampled_from(["fra", "ber"]),
    st.integers(1, 99),
    st.sampled_from([0, 30_000]),
    st.sampled_from([None, *OutcomeKind]),
)


@given(st.lists(asked, max_size=12, unique_by=lambda one: one.seq))
def test_the_newest_write_is_that_of_a_search(every: list[Asked]) -> None:
    play = Play()
    run = replace(play.run, asked={str(one.seq): one for one in every})
    newest = interlock._newest_writes(run, run.now_at)
    for dial in ("entry", "dns"):
        writes = [
            one
            for one in every
            if one.action.kind in (ActionKind.SET_DIAL, ActionKind.HOLD_DIAL)
            and (one.action.target, one.action.region) == (dial, "fra")
        ]
        assert newest.get(dial) == max(writes, key=lambda one: one.seq, default=None)


@given(sights)
def test_a_small_estate_is_kept_whole_but_for_people(sight: Sight) -> None:
    kept = keeping.kept(Play().state, sight)
    assert "192.0.2.1" not in str(msgspec.to_builtins(kept))
    bare = tuple(
        replace(one, meters=tuple(replace(m, residue=()) for m in one.meters))
        for one in sight.places
    )
    assert kept == replace(sight, places=bare)


def test_of_a_large_estate_is_kept_what_was_asked_of_it() -> None:
    names = tuple(f"r{number}" for number in range(WHOLE_PLACES_MAX + 1))
    play = Play(estate(names), change(names[0]))
    seen = play.sight()
    hurt = replace(seen.places[7].meters[0], errors=99, error_ppm=500_000)
    trouble = replace(seen.places[7], meters=(hurt, *seen.places[7].meters[1:]))
    dead = (*seen.places[:7], trouble, *seen.places[8:])
    kept = keeping.kept(play.state, replace(seen, places=dead))
    assert isinstance(kept, Kept)
    assert [one.region for one in kept.places] == [names[0]]
    assert kept.steady == {"entry": {"a": ""}} and not kept.dials
    shop = kept.survivors[0]
    assert (shop.serving, shop.places, shop.measured) == (1, 257, 257)
    assert names[7] in shop.trouble[0]
    written = msgspec.to_builtins(kept)
    assert msgspec.convert(written, Kept) == kept
    moved = replace(play.state, confirmed={"entry": split({names[0]: FULL_BP})})
    differs = keeping.kept(moved, replace(seen, places=dead))
    assert isinstance(differs, Kept)
    assert list(differs.dials) == ["entry"] and not differs.steady
