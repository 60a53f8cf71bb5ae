"""`dayshift audit`: is the journal what was written? Offline, from its bytes alone."""

from __future__ import annotations

from typing import Annotated

import typer

from dayshift.cli import say
from dayshift.cli.everywhere import Cli
from dayshift.errors import EXIT_DONE, EXIT_ERROR, Reason
from dayshift.journal.audit import AuditReport
from dayshift.journal.audit import audit as check
from dayshift.runtime.session import Workspace


def audit(
    cli: Cli,
    key: Annotated[
        list[str] | None,
        typer.Option("--key", help="A public key that you know from elsewhere."),
    ] = None,
) -> int:
    """Verify every record, signature and side-log file; name the first bad one.

    Works on a copy, on a read-only medium and beside a running controller. Without
    `--key` the keys beside the journal are believed; an auditor brings their own.

    Example: `dayshift audit -C /mnt/copy --key 9f2c…`
    """
    place = Workspace(cli.base)
    found = check(place.state_dir, tuple(key or ()), place.access())
    if cli.as_json:
        say.document(_document(found))
        return EXIT_DONE if found.ok else EXIT_ERROR
    if not found.ok:
        say.reason(_reason(found), False)
        return EXIT_ERROR
    erased = len(found.side_erased)
    say.out(
        f"intact: {found.checked:,} records of {len(found.runs)} runs, "
        f"{found.signatures:,} signed heads, {found.side_checked} side-log files"
        + (f" ({erased} erased)" if erased else "")
    )
    say.out(f"  journal  {found.journal} of estate {found.estate}")
    say.out(f"  head     record {found.head.seq}, {found.head.hash}")
    for one in found.keys:
        say.out(f"  key      {one}")
    if found.emergency_entries:
        say.out(f"  note     {found.emergency_entries} entries wait to be merged")
    return EXIT_DONE


def _document(found: AuditReport) -> dict[str, object]:
    out: dict[str, object] = {"ok": found.ok, "audit": found}
    if not found.ok:
        out["error"] = _reason(found)
    return out


def _reason(found: AuditReport) -> Reason:
    what = str(found.bad) if found.bad else found.side_faults[0]
    return Reason(
        "JOURNAL-BROKEN" if found.bad else "SIDE-LOG-BROKEN",
        what,
        because=f"records up to {found.head.seq} are what was written",
        so="what stands behind that cannot be believed; nothing was changed",
        next="keep this copy for the examination, and bring back an intact one",
    )
