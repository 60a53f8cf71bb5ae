"""Shares add up in every estate: rows, layers of dials, and plans that are wrong."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from dayshift.core import planner, review, steering
from dayshift.limits import FULL_BP
from dayshift.model.dial import ALL, DialKind, Setting
from dayshift.model.estate import DialSpec, Estate, Policy, Region, Service
from dayshift.model.plan import Plan, Stage, Verb
from dayshift.model.units import apportion
from tests.kit.play import REF, change

NAMES = ("ams", "ber", "cgn", "fra", "ham", "muc")
LAYERS = (
    (DialKind.SPLIT,),
    (DialKind.SPLIT, DialKind.FORWARD),
    (DialKind.SPLIT, DialKind.SWITCH),
    (DialKind.SWITCH, DialKind.SPLIT),
    (DialKind.SWITCH, DialKind.FORWARD),
    (DialKind.SWITCH,),
    (DialKind.SPLIT, DialKind.SWITCH, DialKind.FORWARD),
)


@st.composite
def estates(draw: st.DrawFn) -> Estate:
    """Two to six regions, one to three services, unequal shares, layered dials."""
    names = NAMES[: draw(st.integers(2, 6))]
    services = []
    for number in range(draw(st.integers(1, 3))):
        weights = {name: draw(st.integers(1, 100)) for name in names}
        kinds = draw(st.sampled_from(LAYERS))
        services.append(
            Service(
                f"s{number}",
                apportion(FULL_BP, weights),
                dict.fromkeys(names, 1_000),
                tuple(
                    DialSpec(f"s{number}-{i}", kind, REF)
                    for i, kind in enumerate(kinds)
                ),
                (),
                (),
            )
        )
    steps = draw(st.lists(st.integers(1, 6_000), max_size=5, unique=True))
    policy = Policy(
        drain_bp=tuple(sorted(steps, reverse=True)), ramp_bp=tuple(sorted(steps))
    )
    regions = tuple(Region(name) for name in names)
    return Estate("demo", regions, tuple(services), policy=policy)


def plan_of(estate: Estate) -> Plan:
    return planner.make(estate, change(estate.region_names()[0]), Verb.MAINTAIN)


@settings(max_examples=60, deadline=None)
@given(estates())
def test_every_row_sums_and_no_other_region_loses(estate: Estate) -> None:
    plan = plan_of(estate)
    region = plan.passes[0].region
    for stage in (*plan.passes[0].drain, *plan.passes[0].ramp):
        for move in stage.moves:
            assert move.setting.fault() is None
        for service in estate.services:
            row = stage.served[service.name]
            assert sum(row.values()) == FULL_BP
            assert min(row.values()) >= 0
            assert row[region] <= service.shares[region]
            for other in set(row) - {region}:
                assert row[other] >= service.shares[other]
    assert review.faults(plan) == ()


@settings(max_examples=60, deadline=None)
@given(estates())
def test_settings_serve_what_the_stage_says(estate: Estate) -> None:
    """By `steering.served`, dial by dial; and never more than before or after."""
    plan = plan_of(estate)
    region = plan.passes[0].region
    shown = dict(plan.baseline)
    last = {one.name: one.shares[region] for one in estate.services}
    for stage in (*plan.passes[0].drain, *plan.passes[0].ramp):
        for move in stage.moves:
            shown[move.dial] = move.setting
            for service in estate.services:
                row = steering.served(service, shown)
                assert row is not None and sum(row.values()) == FULL_BP
                most = max(last[service.name], stage.served[service.name][region])
                assert row[region] <= most + 1
        for service in estate.services:
            row = steering.served(service, shown)
            assert row is not None
            wanted = stage.served[service.name]
            assert all(abs(row[name] - wanted[name]) <= 1 for name in wanted)
            last[service.name] = wanted[region]


@settings(max_examples=60, deadline=None)
@given(estates(), st.integers(0, 10_000))
def test_the_last_stage_and_the_last_rung(estate: Estate, _seed: int) -> None:
    plan = plan_of(estate)
    one = plan.passes[0]
    shown = dict(plan.baseline)
    for stage in one.drain:
        shown.update({move.dial: move.setting for move in stage.moves})
    for service in estate.services:
        row = steering.served(service, shown)
        assert row is not None and row[one.region] == 0
    for stage in one.ramp:
        shown.update({move.dial: move.setting for move in stage.moves})
    assert shown == plan.baseline
    assert [s.share_bp for s in one.ramp] == sorted({s.share_bp for s in one.ramp})


def _bent_setting(draw: random.Random, setting: Setting) -> Setting:
    """The setting with users moved from one region to another."""
    rows = {key: dict(row) for key, row in setting.rows.items()}
    key = draw.choice(sorted(rows))
    row = rows[key]
    if setting.kind is DialKind.SWITCH:
        name = draw.choice(sorted(row))
        row[name] = FULL_BP - row[name]
    else:
        rich = max(sorted(row), key=lambda name: row[name])
        poor = draw.choice(sorted(set(row) - {rich}) or [rich])
        row[rich] -= 700
        row[poor] += 700 if draw.random() < 0.7 else 0
    return replace(setting, rows=rows)


def _bent_stage(draw: random.Random, stage: Stage) -> Stage:
    if draw.random() < 0.5:
        number = draw.randrange(len(stage.moves))
        move = stage.moves[number]
        moves = list(stage.moves)
        moves[number] = replace(move, setting=_bent_setting(draw, move.setting))
        return replace(stage, moves=tuple(moves))
    service = draw.choice(sorted(stage.served))
    row = dict(stage.served[service])
    name = draw.choice(sorted(row))
    row[name] += draw.choice([-900, 900])
    return replace(stage, served={**stage.served, service: row})


def bend(seed: int, plan: Plan) -> Plan:
    """A plan with one mistake in it, as a planner with a bug would make it."""
    draw = random.Random(seed)
    one = plan.passes[0]
    what = draw.choice(["drain", "ramp", "baseline", "order", "short"])
    if what == "baseline":
        dial = draw.choice(sorted(plan.baseline))
        bent = _bent_setting(draw, plan.baseline[dial])
        plan = replace(plan, baseline={**plan.baseline, dial: bent})
    elif what == "order":
        plan = replace(plan, passes=(replace(one, ramp=one.ramp[::-1]),))
    elif what == "short":
        plan = replace(plan, passes=(replace(one, drain=one.drain[:-1]),))
    else:
        stages = list(getattr(one, what))
        number = draw.randrange(len(stages))
        stages[number] = _bent_stage(draw, stages[number])
        plan = replace(plan, passes=(replace(one, **{what: tuple(stages)}),))
    return replace(plan, digest=planner.digest(plan))


def split_only(plan: Plan) -> bool:
    return all(one.kind is DialKind.SPLIT for one in plan.baseline.values())


@settings(max_examples=150, deadline=None)
@given(estates(), st.integers(0, 10_000))
def test_a_mistake_of_the_planner_is_found(estate: Estate, seed: int) -> None:
    """Either the plan means the same, or the review names a fault."""
    plan = plan_of(estate)
    bent = bend(seed, plan)
    same = bent.digest == plan.digest or _means_the_same(plan, bent)
    assert same or review.faults(bent), (seed, bent)


def _means_the_same(plan: Plan, bent: Plan) -> bool:
    """Users are served alike at every stage, and nothing else differs but rounding:
    an outer dial may show anything where an inner one decides."""

    def rows(one: Plan) -> list[dict[str, int] | None]:
        shown, out = dict(one.baseline), []
        for stage in (*one.passes[0].drain, *one.passes[0].ramp):
            shown.update({move.dial: move.setting for move in stage.moves})
            out.extend(steering.served(s, shown) for s in one.estate.services)
        return out

    return rows(plan) == rows(bent) and plan.baseline == bent.baseline


def test_a_digest_covers_everything_but_what_was_measured() -> None:
    plan = plan_of(
        Estate(
            "demo",
            (Region("fra"), Region("ber")),
            (
                Service(
                    "shop",
                    {"fra": 5_000, "ber": 5_000},
                    {"fra": 9, "ber": 9},
                    (DialSpec("entry", DialKind.SPLIT, REF),),
                    (),
                    (),
                ),
            ),
        )
    )
    touched = replace(plan, verb=Verb.DRAIN)
    assert [one.code for one in review.faults(touched)] == ["DIGEST"]
    assert plan.baseline["entry"].rows[ALL] == {"fra": 5_000, "ber": 5_000}
