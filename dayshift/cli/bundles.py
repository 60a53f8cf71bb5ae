"""Sealed bundles in words: how old, by whom, what they know, what they still allow."""

from __future__ import annotations

from msgspec.structs import replace

from dayshift.cli.telling import peek
from dayshift.errors import JournalBroken, JournalError, JournalFull, Reason, Refused
from dayshift.journal.glass import entries
from dayshift.journal.sealed import Sealed, SealNote, read_bundle
from dayshift.model.glass import is_glass
from dayshift.runtime.clock import RealClock
from dayshift.runtime.sealing import Contents
from dayshift.runtime.session import Workspace
from dayshift.surfaces import words

OLD_MS = 24 * 3_600_000
"""From here on the age of a bundle is a warning."""


def store_fault(workspace: Workspace) -> Reason | None:
    """Why the journal cannot even be read, or None."""
    try:
        state = peek(workspace)
    except (JournalFull, JournalBroken) as error:
        return error.reason
    if state is not None:
        return None
    try:
        note = read_bundle(workspace.state_dir).note
    except Refused:
        return None
    return Reason(
        "JOURNAL-GONE",
        f"there is no journal here; the bundle knows one of {note.seq} records",
        because="it was removed, or this machine never had it",
        so="nothing can be appended",
        next="bring it back from its newest copy",
    )


def brief(sealed: Sealed, contents: Contents) -> list[str]:
    """A bundle for the person who is about to act on it."""
    note, state, run = sealed.note, contents.state, contents.state.open_run
    lines = [
        f"sealed bundle of estate {note.estate}, journal {note.journal[:12]}",
        f"  age      {age(note)}",
        f"  by       {note.holder} on {note.machine}, key {sealed.key[:16]}…",
        f"  record   {note.seq}, epoch {note.epoch}",
    ]
    if run is None:
        lines.append("  run      none was open")
    else:
        here, plan = run.now_at, state.plan
        lines.append(
            f"  run      {run.run} ({plan.verb.value} {plan.change.name}) was "
            f"{run.status.value}, {here.region} in {here.phase.value}"
        )
        if any(one.steps for one in plan.change.regions):
            lines.append(
                f"           its work may have gone on since: make sure that nobody "
                f"works in {here.region}"
            )
    out = ", ".join(state.left_drained) or "none"
    return [*lines, f"  drained  {out}"]


def age(note: SealNote) -> str:
    """How old a bundle is, in words."""
    ms = RealClock().now().wall_ms - note.wall_ms
    when = words.dated(note.wall_ms)
    if ms < 0:
        return f"{words.span(-ms)} ahead of this machine's clock ({when})"
    warning = "; OLD: much may have changed since" if ms > OLD_MS else ""
    return f"{words.span(ms)} ago ({when}){warning}"


def with_bundle(error: JournalError, workspace: Workspace) -> JournalError:
    """The same error, with what still works in spite of it."""
    try:
        note = read_bundle(workspace.state_dir).note
    except Refused:
        return error
    way = (
        f"{error.reason.next}; `dayshift evacuate REGION` and `dayshift return REGION "
        f"--now` work meanwhile, from the bundle sealed {age(note)}"
    )
    error.reason = replace(error.reason, next=way)
    return error


def waiting(workspace: Workspace) -> list[str]:
    """What was done with broken glass here and is not merged, in words."""
    found = entries(workspace.state_dir)
    broken = found is not None and any(is_glass(one.epoch) for one in found[0].records)
    if found is None or not broken:
        return []
    return [
        f"\n{len(found[0].records)} entries of a break-glass are not merged yet.\n"
        "  next     `dayshift seal now`, once the store is back"
    ]
