"""What an accepted request changes in a run; the part of the fold that people cause."""

from __future__ import annotations

from msgspec.structs import replace

from dayshift.core.state import PassState, RunState, Status
from dayshift.errors import Bug
from dayshift.model import records as r
from dayshift.model.records import OutcomeKind, Phase


def granted(run: RunState, request: r.Requested) -> RunState:
    """The run after `request` was accepted."""
    match request.verb:
        case "pause":
            return replace(run, status=Status.PAUSED, paused_by=request.person)
        case "resume":
            return replace(run, status=Status.RUNNING, paused_by="", hold=None)
        case "abort":
            return _cleared(replace(run, aborting=True, evacuating=False))
        case "evacuate":
            return _evacuated(run)
        case "retry" | "adopt":
            return _cleared(run)
        case "close":
            begun = run.now_at.phase not in (Phase.SERVING, Phase.PREFLIGHT)
            return _cleared(replace(run, aborting=run.aborting or not begun))
        case "done-by-hand":
            here = run.now_at
            step = request.args["step"]
            done = here.done if step in here.done else (*here.done, step)
            return _cleared(put(run, replace(here, done=done)))
        case "accept":
            code = request.args["code"]
            run = replace(run, accepted=tuple(sorted({*run.accepted, code})))
            over = run.hold is not None and run.hold.reason.code == code
            return _cleared(run) if over else run
        case "return":
            return _cleared(replace(run, hurry=True, evacuating=False))
        case "take":
            return replace(run, on_duty=request.person)
        case "hand-over":
            return replace(run, on_duty=request.args["to"])
        case _:
            return run


def _evacuated(run: RunState) -> RunState:
    """Out at once: a way back that was begun is not taken any further."""
    here, run = run.now_at, replace(run, evacuating=True, hurry=False, aborting=False)
    back = here.retreat is not None and here.retreat.to != "zero"
    return _cleared(put(run, replace(here, retreat=None)) if back else run)


def _cleared(run: RunState) -> RunState:
    """Running again: what failed may be asked anew, what was done stays done."""
    kept = {
        key: one
        for key, one in run.asked.items()
        if one.result in (None, OutcomeKind.DONE)
    }
    return replace(
        run,
        status=Status.RUNNING,
        hold=None,
        paused_by="",
        asked=kept,
        round=run.round + 1,
    )


def pass_of(run: RunState, region: str) -> PassState:
    """The pass of `region`.

    Raises:
        Bug: the run has none.
    """
    for one in run.passes:
        if one.region == region:
            return one
    raise Bug(f"no pass for region {region}")


def put(run: RunState, new: PassState) -> RunState:
    """`run` with one pass replaced."""
    passes = tuple(new if one.region == new.region else one for one in run.passes)
    return replace(run, passes=passes)
