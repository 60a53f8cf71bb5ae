"""`dayshift report`: one run as one HTML file, or as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from dayshift.cli import say
from dayshift.cli.everywhere import Cli
from dayshift.errors import EXIT_DONE, Reason, Refused, SettingsInvalid
from dayshift.journal.reader import JournalReader
from dayshift.journal.sidelog import SideFiles
from dayshift.model.plan import Plan
from dayshift.model.records import Planned, Record, RunOpened, SideLog
from dayshift.runtime import gate_samples, samples
from dayshift.runtime.session import Workspace
from dayshift.surfaces import page
from dayshift.surfaces import report as reports
from dayshift.surfaces.gate_points import read_points
from dayshift.surfaces.report import RunReport

USERS_FILE = "users.json"


def report(
    cli: Cli,
    run: Annotated[
        str, typer.Argument(help="A run, or how its id begins. Default: the last.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option("--out", help="Default: report-RUN.html here.")
    ] = None,
    users: Annotated[
        Path | None,
        typer.Option("--users", help=f"What users counted. Default: {USERS_FILE}."),
    ] = None,
) -> int:
    """Write down one run: what users felt, what was decided, and on which evidence.

    One HTML file without any outside resource, for the ticket and for the auditor; with
    `--json` the same document on stdout. Works while the run still goes on.

    Example: `dayshift report && xdg-open report-*.html`
    """
    workspace = Workspace(cli.base)
    with JournalReader.open(workspace.state_dir, workspace.access()) as reader:
        records = list(reader.records())
    wanted = _run_of(records, run)
    records = [one for one in records if one.run in ("", wanted)]
    plan = _plan_of(records)
    taken = _kept(workspace, wanted, records, samples.NAME)
    series = [p for data in taken for p in reports.read_samples(data)]
    said = _kept(workspace, wanted, records, gate_samples.NAME)
    gate = [p for data in said for p in read_points(data)]
    made = reports.build(records, plan, series, gate=gate)
    counted = _given(cli.path(users)) if users else _beside(workspace.base, made)
    made = reports.build(records, plan, series, counted, gate)
    if cli.as_json and out is None:
        say.text(reports.to_json(made).decode())
        return EXIT_DONE
    path = cli.path(out or Path(f"report-{wanted}.html"))
    _write(path, page.html(made))
    if cli.as_json:
        say.text(reports.to_json(made).decode())
    else:
        say.out(f"{path}: run {wanted}, {made.result}")
    return EXIT_DONE


def _run_of(records: list[Record], asked: str) -> str:
    """The run that is meant: its id, the beginning of its id, or the last one."""
    runs = [one.run for one in records if isinstance(one.body, RunOpened)]
    found = [one for one in runs if one.startswith(asked)]
    if found and (len(found) == 1 or not asked):
        return found[-1]
    raise Refused(
        Reason(
            "UNKNOWN-RUN",
            f"{len(found)} runs begin with `{asked}`; the journal has {len(runs)}",
            because=f"the last ones are {', '.join(runs[-3:]) or 'none'}",
            so="no report was written",
            next="name one of them, or none for the last",
        )
    )


def _plan_of(records: list[Record]) -> Plan:
    """The plan of the run in `records`."""
    opened = next(one.body for one in records if isinstance(one.body, RunOpened))
    plans = [one.body.plan for one in records if isinstance(one.body, Planned)]
    return next(one for one in plans if one.digest == opened.digest)


def _kept(
    workspace: Workspace, run: str, records: list[Record], name: str
) -> list[bytes]:
    """The run's side files of that name: closed ones by hash, and the one open."""
    side = SideFiles(workspace.state_dir)
    found = [
        side.get(one.body.sha256)
        for one in records
        if isinstance(one.body, SideLog) and one.body.name == f"{run}/{name}"
    ]
    found.append(side.still_open(run, name))
    return [data for data in found if data]


def _beside(base: Path, made: RunReport) -> dict[str, Any] | None:
    """The users' count beside the estate, if it is of the time of this run."""
    path = base / USERS_FILE
    if not path.is_file():
        return None
    found = _given(path)
    begun = int(found.get("start_ms", made.opened_wall_ms))
    ended = int(found.get("end_ms", made.until_wall_ms))
    apart = begun > made.until_wall_ms or ended < made.opened_wall_ms
    return None if apart else found


def _given(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SettingsInvalid((_unreadable(path, str(error)),)) from None
    if not isinstance(found, dict):
        raise SettingsInvalid((_unreadable(path, "it is no JSON object"),))
    return found


def _unreadable(path: Path, because: str) -> Reason:
    return Reason(
        "USERS-FILE",
        f"{path} cannot be read as what users counted",
        because=because,
        so="no report was written",
        next="mend it, or name another with `--users`",
    )


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise Refused(
            Reason(
                "REPORT-UNWRITABLE",
                f"{path} cannot be written",
                because=error.strerror or "no cause given",
                so="no report was written; the run is as it was",
                next="`--out` names another place",
            )
        ) from None
