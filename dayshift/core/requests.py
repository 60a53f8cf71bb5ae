"""What people ask for, answered by the one writer: granted, or refused and why."""

from __future__ import annotations

from collections.abc import Callable

from dayshift.core import overrides, working
from dayshift.core.desk import Desk
from dayshift.core.exits import (
    CLOSABLE,
    adopt_reason,
    drifted,
    unfinished_step,
)
from dayshift.core.state import Status
from dayshift.core.transitions import OUT
from dayshift.errors import Reason
from dayshift.model.dial import Setting
from dayshift.model.plan import Verb
from dayshift.model.records import (
    Adopted,
    Answered,
    AnyBody,
    Approved,
    Phase,
    Phased,
    Requested,
    Retreating,
    RunClosed,
    RunResult,
)

DRAINED = OUT | {Phase.HANDING_OVER, Phase.EMPTYING}
"""Phases in which no dial may send users to the region."""
Answer = Callable[[Desk, Requested], "Reason | None"]


def answer(desk: Desk) -> None:
    """Answer the oldest open request.

    Why: one at a time, for what is granted to one person may make the next request
    illegal; the next decision sees that.
    """
    for token, request in desk.run.requests.items():
        extra: list[AnyBody] = []
        reason = _reason(desk, request, extra)
        desk.records.append(Answered(token, reason is None, reason))
        if reason is None:
            desk.records.extend(extra)
        return


def _reason(desk: Desk, request: Requested, extra: list[AnyBody]) -> Reason | None:
    held = desk.run.status is Status.HELD
    match request.verb:
        case "abort" | "take":
            return None
        case "hand-over":
            named = request.args.get("to")
            return None if named else _refused("NOBODY-NAMED", "hand over to whom?")
        case "pause":
            # A pause would replace the hold, and `resume` would then step over it.
            return _not("running", request) if held else None
        case "resume":
            return None if desk.run.status is Status.PAUSED else _not("paused", request)
        case "retry":
            if not held:
                return _not("held", request)
            extra.extend(_retry(desk))
            return None
        case "approve":
            if not request.args.get("digest"):
                return _missing(request, "digest")
            if not request.args.get("expires_wall_ms", "0").isdecimal():
                return _missing(request, "expires_wall_ms, a number")
            extra.append(_approval(request))
            return None
        case "adopt":
            return _adopt(desk, request, extra) if held else _not("held", request)
        case "done-by-hand":
            return _by_hand(desk, request)
        case "accept":
            return _accept(desk, request)
        case "return":
            return _return(desk, request, extra)
        case "evacuate":
            return _evacuate(desk, request)
        case "close":
            return _close(desk, request, extra)
        case _:
            return _refused("UNKNOWN-VERB", f"`{request.verb}` is not a request")


def _not(status: str, request: Requested) -> Reason:
    return _refused(f"NOT-{status.upper()}", f"the run is not {status}", request.verb)


def _missing(request: Requested, what: str) -> Reason:
    return _refused("ARGUMENT", f"`{request.verb}` needs {what}")


def _refused(code: str, what: str, verb: str = "") -> Reason:
    return Reason(code, what, so="nothing moved", next="see `dayshift status`")


def _approval(request: Requested) -> Approved:
    return Approved(
        request.args["digest"],
        request.person,
        request.args.get("reason", ""),
        int(request.args.get("expires_wall_ms", "0")),
    )


def _retry(desk: Desk) -> list[AnyBody]:
    """After a tripwire the region must be proven empty again before work goes on."""
    here = desk.here
    again = here.tripped and not here.certified
    if again and here.phase in OUT and here.phase is not Phase.EMPTY:
        return [Phased(here.region, here.phase, Phase.EMPTYING, "prove it again")]
    return []


def _adopt(desk: Desk, request: Requested, extra: list[AnyBody]) -> Reason | None:
    """Make what the dials show the expected, if it is something the plan allows.

    Where that sends users to a region that must have none, they are taken out again at
    once, and the region is proven empty before anything goes on there; if it was not
    yet empty, its pass begins anew from the usual shares.
    """
    if not drifted(desk.run):
        return _refused("NO-DRIFT", "the run is not held for a dial that drifted")
    reason = adopt_reason(desk.state, desk.sight)
    if reason is not None:
        return reason
    feeding: list[str] = []
    for dial, usual in sorted(desk.plan.baseline.items()):
        reading = desk.sight.dials[dial]
        if reading.setting and reading.setting != desk.state.confirmed.get(dial, usual):
            claim = reading.instances[0].claim
            extra.append(Adopted(dial, reading.setting, claim))
            if desk.here.phase in DRAINED and _feeds(reading.setting, desk.region):
                feeding.append(dial)
    if feeding:
        why = f"{', '.join(feeding)} sent users to {desk.region}"
        to = "zero" if desk.here.phase in OUT else "baseline"
        extra.append(Retreating(desk.region, to, -1, why))
    return None


def _feeds(setting: Setting, region: str) -> bool:
    return any(row.get(region) for row in setting.rows.values())


def _by_hand(desk: Desk, request: Requested) -> Reason | None:
    wanted, step = request.args.get("step"), unfinished_step(desk.here, desk.plan)
    if desk.run.status is not Status.HELD or desk.here.phase is not Phase.WORKING:
        return _refused("NOT-HELD", "no step of the work is held")
    if step is None or wanted != step:
        return _refused("NOT-THIS-STEP", f"step {wanted} is not next; {step} is")
    if working.attempt_begun(desk.here, desk.run, step):
        # A step that still runs must not be taken as done: users would come back to
        # a region under maintenance.
        return Reason(
            "STEP-RUNNING",
            f"step {step} in {desk.region} was started and its end was not seen yet",
            because="invariant: no user in a region whose work is under way",
            so="nothing moved; the step is not taken as done",
            next="mend what holds the run and `dayshift retry`: it waits for its end",
        )
    return None


def _accept(desk: Desk, request: Requested) -> Reason | None:
    code = request.args.get("code", "")
    need = overrides.persons_needed(code, "accept", desk.policy)
    have = len({request.person, *filter(None, [request.args.get("second", "")])})
    if not need:
        return _refused("NEVER-ACCEPTED", f"guard {code} cannot be accepted by anyone")
    if have < need or not request.args.get("reason"):
        return _refused(
            "NEEDS-MORE", f"{code} needs {need} persons and a reason (has {have})"
        )
    return None


def _return(desk: Desk, request: Requested, extra: list[AnyBody]) -> Reason | None:
    here = desk.here
    if request.args.get("region") != here.region:
        return _refused("NOT-THIS-REGION", f"{here.region} is the region in flight")
    begins = desk.plan.verb is Verb.RETURN and here.phase is Phase.SERVING
    coming = (Phase.VALIDATING, Phase.RETURNING, Phase.SOAKING)
    if here.phase not in coming and not begins:
        return _refused(
            "NOT-READY",
            f"{here.region} is {here.phase.value}; `dayshift abort` goes "
            "back from there",
        )
    return None


def _evacuate(desk: Desk, request: Requested) -> Reason | None:
    here, region = desk.here, request.args.get("region")
    if region != here.region:
        return _refused("NOT-THIS-REGION", f"{here.region} is the region in flight")
    if not request.args.get("reason"):
        return _missing(request, "a reason")
    return None


def _close(desk: Desk, request: Requested, extra: list[AnyBody]) -> Reason | None:
    here = desk.here
    if desk.run.status is not Status.HELD:
        return _not("held", request)
    if drifted(desk.run) and here.phase in OUT:
        return _refused("NOT-DRAINED", "a dial shows what nobody here asked for")
    if here.phase is Phase.LEFT_DRAINED:
        still = ", ".join(desk.run.brackets) or "nothing"
        extra.append(RunClosed(RunResult.LEFT_DRAINED, f"closed; open: {still}"))
        return None
    if here.phase not in CLOSABLE:
        return _refused("NOT-DRAINED", f"{here.region} is {here.phase.value}")
    why = request.args.get("reason") or "closed"
    extra.append(Phased(here.region, here.phase, Phase.LEFT_DRAINED, why))
    return None
