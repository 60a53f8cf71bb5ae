"""What the moves of a stage amount to half-way (invariant 9; found by a rehearsal,
wide 2302: somebody's outer dial was adopted, and the inner one moved first)."""

from __future__ import annotations

from dayshift.core import planner, steering
from dayshift.core.guards import capacity_reason
from dayshift.model.dial import DialKind, Setting, split
from dayshift.model.estate import DialSpec
from dayshift.model.plan import Plan, Verb
from tests.kit.play import REF, Play, change, estate, replace

REGIONS = ("fra", "ber", "muc")


def two_layers() -> Play:
    usual = estate(REGIONS)
    dials = (
        DialSpec("dns", DialKind.SPLIT, REF),
        DialSpec("edge", DialKind.FORWARD, REF),
    )
    service = replace(usual.services[0], dials=dials)
    return Play(replace(usual, services=(service,)), change("muc"))


def rows(plan: Plan, standing: steering.Settings) -> list[dict[str, int]]:
    stage = plan.pass_of("muc").drain[-1]
    found = steering.on_the_way(plan.estate.moving(), stage.moves, standing)
    return [row for _, row in found]


def test_from_the_usual_settings_no_step_is_worse_than_the_end() -> None:
    plan = two_layers().plan
    end = plan.pass_of("muc").drain[-1].served["shop"]
    for row in rows(plan, plan.baseline):
        assert all(abs(row[name] - end[name]) <= 1 for name in REGIONS)


def test_an_adopted_change_counts_half_way() -> None:
    """fra could carry the end of the drain, and not what comes before it."""
    play = two_layers()
    plan, sight = play.plan, play.sight()
    stage = plan.pass_of("muc").drain[-1]
    bent = split({"fra": 6000, "ber": 0, "muc": 4000})
    standing: dict[str, Setting] = {**plan.baseline, "dns": bent}
    assert rows(plan, standing) == [{"fra": 8000, "ber": 2000, "muc": 0}]
    assert capacity_reason(plan, sight, stage, plan.baseline) is None
    load = sum(m.mrps for p in sight.places for m in p.meters[:1]) // 1000
    limits = dict.fromkeys(REGIONS, load * 7000 // 8500)
    tight = replace(plan.estate.services[0], capacity_rps=limits)
    narrow = planner.make(
        replace(plan.estate, services=(tight,)), plan.change, Verb.MAINTAIN
    )
    assert capacity_reason(narrow, sight, stage, plan.baseline) is None
    reason = capacity_reason(narrow, sight, stage, standing)
    assert reason is not None and reason.code == "CAPACITY-EXCEEDED"
