"""`dayshift approve`: a second pair of eyes, bound to a plan's digest."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from dayshift.cli import controller
from dayshift.cli.everywhere import Cli
from dayshift.cli.options import Why
from dayshift.cli.telling import peek
from dayshift.core.state import JournalState
from dayshift.errors import Reason, Refused
from dayshift.runtime.session import Session, Workspace

FULL = re.compile(r"[0-9a-f]{64}")


def approve(
    cli: Cli,
    digest: Annotated[str, typer.Argument(help="As `dayshift plan` prints it.")],
    why: Why = "",
) -> int:
    """Approve exactly one plan; anything that differs from it needs a new approval.

    The digest covers estate, change, every value a dial may take, and the policy. Its
    first characters are enough once its run was opened. Your own plan does not count.

    Example: `dayshift approve 3f2a9c81d04e --reason "reviewed with Grace"`
    """
    workspace = Workspace(cli.base)
    state = peek(workspace)
    full = _full(digest.lower(), state)
    args = {"digest": full, "reason": why}
    text = f"plan {full[:12]} is approved by {cli.person}"
    if not controller.ask(cli, "approve", args):
        session = _session(cli, workspace, state)
        try:
            session.approve(full, cli.person, why)
        finally:
            session.close()
    return controller.granted(cli, "approve", text)


def _session(cli: Cli, workspace: Workspace, state: JournalState | None) -> Session:
    """The journal that is there, or the one that the estate will have."""
    if state is not None:
        return Session.reopen(workspace, state)
    from dayshift.cli.files import load_estate

    return Session.open(workspace, load_estate(cli))


def _full(digest: str, state: JournalState | None) -> str:
    """The whole digest behind its first characters."""
    if FULL.fullmatch(digest):
        return digest
    known = [one for one in (state.plans if state else {}) if one.startswith(digest)]
    if len(known) == 1 and len(digest) >= 8:
        return known[0]
    raise Refused(
        Reason(
            "UNKNOWN-DIGEST",
            f"{digest} is {len(digest)} characters long and names {len(known)} plans",
            because="64 characters are a whole digest; at least 8 name a plan whose "
            "run was opened here",
            so="nothing was approved",
            next="copy the digest that `dayshift plan change.yaml` prints",
        )
    )
