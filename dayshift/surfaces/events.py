"""Records → lines of the timeline, in the words of the person on duty.

A record of no consequence to that person (an observation, a side log, the good outcome
of an action whose effect gets a line of its own) gives none.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from dayshift.model import records as r
from dayshift.model.evidence import VerdictKind
from dayshift.model.records import ActionKind, OutcomeKind, Phase, Record
from dayshift.surfaces import words
from dayshift.surfaces.nouns import Event, Level

Line = tuple[Level, str, str, dict[str, Any]]
"""Level, region, text, and the fields that only some events have."""


def event_of(record: Record) -> Event | None:
    """The record's line of the timeline, or None."""
    line = _line(record.body)
    if line is None:
        return None
    level, region, text, more = line
    return Event(record.seq, record.at.wall_ms, region, level, text, **more)


def _say(level: Level, region: str, text: str, **more: Any) -> Line:
    return level, region, text, more


@singledispatch
def _line(body: r.Body) -> Line | None:
    return None


@_line.register
def _(body: r.Lease) -> Line | None:
    who = f"{body.controller} ({body.holder})" if body.controller else body.holder
    return _say(Level.INFO, "", f"{who} is the controller, epoch {body.epoch}")


@_line.register
def _(body: r.StoodBy) -> Line | None:
    if body.alive:
        return _say(Level.INFO, "", f"controller {body.controller} stands by")
    return _say(Level.WARN, "", f"controller {body.controller} is silent")


@_line.register
def _(body: r.GlassBroken) -> Line | None:
    when = words.both(body.sealed_wall_ms)
    text = (
        f"{body.person} broke the glass on {body.machine}, from the bundle of record "
        f"{body.seq} sealed {when}: {body.reason}"
    )
    return _say(Level.WARN, "", text)


@_line.register
def _(body: r.GlassAdopted) -> Line | None:
    out = ", ".join(body.drained) or "none"
    text = (
        f"{body.person} gave up the entries of a break-glass (epoch {body.epoch}); "
        f"drained by what the dials show: {out}: {body.reason}"
    )
    return _say(Level.WARN, "", text)


@_line.register
def _(body: r.Approved) -> Line | None:
    said = f": {body.reason}" if body.reason else ""
    return _say(Level.GOOD, "", f"{body.person} approved plan {body.digest[:12]}{said}")


@_line.register
def _(body: r.RunOpened) -> Line | None:
    return _say(Level.INFO, "", f"{body.person} began the run, plan {body.digest[:12]}")


@_line.register
def _(body: r.RunClosed) -> Line | None:
    why = f": {body.why.splitlines()[0]}" if body.why else ""
    done = body.result is r.RunResult.DONE
    text = "the run is done" if done else f"the run ended, {body.result.value}{why}"
    return _say(Level.GOOD if done else Level.WARN, "", text)


PHASE_LINES: dict[Phase, tuple[Level, str]] = {
    Phase.SERVING: (Level.INFO, "serves at its usual share"),
    Phase.PREFLIGHT: (Level.INFO, "preflight: every guard is asked before anything"),
    Phase.DRAINING: (Level.INFO, "draining: users are sent elsewhere, step by step"),
    Phase.HANDING_OVER: (Level.INFO, "handing over its duties"),
    Phase.EMPTYING: (Level.INFO, "emptying: waiting until it is proven empty"),
    Phase.EMPTY: (Level.GOOD, "empty; the tripwire is armed"),
    Phase.WORKING: (Level.INFO, "the work begins"),
    Phase.CATCHING_UP: (Level.INFO, "catching up with the others"),
    Phase.WARMING: (Level.INFO, "warming: our own requests first"),
    Phase.VALIDATING: (Level.INFO, "validating: probes straight at the region"),
    Phase.RETURNING: (Level.INFO, "returning: users come back under the gate"),
    Phase.SOAKING: (Level.INFO, "soaking at its full share"),
    Phase.DONE: (Level.GOOD, "done"),
    Phase.DONE_PARTIAL: (Level.WARN, "done, below its usual share"),
    Phase.LEFT_DRAINED: (Level.WARN, "left drained"),
}


@_line.register
def _(body: r.Phased) -> Line | None:
    level, text = PHASE_LINES[body.new]
    why = f" ({body.why})" if body.why else ""
    return _say(level, body.region, text + why, phase=body.new.value)


@_line.register
def _(body: r.Staged) -> Line | None:
    text = f"share {words.share(body.share_bp)}, read back"
    return _say(Level.INFO, body.region, text)


@_line.register
def _(body: r.Certified) -> Line | None:
    meters = words.many(len(body.meters), "meter")
    quiet = f"{meters} quiet for {words.exact(body.quiet_ms)}"
    return _say(Level.GOOD, body.region, f"proven empty: {quiet}")


@_line.register
def _(body: r.Tripped) -> Line | None:
    seen = f", seen by {body.detail}" if body.detail else ""
    text = f"tripwire: {words.many(body.requests, 'user request')} arrived{seen}"
    return _say(Level.BAD, body.region, text)


@_line.register
def _(body: r.Reverted) -> Line | None:
    text = f"dial {body.dial} went back by itself: its lease was not renewed"
    return _say(Level.WARN, "", text)


@_line.register
def _(body: r.Judged) -> Line | None:
    failed = body.verdict.kind is VerdictKind.FAIL
    word = "gate FAILED" if failed else f"gate: {body.verdict.kind.value}"
    return _say(
        Level.BAD if failed else Level.GOOD,
        body.region,
        f"{word} on rung {body.rung + 1}, {body.service}: {body.verdict.why}",
        service=body.service,
        rung=body.rung,
        verdict=body.verdict,
    )


WHY_LENGTH_MAX = 40
"""A longer reason is the verdict's or the hold's, which have a line of their own."""
RETREATS = {
    "baseline": "to its usual share",
    "zero": "away to zero",
    "rung": "back one rung",
}


@_line.register
def _(body: r.Retreating) -> Line | None:
    where = RETREATS.get(body.to, body.to)
    short = f" ({body.why})" if body.why and len(body.why) <= WHY_LENGTH_MAX else ""
    return _say(Level.BAD, body.region, f"retreat: traffic goes {where}{short}")


@_line.register
def _(body: r.Reverted) -> Line | None:
    text = f"dial {body.dial} went back by itself: its lease ran out"
    return _say(Level.WARN, "", text)


@_line.register
def _(body: r.Adopted) -> Line | None:
    return _say(Level.WARN, "", f"what dial {body.dial} shows is now the expected")


ACTION_LINES: dict[ActionKind, str] = {
    ActionKind.START_WORK: "step {} starts",
    ActionKind.STOP_WORK: "step {} is asked to stop",
    ActionKind.UNDO_WORK: "step {} is undone",
    ActionKind.RELEASE_DUTY: "asked to release duty {}",
    ActionKind.TAKE_DUTY: "asked to take duty {}",
    ActionKind.ENTER_BRACKET: "opening bracket {}",
    ActionKind.LEAVE_BRACKET: "closing bracket {}",
    ActionKind.NOTIFY: "calling {}",
}


@_line.register
def _(body: r.Intent) -> Line | None:
    action = body.action
    text = ACTION_LINES.get(action.kind)
    if text is None:
        return None
    worse = action.kind in (ActionKind.NOTIFY, ActionKind.STOP_WORK)
    level = Level.WARN if worse else Level.INFO
    return _say(level, action.region, text.format(action.target))


@_line.register
def _(body: r.Outcome) -> Line | None:
    if body.result is OutcomeKind.DONE:
        return None
    said = body.reason.what if body.reason else body.detail or "no reason given"
    if body.result is OutcomeKind.RETRY:
        return _say(Level.WARN, "", f"again soon, {body.key}: {said}")
    return _say(Level.BAD, "", f"{body.result.value}, {body.key}: {said}")


@_line.register
def _(body: r.Worked) -> Line | None:
    if body.exit_code == 0:
        return _say(Level.GOOD, body.region, f"step {body.step} is done")
    detail = f": {body.detail}" if body.detail else ""
    text = f"step {body.step} failed, exit code {body.exit_code}{detail}"
    return _say(Level.BAD, body.region, text)


@_line.register
def _(body: r.Held) -> Line | None:
    text = f"HELD, {body.reason.code}: {body.reason.what}"
    return _say(Level.BAD, body.region, text)


@_line.register
def _(body: r.Requested) -> Line | None:
    more = " ".join(f"{key}={value}" for key, value in sorted(body.args.items()))
    asked = f"{body.person} asks: {body.verb} {more}".rstrip()
    return _say(Level.INFO, "", asked)


@_line.register
def _(body: r.Answered) -> Line | None:
    if body.accepted:
        return None
    why = (
        f"{body.reason.code}: {body.reason.what}" if body.reason else "no reason given"
    )
    return _say(Level.WARN, "", f"not granted, {why}")


@_line.register
def _(body: r.ClockJumped) -> Line | None:
    return _say(
        Level.WARN, "", f"the wall clock jumped by {body.jump_ms / 1000:+.1f} s"
    )


@_line.register
def _(body: r.Merged) -> Line | None:
    text = f"{words.many(body.entries, 'entry', 'entries')} of the emergency journal"
    return _say(Level.WARN, "", f"{text} folded in")
