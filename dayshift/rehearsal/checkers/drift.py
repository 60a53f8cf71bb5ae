"""Invariant 16: a dial that somebody else moved is not written over by the way."""

from __future__ import annotations

from dayshift.rehearsal.checkers.seeing import Case, Violation

NAME = "drift-refuses"


def check(case: Case) -> list[Violation]:
    return [*_written_over(case), *_unasked(case)]


def _unasked(case: Case) -> list[Violation]:
    """What a dial shows becomes the expected by a person's word alone."""
    if next(case.kinds("glass-broken", "glass-adopted"), None):
        return []
    asked = {at_ms for at_ms, _ in case.granted("adopt")}
    return [
        Violation(NAME, one["at"]["mono_ms"], f"nobody adopted {one['body']['dial']}")
        for one in case.kinds("adopted")
        if one["at"]["mono_ms"] not in asked
    ]


def _written_over(case: Case) -> list[Violation]:
    found = []
    for moved in case.history.of("drift"):
        for write, action in case.obeyed():
            if write.dial != moved.what or not action:
                continue
            if write.at_ms < moved.at_ms + case.slack_ms:
                continue
            if _seen_to(case, moved.what, moved.at_ms, write.at_ms):
                break
            what = f"dial {write.dial} was moved by somebody else and then written over"
            found.append(Violation(NAME, write.at_ms, what, (action["key"],)))
            break
    return found


def _seen_to(case: Case, dial: str, from_ms: int, until_ms: int) -> bool:
    """Did the run stop over it, take it over, or write at once, or was it put back?"""
    for one in case.kinds("held", "adopted", "run-closed"):
        if from_ms <= one["at"]["mono_ms"] <= until_ms:
            return True
    if any(
        write.dial == dial and from_ms <= write.at_ms < from_ms + case.slack_ms
        for write in case.history.writes
    ):
        return True
    return any(
        one.what == dial and from_ms < one.at_ms <= until_ms
        for one in case.history.of("drift", "mended", "revert")
    )
