"""`dayshift check`: reach everything that the estate names, and read it back."""

from __future__ import annotations

import asyncio

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dayshift.cli import checking, files, fitting, looking, placing, say, storing
from dayshift.cli.checking import Finding
from dayshift.cli.everywhere import Cli
from dayshift.cli.telling import peek
from dayshift.core.state import JournalState
from dayshift.errors import EXIT_DONE, EXIT_REFUSED
from dayshift.model.estate import Estate
from dayshift.model.units import percent
from dayshift.runtime.locating import access_to
from dayshift.runtime.naming import controller_name
from dayshift.runtime.session import Workspace
from dayshift.surfaces import words

LOG_WIDTH = 200
"""Lines of a pipe are not folded to the width of a terminal that is not there."""


def check(cli: Cli) -> int:
    """Reach everything that the estate names, read it back, say what is missing.

    Takes a few seconds; moves nothing, writes nothing, calls nobody. Exit code 5 if a
    run would be refused now, with the way out of each finding.

    Example: `dayshift check`, after every change of dayshift.yaml and before a run.
    """
    workspace = Workspace(cli.base)
    estate = files.load_estate(cli)
    stored = _store(workspace, estate)
    state = _state(workspace, stored) or JournalState(estate=estate.name)
    seen = asyncio.run(looking.look(workspace, estate, None))
    me = controller_name(estate)
    found = [
        *checking.findings(estate, state, seen.sight, seen.abilities),
        *asyncio.run(fitting.findings(workspace, estate, seen.abilities)),
        *placing.findings(estate, seen.abilities, me),
        *(storing.store_findings(stored) if stored else ()),
    ]
    bad = [one.reason for one in found if one.reason is not None]
    if cli.as_json:
        out: dict[str, object] = {"ok": not bad, "findings": found}
        say.document(out | ({"error": bad[0], "errors": bad} if bad else {}))
    else:
        _print(estate, state, found)
        for reason in bad:
            say.reason(reason, False)
        say.out(
            f"{len(bad)} of {len(found)} refuse; nothing was moved"
            if bad
            else f"all {len(found)} good; next `dayshift plan change.yaml`"
        )
    return EXIT_REFUSED if bad else EXIT_DONE


def _store(workspace: Workspace, estate: Estate) -> storing.StoreStory | None:
    """A store that several controllers share; the file here needs no line."""
    access = access_to(workspace.base, estate.name, estate.journal)
    return storing.look_at_store(workspace, access) if access.shared else None


def _state(
    workspace: Workspace, stored: storing.StoreStory | None
) -> JournalState | None:
    """What the journal amounts to, where it can be read at all."""
    if stored is not None and stored.fault:
        return None
    return peek(workspace)


def _print(estate: Estate, state: JournalState, found: list[Finding]) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = LOG_WIDTH
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in found:
        mark = Text("ok", "green") if one.reason is None else Text("NO", "bold red")
        table.add_row(one.kind, one.name, mark, Text(one.says))
    regions = ", ".join(estate.region_names())
    console.print(f"{estate.name}: {regions}", markup=False)
    console.print(table)
    for line in _summary(estate, state):
        console.print(line, markup=False, soft_wrap=True)


def _summary(estate: Estate, state: JournalState) -> list[str]:
    """What the estate promises itself, and where its journal stands."""
    policy = estate.policy
    drain = ", ".join(words.short_share(one) for one in policy.drain_bp)
    ramp = ", ".join(words.short_share(one) for one in policy.ramp_bp)
    trusted = "trusted" if policy.gate.trusted else "not trusted: no automatic way back"
    open_run = state.open_run
    return [
        f"policy   serving {policy.serving}, headroom {percent(policy.headroom_bp)}, "
        f"drain {drain}, ramp {ramp}, quiet {words.span(policy.quiet_ms)}, soak "
        f"{words.span(policy.soak_ms)}, absence {words.span(policy.absence_ms)}, "
        f"approvals {policy.approvals}",
        f"gate     blast {percent(policy.gate.blast_bp)}, calibration {trusted}",
        f"journal  {state.seq} records, epoch {state.epoch}, "
        + (f"run {open_run.run} is open" if open_run else "no run is open")
        + (
            f", {', '.join(state.left_drained)} left drained"
            if state.left_drained
            else ""
        ),
    ]
