"""What `evacuate` and `return --now` do when the journal's store is gone.

They say so, show the bundle that they would act on, ask, and act through the real
orchestrator. Nothing here decides what may move.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from dayshift.cli import controller, say
from dayshift.cli.bundles import brief, store_fault
from dayshift.cli.confirming import confirm
from dayshift.cli.everywhere import Cli
from dayshift.cli.foreground import Asked, Foreground, Manner
from dayshift.core import glass, planner, review
from dayshift.core.state import JournalState
from dayshift.errors import JournalBroken, JournalFull, Reason, Refused
from dayshift.journal.sealed import read_bundle
from dayshift.model.plan import Plan, Verb
from dayshift.runtime.glass import GlassSession
from dayshift.runtime.sealing import Contents, unpack
from dayshift.runtime.session import Workspace, make_plan


def or_break(
    cli: Cli,
    verb: Verb,
    region: str,
    why: str,
    ask: tuple[bool, Manner],
    regular: Callable[[], int],
) -> int:
    """Do `regular`; where the store cannot be reached, the same with broken glass.

    Args:
        ask: whether the person agreed beforehand, and how the run is shown.
    """
    workspace = Workspace(cli.base)
    gone = store_fault(workspace)
    if gone is None:
        try:
            return regular()
        except (JournalFull, JournalBroken) as error:
            gone = error.reason
    args = {"region": region}
    if verb is Verb.RETURN and controller.ask(cli, "return", args):
        return controller.granted(cli, "return", f"{region} returns in a hurry")
    return _break(cli, workspace, gone, _wanted(verb, region, why), ask)


def _wanted(verb: Verb, region: str, why: str) -> tuple[Verb, str, str]:
    if not why.strip():
        raise Refused(
            Reason(
                "REASON-MISSING",
                f"`{verb.value} {region}` without the store needs a reason",
                because="it overrides guards by one person, and is recorded",
                so="nothing moved",
                next="the same command with `--reason TEXT`",
            )
        )
    return verb, region, why


def _break(
    cli: Cli,
    workspace: Workspace,
    gone: Reason,
    wanted: tuple[Verb, str, str],
    ask: tuple[bool, Manner],
) -> int:
    (verb, region, why), (yes, manner) = wanted, ask
    try:
        sealed = read_bundle(workspace.state_dir)
    except Refused as error:
        raise JournalFull(_both(gone, error.reason)) from None
    contents = unpack(sealed)
    plan = _plan(contents, verb, region, why)
    if not cli.as_json:
        for line in (*str(gone).splitlines()[:2], "", *brief(sealed, contents)):
            say.note(line)
    confirm(cli, f"Break the glass: {verb.value} {region} from this bundle?", yes)
    session = GlassSession.break_open(workspace, sealed, contents)
    try:
        session.overtake(sealed, plan, cli.person, why)
        hurry: Asked | None = None
        if verb is Verb.RETURN:
            hurry = ("return", cli.person, {"region": region})
        code = Foreground(cli, session, manner).go(hurry)
    finally:
        session.close()
    if not cli.as_json:
        say.note(AFTERWARDS)
    return code


AFTERWARDS = (
    "\nWhat was done lies in this machine's emergency journal; its epoch outranks "
    "every controller until it is merged.\n"
    "  next     when the store is back: `dayshift seal now` here merges it, as does "
    "any controller that starts here"
)


def _plan(contents: Contents, verb: Verb, region: str, why: str) -> Plan:
    estate = contents.estate
    if region not in estate.region_names():
        known = ", ".join(estate.region_names())
        raise Refused(
            Reason(
                "UNKNOWN-REGION",
                f"there is no region {region}; the bundle knows {known}",
                so="nothing moved",
                next="name one of them",
            )
        )
    change = planner.simple_change(f"{verb.value}-{region}", (region,), why)
    plan = make_plan(estate, change, verb)
    found = review.faults(plan)
    reason = found[0] if found else _at_work(contents.state, verb, region)
    if reason is not None:
        raise Refused(reason)
    return plan


def _at_work(state: JournalState, verb: Verb, region: str) -> Reason | None:
    run = state.open_run
    seen = state if run is None else replace(state, parked=(*state.parked, run))
    return glass.parked_reason(seen, region, verb is Verb.RETURN)


def _both(gone: Reason, sealed: Reason) -> Reason:
    return replace(
        gone,
        what=f"{gone.what}; and {sealed.what}",
        because=f"{gone.because}; {sealed.because}",
        next=f"{gone.next}; or: {sealed.next}",
    )
