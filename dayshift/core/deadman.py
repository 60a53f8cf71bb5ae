"""The dead-man as a table: phase × what was lost → what users' traffic does by itself.

Here: data, and its page in the docs. Every cell is a test, with dials whose writes
expire at the device and with dials that fail static. Not here: what makes it so
(`core.leases`, `core.decide`).
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from dayshift.model.records import Phase


class Lost(StrEnum):
    """What is gone while a run stands in a phase."""

    CONTROLLER = "controller"
    STORE = "store"
    LINK = "link"
    AGENT = "agent"
    DEVICE = "device"
    METERS = "meters"


MEANING: dict[Lost, str] = {
    Lost.CONTROLLER: "it dies; no other one leads yet",
    Lost.STORE: "nothing can be recorded",
    Lost.LINK: "the device works and cannot be reached",
    Lost.AGENT: "the agent that keeps the device's lease is dead",
    Lost.DEVICE: "one instance of the dial does not answer",
    Lost.METERS: "no meter sees anything; probes do",
}


class Then(StrEnum):
    """What users' traffic does, longer than a lease and than `policy.blind_limit`."""

    AS_IT_WAS = "stays as it was"
    DRAINED = "the region stays drained"
    USUAL = "goes back to the usual shares"
    PROVEN = "goes back to the last proven rung"


class Cell(msgspec.Struct, frozen=True):
    """`leased` for dials whose writes expire, `static` for those that do not."""

    leased: Then
    static: Then
    next: str


HELD, PAUSED, EVACUATED = "held in draining", "paused in draining", "evacuated"
AT_FULL_SHARE = (Phase.PREFLIGHT.value, Phase.SOAKING.value)
STANDS = (
    *(
        one.value
        for one in Phase
        if one
        not in (
            Phase.SERVING,
            Phase.DONE,
            Phase.DONE_PARTIAL,
            Phase.LEFT_DRAINED,
        )
    ),
    HELD,
    PAUSED,
    EVACUATED,
)
"""Where a run can be when something is lost. `empty` is left in the decision after the
one that enters it; the last three are not phases of their own."""

_GOES_ON = "reads the dials, goes on where it stood"
_SEES = "goes on by itself when it sees again, or holds and calls a person"
_REACHES = "waits, or holds and calls a person; what it asked is read back before more"
_CANNOT_WRITE = (
    "renews nothing, for it could write nothing down; the way back goes on in the "
    "emergency journal; else it stops, and the rest is as with the controller lost"
)
_BLIND_STOPS = (
    "moves nothing while the load is not measured; after `policy.blind_limit` it "
    "holds, nothing expires any more, and it calls a person"
)
_BACK = "finds that the dial went back, goes with it, holds: `retry` or `abort`"


def _moving(lost: Lost, back: Then) -> Cell:
    """A region that leaves or comes back."""
    match lost:
        case Lost.CONTROLLER:
            return Cell(back, Then.AS_IT_WAS, f"{_BACK}; static: {_GOES_ON}")
        case Lost.STORE:
            return Cell(back, Then.AS_IT_WAS, _CANNOT_WRITE)
        case Lost.LINK:
            return Cell(back, Then.AS_IT_WAS, _BACK)
        case Lost.METERS:
            return Cell(back, back, "takes it back itself, holds")
        case _:
            return Cell(Then.AS_IT_WAS, Then.AS_IT_WAS, _REACHES)


def _standing(lost: Lost, then: Then) -> Cell:
    """A region that stays where it is."""
    said = {Lost.METERS: _SEES, Lost.CONTROLLER: _GOES_ON, Lost.STORE: _GOES_ON}
    return Cell(then, then, said.get(lost, _REACHES))


def _cell(stand: str, lost: Lost) -> Cell:
    if stand == Phase.DRAINING and lost is Lost.METERS:
        return Cell(Then.AS_IT_WAS, Then.AS_IT_WAS, _BLIND_STOPS)
    if stand == Phase.DRAINING:
        return _moving(lost, Then.USUAL)
    if stand == Phase.RETURNING:
        return _moving(lost, Then.PROVEN)
    if stand in (*AT_FULL_SHARE, HELD, PAUSED):
        return _standing(lost, Then.AS_IT_WAS)
    return _standing(lost, Then.DRAINED)


TABLE: dict[tuple[str, Lost], Cell] = {
    (stand, lost): _cell(stand, lost) for stand in STANDS for lost in Lost
}


def page() -> str:
    """The table as it stands in docs/dead-man.md."""
    lines = [_HEAD]
    lines += [f"- **{lost.value}**: {text}" for lost, text in MEANING.items()]
    for stand in STANDS:
        lines += ["", f"## {stand}", ""]
        lines.append(
            "| lost | leased dial | static dial | the controller or its heir |"
        )
        lines.append("|---|---|---|---|")
        for lost in Lost:
            cell = TABLE[stand, lost]
            then = (lost.value, cell.leased.value, cell.static.value, cell.next)
            lines.append(f"| {' | '.join(then)} |")
    return "\n".join(lines) + "\n"


_HEAD = """# Dead-man: what happens when something is lost

Drawn from `dayshift/core/deadman.py`; a test holds this page to it, and
`tests/simulation/test_dead_man.py` loses each of these in each phase, waits longer than
a lease, looks at what users get, gives it back, and lets the run end. In every cell: no
duty has two holders or none at the end, every bracket is closed, no step of the work
runs twice at once, and an evacuated region never comes back by itself.

A dial whose writes expire (`lease` in what `dayshift check` says of it) goes back by
itself when nobody renews them; a static dial keeps what it has.
"""
