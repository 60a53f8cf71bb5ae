"""What a new controller makes of what the last one left: the recovery table.

Here: for each named point and kind of action what the journal says, what the world may
be and what comes next, as data (`CELLS`, `REST`); and the observation that the table
speaks of (`observed`), which `decide` uses. Every cell is a test. Not here: what opens
a damaged journal (`journal.recovery`).
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from dayshift.core.state import Asked
from dayshift.errors import Bug
from dayshift.model.points import ACTING, Point
from dayshift.model.records import ActionKind, Outcome, OutcomeKind
from dayshift.model.sight import Sight, WorkStatus

K = ActionKind
P = Point


class Proof(StrEnum):
    """By what a new controller sees whether an action happened."""

    CLAIM = "the claim and the setting at every instance"
    OPEN = "the bracket is asked whether it is open"
    HOLDERS = "every region is asked whether it holds the duty"
    SUPERVISOR = "the step's supervisor left a record under the key"
    NOTHING = "nothing: asking again under the same key does no harm"


PROOFS: dict[ActionKind, Proof] = {
    K.SET_DIAL: Proof.CLAIM,
    K.HOLD_DIAL: Proof.CLAIM,
    K.ENTER_BRACKET: Proof.OPEN,
    K.LEAVE_BRACKET: Proof.OPEN,
    K.RELEASE_DUTY: Proof.HOLDERS,
    K.TAKE_DUTY: Proof.HOLDERS,
    K.START_WORK: Proof.SUPERVISOR,
    K.STOP_WORK: Proof.NOTHING,
    K.UNDO_WORK: Proof.NOTHING,
    K.NOTIFY: Proof.NOTHING,
}
HARMLESS: dict[ActionKind, str] = {
    K.STOP_WORK: "a step that ended is not stopped again",
    K.UNDO_WORK: "the worker attaches to the undo of that key; it runs once",
    K.NOTIFY: "the page comes twice under one key",
}
"""Why a kind that cannot be seen may be asked again."""


class World(StrEnum):
    """What the device may be when the controller died."""

    BEFORE = "as before"
    PART = "one instance as asked, the others as before"
    AFTER = "as asked"


class Next(StrEnum):
    """What the next controller does about the action."""

    ANEW = "decides anew"
    DONE = "sees it done, writes that down, goes on"
    AGAIN = "sees it not done, writes that down, asks once more under the same key"
    REPEAT = "cannot see it, writes that down, asks once more under the same key"
    REFUSED = "sees it not done, asks once more, and the interlock refuses again"
    ON = "goes on from the outcome"


class Cell(msgspec.Struct, frozen=True):
    """One point × kind of action.

    `intents` and `outcomes` are what the journal has of this action when the controller
    dies there; `calls` how often its driver may be called for it in all.
    """

    intents: int
    outcomes: int
    world: World
    next: Next
    calls: int


NOT_PASSED: dict[tuple[Point, ActionKind], str] = {
    **{
        (point, kind): "only a dial is compared, and only a dial has instances"
        for point in (P.COMPARED, P.HALF_APPLIED)
        for kind in ActionKind
        if PROOFS[kind] is not Proof.CLAIM
    },
    **{
        (P.REFUSING, kind): "moves no user and starts nothing: it is never refused"
        for kind in (
            K.ENTER_BRACKET,
            K.LEAVE_BRACKET,
            K.RELEASE_DUTY,
            K.STOP_WORK,
            K.NOTIFY,
        )
    },
}
"""Pairs that no action passes, and why."""


def _cell(point: Point, kind: ActionKind) -> Cell:
    match point:
        case P.DECIDED:
            return Cell(0, 0, World.BEFORE, Next.ANEW, 1)
        case P.REFUSING:
            return Cell(1, 0, World.BEFORE, Next.REFUSED, 0)
        case P.CONCLUDED:
            return Cell(1, 1, World.AFTER, Next.ON, 1)
        case P.HALF_APPLIED:
            return Cell(1, 0, World.PART, Next.AGAIN, 2)
        case P.APPLIED | P.READ_BACK:
            if PROOFS[kind] is Proof.NOTHING:
                return Cell(1, 0, World.AFTER, Next.REPEAT, 2)
            return Cell(1, 0, World.AFTER, Next.DONE, 1)
        case _:
            again = Next.REPEAT if PROOFS[kind] is Proof.NOTHING else Next.AGAIN
            return Cell(1, 0, World.BEFORE, again, 1)


CELLS: dict[tuple[Point, ActionKind], Cell] = {
    (point, kind): _cell(point, kind)
    for point in ACTING
    for kind in ActionKind
    if (point, kind) not in NOT_PASSED
}


class Rest(msgspec.Struct, frozen=True):
    """One point that belongs to no action."""

    journal: str
    world: str
    next: str
    ends: str


_UNMOVED = "as before"
_ON = "the run goes on"

REST: dict[Point, Rest] = {
    P.LOCKED: Rest("as before", _UNMOVED, "takes the lock, which died too", _ON),
    P.MERGING: Rest(
        "without the emergency entries; their file has them",
        _UNMOVED,
        "merges them",
        "every entry once",
    ),
    P.MERGED: Rest(
        "with the emergency entries; their file has them still",
        _UNMOVED,
        "knows them by their head, forgets the file",
        "every entry once",
    ),
    P.LEADING: Rest("without the epoch", _UNMOVED, "takes the same or a later", _ON),
    P.LED: Rest("the epoch, and nothing of it", _UNMOVED, "takes the next", _ON),
    P.OPENING: Rest("no run", _UNMOVED, "the person runs it again", "one run"),
    P.OPENED: Rest(
        "an open run, nothing decided", _UNMOVED, "begins it", "the same run"
    ),
    P.ASKED: Rest("no request", _UNMOVED, "knows nothing of it", "not granted"),
    P.REQUESTED: Rest("a request", _UNMOVED, "answers it first", "granted once"),
    P.ANSWERED: Rest(
        "request and answer", _UNMOVED, "does as was granted", "granted once"
    ),
    P.CONFIRMED: Rest(
        "a person's word", "the worker waits", "waits for it", "said once more"
    ),
    P.WRITTEN: Rest("a whole batch", _UNMOVED, "folds it and looks", _ON),
    P.KEPT: Rest(
        "the step has no end", "the step ended", "sees its end, writes it", "one end"
    ),
    P.HEAD_FILED: Rest("an older head", _UNMOVED, "signs the head again", _ON),
    P.HEAD_SIGNED: Rest("the head, signed", _UNMOVED, "signs the next", _ON),
    P.SNAPSHOT_DUE: Rest("no snapshot", _UNMOVED, "folds more records", "same state"),
    P.SNAPSHOT_KEPT: Rest("a snapshot", _UNMOVED, "folds from it", "same state"),
    P.STRANDING: Rest("nothing of it", _UNMOVED, "decides anew", _ON),
    P.FRAMED: Rest(
        "the batch, in the emergency file, not acknowledged",
        _UNMOVED,
        "keeps it: it is whole",
        _ON,
    ),
    P.STRANDED: Rest(
        "the batch, in the emergency file",
        _UNMOVED,
        "merges it when there is room",
        _ON,
    ),
    P.CLOSED: Rest("a closed run", "as it ended", "has nothing to do", "the same end"),
    P.SEALED: Rest(
        "a closed run, its side logs sealed",
        "as it ended",
        "signs the head",
        "the same end",
    ),
}

assert set(PROOFS) == set(ActionKind)
assert set(HARMLESS) == {kind for kind in K if PROOFS[kind] is Proof.NOTHING}
assert set(CELLS) | set(NOT_PASSED) == {(p, k) for p in ACTING for k in ActionKind}
assert set(REST) == set(Point) - set(ACTING)


def observed(asked: Asked, sight: Sight) -> Outcome | None:
    """What became of an intent whose outcome nobody wrote down; None while unseen.

    Holds: invariant 13; it is looked for, never repeated blindly.
    """
    found = _found(asked, sight)
    if found is None:
        return None
    key = asked.action.key
    if not found:
        return Outcome(key, OutcomeKind.RETRY, "found not done after a restart")
    claim = None
    if PROOFS[asked.action.kind] is Proof.CLAIM:
        claim = sight.dials[asked.action.target].instances[0].claim
    return Outcome(key, OutcomeKind.DONE, "found done after a restart", claim=claim)


def _found(asked: Asked, sight: Sight) -> bool | None:
    """True when the action is seen to have happened, None while nobody can tell."""
    action = asked.action
    match PROOFS[action.kind]:
        case Proof.CLAIM:
            return _claimed(asked, sight)
        case Proof.OPEN:
            bracket = sight.brackets.get(action.target)
            if bracket is None or bracket.fault:
                return None
            return bracket.open is (action.kind is K.ENTER_BRACKET)
        case Proof.HOLDERS:
            duty = sight.duties.get(action.target)
            if duty is None or duty.fault:
                return None
            return (action.region in duty.holders) is (action.kind is K.TAKE_DUTY)
        case Proof.SUPERVISOR:
            work = sight.works.get(action.text)
            return None if work is None else work.status is not WorkStatus.ABSENT
        case Proof.NOTHING:
            return False
    raise Bug(f"no proof for {action.kind}")


def _claimed(asked: Asked, sight: Sight) -> bool | None:
    """The claim at the dial tells whose write stands there."""
    reading = sight.dials.get(asked.action.target)
    if reading is None or reading.fault or not reading.instances:
        return None
    claims = {str(one.claim) for one in reading.instances}
    claim = reading.instances[0].claim
    ours = claim is not None and (claim.epoch, claim.seq) == (asked.epoch, asked.seq)
    lives = asked.action.lifetime_ms in (0, reading.lifetime_ms)
    as_asked = reading.setting == asked.action.setting and lives
    return ours and len(claims) == 1 and as_asked


def page() -> str:
    """The table as it stands in docs/recovery.md."""
    lines = [_HEAD]
    for point in ACTING:
        lines += [f"### {point.value}", "", f"{point.says[0].upper()}{point.says[1:]}."]
        lines += ["", "| action | journal | world | the next controller | calls |"]
        lines.append("|---|---|---|---|---|")
        for kind in ActionKind:
            lines.append(_row(point, kind))
        lines.append("")
    lines += ["## Points of no action", ""]
    lines.append(
        "| point | what is true | journal | world | the next controller | ends |"
    )
    lines.append("|---|---|---|---|---|---|")
    for point, rest in REST.items():
        cells = (
            point.value,
            point.says,
            rest.journal,
            rest.world,
            rest.next,
            rest.ends,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _row(point: Point, kind: ActionKind) -> str:
    cell = CELLS.get((point, kind))
    if cell is None:
        return f"| {kind.value} | — | — | {NOT_PASSED[point, kind]} | — |"
    said = {(0, 0): "nothing", (1, 0): "an intent", (1, 1): "intent and outcome"}
    then = cell.next.value
    if cell.next is Next.REPEAT:
        then += f" ({HARMLESS[kind]})"
    journal = said[cell.intents, cell.outcomes]
    return f"| {kind.value} | {journal} | {cell.world.value} | {then} | {cell.calls} |"


_HEAD = """# Recovery: what is left when a controller dies, and what comes next

Drawn from `dayshift/core/recovery.py`; a test holds this page to it, and
`tests/simulation/test_crash_points.py` dies at every point below, with every action,
and lets a new controller end the run. In all cells: users are served; no action without
a durable intent; what runs is what was approved; a step runs once; a duty has one
holder; a safe state within 60 s; the run ends, or is held with legal exits.

`calls`: how often the driver may be called for that one intent, both controllers
together.

## Points of an action
"""
