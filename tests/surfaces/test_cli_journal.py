"""Verbs without a controller: what they read from the journal, and what they write.

The journal is a real one; no driver is built, for nothing here may look at the world.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from dayshift.cli.main import main
from dayshift.core.state import JournalState, Status
from dayshift.journal.reader import JournalReader
from dayshift.journal.stores.sqlite import DATABASE
from dayshift.model import records as r
from dayshift.model.plan import Plan, Verb
from dayshift.runtime.session import Session, Workspace, load, make_plan
from tests.kit.play import change, estate

Ran = Callable[..., tuple[int, str, str]]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    (tmp_path / ".dayshift").mkdir()
    return Workspace(tmp_path)


@pytest.fixture
def plan() -> Plan:
    return make_plan(estate(approvals=1), change(), Verb.MAINTAIN)


@pytest.fixture
def opened(place: Workspace, plan: Plan) -> Workspace:
    """A run that was opened by a controller which is gone."""
    session = Session.open(place, plan.estate)
    session.begin(plan, "ada")
    session.close()
    return place


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str]) -> Ran:
    def run(*argv: str) -> tuple[int, str, str]:
        code = main(list(argv))
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def state_of(place: Workspace) -> JournalState:
    with JournalReader.open(place.state_dir) as reader:
        return load(reader)


def test_status_of_a_journal_without_a_run(place: Workspace, ran: Ran) -> None:
    code, out, _ = ran("status", "--json")
    assert (code, json.loads(out)["status"]) == (0, "idle")


def test_status_says_that_nobody_is_watching(opened: Workspace, ran: Ran) -> None:
    code, out, _ = ran("status")
    assert code == 0
    assert "no controller is running: nobody is watching" in out
    assert "`dayshift run` with the same change file" in out
    code, out, _ = ran("status", "--json")
    story = json.loads(out)
    assert (story["status"], story["watched"]) == ("running", False)


def test_explain_and_watch_do_not_pretend_to_see(opened: Workspace, ran: Ran) -> None:
    for verb in ("explain", "watch"):
        code, out, _ = ran(verb)
        assert code == 0
        assert "nobody is watching" in out


@pytest.mark.parametrize(
    "argv",
    [
        ["pause"],
        ["resume", "--yes"],
        ["abort", "--yes"],
        ["retry", "--yes"],
        ["take"],
        ["hand-over", "--to", "grace"],
        ["adopt", "--yes"],
        ["done-by-hand", "upgrade", "--yes"],
        ["accept", "BLIND", "--reason", "x", "--yes"],
        ["close", "--leave-drained"],
        ["confirm", "upgrade", "--all", "--yes"],
    ],
    ids=lambda argv: argv[0],
)
def test_without_a_run_there_is_nothing_to_steer(
    place: Workspace, ran: Ran, argv: list[str]
) -> None:
    code, out, err = ran(*argv)
    assert (code, out) == (5, "")
    assert err.startswith("NO-RUN: no run is open here")
    assert not (place.state_dir / DATABASE).exists()


def test_pause_is_written_down_with_the_person(opened: Workspace, ran: Ran) -> None:
    code, out, _ = ran("pause", "--as", "Grace")
    assert code == 0
    assert "nobody is watching" in out
    run = state_of(opened).run
    assert run is not None
    assert run.status is Status.PAUSED
    assert run.paused_by.startswith("Grace (as ")

    code, _, err = ran("pause")
    assert code == 5
    assert err.startswith("NOT-RUNNING: the run is paused already")


def test_the_duty_is_taken_and_handed_over(opened: Workspace, ran: Ran) -> None:
    assert ran("take", "--as", "Grace")[0] == 0
    run = state_of(opened).run
    assert run is not None
    assert run.on_duty.startswith("Grace (as ")
    assert ran("hand-over", "--to", "linus")[0] == 0
    run = state_of(opened).run
    assert run is not None
    assert run.on_duty == "linus"
    assert run.status is Status.RUNNING


def test_what_moves_traffic_is_not_done_unasked(opened: Workspace, ran: Ran) -> None:
    """No terminal and no --yes: nobody agreed."""
    before = state_of(opened).seq
    for argv in (["abort"], ["resume"], ["retry"], ["adopt"]):
        code, out, err = ran(*argv)
        assert (code, out) == (2, "")
        assert "NEEDS-YES" in err
        assert "`--yes`" in err
    assert state_of(opened).seq == before


def test_abort_first_prints_the_shares_that_will_result(
    opened: Workspace, ran: Ran
) -> None:
    _, _, err = ran("abort")
    assert "abort: nothing more moves; shares stay ber 50.00 %, fra 50.00 %" in err


def test_an_approval_is_bound_to_one_digest(
    opened: Workspace, plan: Plan, ran: Ran
) -> None:
    code, out, _ = ran("approve", plan.digest[:12], "--as", "Grace", "--json")
    assert (code, json.loads(out)["accepted"]) == (0, True)
    (given,) = state_of(opened).approvals[plan.digest]
    assert given.person.startswith("Grace (as ")
    for wrong in (plan.digest[:4], "0123456789abcdef"):
        code, _, err = ran("approve", wrong)
        assert code == 5
        assert err.startswith(f"UNKNOWN-DIGEST: {wrong} is {len(wrong)} characters")


def test_a_step_that_does_not_exist_is_not_confirmed(
    opened: Workspace, ran: Ran
) -> None:
    code, _, err = ran("confirm", "cabling", "--all", "--yes")
    assert code == 5
    assert err.startswith("NO-SUCH-STEP: fra has no step cabling; it has upgrade")


def test_a_second_controller_is_told_who_is_the_first(
    opened: Workspace, plan: Plan, ran: Ran
) -> None:
    session = Session.open(opened, plan.estate)
    try:
        code, _, err = ran("take")
        assert code == 5
        assert "pid " in err
        assert "Traceback" not in err
    finally:
        session.close()


def test_report_of_a_run_that_is_still_open(
    opened: Workspace, tmp_path: Path, ran: Ran
) -> None:
    code, out, _ = ran("report", "--json")
    document = json.loads(out)
    assert (code, document["result"]) == (0, "open")
    code, out, _ = ran("report", document["run"][:13], "--out", "page.html")
    assert code == 0
    assert (tmp_path / "page.html").read_text().startswith("<!")
    code, _, err = ran("report", "nope")
    assert code == 5
    assert err.startswith("UNKNOWN-RUN: 0 runs begin with `nope`")


def test_report_with_a_users_count_that_is_none(
    opened: Workspace, tmp_path: Path, ran: Ran
) -> None:
    (tmp_path / "users.json").write_text("[1]")
    code, _, err = ran("report")
    assert code == 2
    assert err.startswith("USERS-FILE: ")


def test_audit_names_the_first_bad_record(opened: Workspace, ran: Ran) -> None:
    code, out, _ = ran("audit")
    assert code == 0
    assert out.startswith("intact: ")
    with sqlite3.connect(opened.state_dir / DATABASE) as database:
        database.execute(
            "update records set data = replace(data, 'ada', 'eve') where seq = 4"
        )
    database.close()
    code, out, err = ran("audit")
    assert (code, out) == (1, "")
    assert err.startswith("JOURNAL-BROKEN: record 4 (run-opened) was changed")
    code, out, _ = ran("audit", "--json")
    document = json.loads(out)
    assert (code, document["ok"], document["audit"]["bad"]["seq"]) == (1, False, 4)


def test_a_paused_run_is_not_resumed_by_a_program_unasked(
    opened: Workspace, ran: Ran
) -> None:
    assert ran("pause")[0] == 0
    code, _, err = ran("resume", "--json")
    assert code == 2
    assert err == ""
    run = state_of(opened).run
    assert run is not None
    assert run.status is Status.PAUSED


def test_records_of_a_note_are_a_request_and_its_grant(
    opened: Workspace, ran: Ran
) -> None:
    ran("take")
    with JournalReader.open(opened.state_dir) as reader:
        bodies = [one.body for one in reader.records()][-2:]
    assert isinstance(bodies[0], r.Requested)
    assert isinstance(bodies[1], r.Answered)
    assert bodies[1].accepted
    assert bodies[0].token == bodies[1].token
