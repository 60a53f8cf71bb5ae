"""The gate's signals as a table of text, for `explain`. Words come from `signals`."""

from __future__ import annotations

from collections.abc import Sequence

from dayshift.model.evidence import SignalSight
from dayshift.surfaces import signals, words
from dayshift.surfaces.nouns import GateStory

HEAD = ("", "here", "elsewhere", "ratio", "roll back", "promote")
MARK = "*"
"""Stands at the signal that decides."""
TITLE = (
    f"the gate's signals: counts of this rung, ratio of the whole return "
    f"({MARK} in most doubt)"
)


def lines(gates: Sequence[GateStory]) -> list[str]:
    """Every signal of every stream; below each service what decides and is needed."""
    rows: list[tuple[str, ...]] = [HEAD]
    for gate in gates:
        rows += _rows(gate)
    wide = [max(len(row[n]) for row in rows) for n in range(len(HEAD))]
    laid = [
        "  " + "  ".join(c.ljust(w) for c, w in zip(row, wide, strict=True)).rstrip()
        for row in rows
    ]
    out, at = [laid[0]], 1
    for gate in gates:
        many = len(_rows(gate))
        out += [*laid[at : at + many], *_said(gate)]
        at += many
    return out


def _rows(gate: GateStory) -> list[tuple[str, ...]]:
    """A line for each stream's name, then one for each of its signals."""
    decides = signals.deciding(gate)
    out: list[tuple[str, ...]] = []
    stream = None
    for one in gate.signals:
        if one.stream != stream:
            stream = one.stream
            out.append((stream, *[""] * (len(HEAD) - 1)))
        out.append(_row(one, MARK if one == decides else " "))
    return out


def _row(one: SignalSight, mark: str) -> tuple[str, ...]:
    elsewhere = words.UNKNOWN
    if one.signal != signals.ABSOLUTE:
        elsewhere = f"{one.others_bad:,} of {one.others:,}"
    return (
        f"{mark} {signals.short(one)}",
        f"{one.canary_bad:,} of {one.canary:,}",
        elsewhere,
        signals.ratio(one),
        signals.against(one),
        signals.promoting(one),
    )


def _said(gate: GateStory) -> list[str]:
    """What the table cannot hold."""
    told = {"in doubt": gate.decides, "needs": gate.needs, "wait": signals.wait(gate)}
    return [f"    {label:<9} {text}" for label, text in told.items() if text]
