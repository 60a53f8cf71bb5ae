"""The report as data: what happened, how long it took, on which evidence."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from dayshift.core import planner
from dayshift.model import records as r
from dayshift.model.plan import Verb
from dayshift.model.records import ActionKind, Phase
from dayshift.surfaces import report
from dayshift.surfaces.report import SamplePoint, build, read_samples, thin, to_json
from tests.kit.story import (
    RUN,
    START_MS,
    USERS,
    Tale,
    change,
    estate,
    run_until,
    samples,
    the_tale,
)

Matches = Callable[[str, str, Tale], None]


def test_the_report_of_a_held_run(matches: Matches) -> None:
    """Without the long lists, which have tests of their own."""
    tale = run_until("held")
    told = msgspec.json.decode(to_json(build(tale.records, tale.plan)))
    for long in ("policy", "decisions", "timeline"):
        told.pop(long)
    text = msgspec.json.format(msgspec.json.encode(told), indent=1).decode() + "\n"
    matches("report-held.json", text, tale)


def test_times_of_a_pass() -> None:
    tale = the_tale()
    fra, ber = build(tale.records, tale.plan).passes
    assert (fra.drain_ms, fra.empty_ms, fra.return_ms) == (1_080, 2_980, 14_560)
    assert ber.empty_ms == 7_980
    zero = fra.zeros[0]
    assert zero.outcome_wall_ms - zero.intent_wall_ms == 40
    assert fra.zero_decided_wall_ms == zero.decided_wall_ms
    assert fra.zero_read_back_wall_ms == zero.outcome_wall_ms


def test_the_decision_instant_is_that_of_the_sight_it_was_taken_on() -> None:
    tale = run_until("opened")
    tale.phase("fra", Phase.PREFLIGHT, Phase.DRAINING)
    tale.observed()
    seen = tale.now().wall_ms
    tale.wait(7)
    setting = tale.plan.pass_of("fra").drain[-1].moves[0].setting
    tale.act(ActionKind.SET_DIAL, "entry", "fra", setting=setting)
    zero = build(tale.records, tale.plan).passes[0].zeros[0]
    assert (zero.decided_wall_ms, zero.intent_wall_ms) == (seen, seen + 7)


def test_a_retreat_to_zero_is_listed_but_is_no_drain() -> None:
    fra, ber = build(run_until("held").records, Tale().plan).passes
    assert [one.phase for one in fra.zeros] == ["draining", "returning"]
    assert fra.return_ms is None
    assert (ber.phases, ber.drain_ms, ber.zeros) == ((), None, ())


def test_work_names_its_exit_code_and_output() -> None:
    tale = run_until("working")
    tale.add(r.Worked("fra", "upgrade", 3, "no such version", "ab" * 32))
    tale.act(ActionKind.START_WORK, "upgrade", "fra", text="fra-upgrade-1")
    tale.add(r.Worked("fra", "upgrade", 0, "", "cd" * 32))
    tale.act(ActionKind.UNDO_WORK, "upgrade", "fra", text="fra-upgrade-1")
    first, second = build(tale.records, tale.plan).passes[0].work
    assert (first.exit_code, first.detail, first.output) == (
        3,
        "no such version",
        "ab" * 32,
    )
    assert (second.exit_code, second.undone_wall_ms > 0) == (0, True)
    assert not first.undone_wall_ms


def test_a_hold_names_the_exit_that_was_taken_and_by_whom() -> None:
    tale = run_until("held")
    assert build(tale.records, tale.plan).result == "held"
    tale.add(r.Requested("adopt", "eve", {}, "a"), r.Answered("a", False))
    tale.wait(1_000)
    tale.add(r.Requested("retry", "grace", {}, "b"), r.Answered("b", True))
    told = build(tale.records, tale.plan)
    (hold,) = told.holds
    assert (hold.exit, hold.person, hold.region) == ("retry", "grace", "fra")
    assert hold.held_ms is not None and hold.held_ms > 13_000
    assert told.result == "open"
    assert [one.granted for one in told.requests] == [False, True]
    assert told.refusals[0].what == "eve asked: adopt"


def test_an_override_is_named_with_its_persons_and_reason() -> None:
    tale = run_until("held")
    args = {"code": "BLIND", "reason": "meter is known", "second": "grace"}
    tale.add(r.Requested("accept", "ada", args, "a"), r.Answered("a", True))
    tale.add(r.Requested("return", "ada", {"region": "fra"}, "b"))
    tale.add(r.Answered("b", True))
    setting = tale.plan.baseline["entry"]
    tale.act(
        ActionKind.SET_DIAL, "entry", "fra", setting=setting, override="return --now"
    )
    told = build(tale.records, tale.plan)
    accepted, now = told.overrides
    assert (accepted.what, accepted.person) == ("guard BLIND accepted", "ada and grace")
    assert (now.what, now.person) == ("return --now", "ada")
    roles = {one.name: one.roles for one in told.persons}
    assert roles["grace"] == ("approved the plan", "second person: accept")


def test_every_decision_shows_what_it_rested_on() -> None:
    tale = run_until("held")
    told = {one.what: one.evidence for one in build(tale.records, tale.plan).decisions}
    draining = next(e for what, e in told.items() if what.startswith("draining"))
    assert draining[0].startswith("shop in fra: entry 185.0/s, 0 % errors, p99 11 ms")
    failed = next(e for what, e in told.items() if what.startswith("gate FAILED"))
    assert "rollback 1,413:1 of 100:1" in failed[0]
    staged = next(e for what, e in told.items() if what.startswith("share 25.00 %"))
    assert staged == ("dial entry showed ber 50.00 %, fra 50.00 %",)


def test_an_observation_of_an_unknown_form_is_no_evidence_and_no_crash() -> None:
    tale = run_until("opened")
    tale.add(r.Observed({"at": "long ago", "places": 3}))
    tale.add(r.Phased("fra", Phase.SERVING, Phase.PREFLIGHT))
    assert build(tale.records, tale.plan).decisions[-1].evidence == ()


def test_rungs_name_the_smallest_regression_that_they_could_see() -> None:
    tale = the_tale()
    told = build(tale.records, tale.plan)
    assert [one.smallest_bp for one in told.passes[0].rungs] == [120] * 4
    assert [one.share_bp for one in told.passes[0].rungs] == [100, 500, 2500, 5000]


def test_other_runs_are_left_out() -> None:
    tale = run_until("held")
    other = planner.make(estate(), change("other"), Verb.MAINTAIN)
    record = r.Record(999, "", tale.now(), 1, "another", r.Tripped("fra", 9))
    told = build([*tale.records, record], tale.plan)
    assert told.passes[0].trips == ()
    assert told.run == RUN
    with pytest.raises(ValueError, match="no run of plan"):
        build(tale.records, other)


def _point(at: int, **fields: int) -> SamplePoint:
    return SamplePoint(START_MS + at, "shop", "fra", **fields)


def test_samples_survive_a_torn_line() -> None:
    whole = msgspec.json.encode(_point(0, share_bp=5000))
    assert read_samples(whole + b"\n" + whole[:20]) == [_point(0, share_bp=5000)]
    assert read_samples(whole[:9] + b"\n" + whole + b"\n") == [_point(0, share_bp=5000)]
    assert read_samples(b"") == []


def test_thinning_keeps_the_worst_second() -> None:
    points = [_point(n * 1000, error_ppm=9 if n == 777 else 0) for n in range(5_000)]
    kept = thin(points)
    assert len(kept) <= report.BINS_MAX
    assert max(one.error_ppm for one in kept) == 9
    assert thin(points[:10]) == tuple(points[:10])


def test_the_users_count_is_kept_as_it_came() -> None:
    tale = the_tale()
    told = build(tale.records, tale.plan, samples(tale), USERS)
    assert told.users == USERS
    again = msgspec.json.decode(to_json(told), type=report.RunReport)
    assert again == told
