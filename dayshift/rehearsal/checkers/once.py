"""Invariant 18: no step runs twice at once, none is done twice, none is undone while it
runs."""

from __future__ import annotations

from dayshift.rehearsal.checkers.seeing import Case, Violation

NAME = "once-at-a-time"


def check(case: Case) -> list[Violation]:
    found = []
    running: dict[str, str] = {}
    done: set[tuple[str, str]] = set()
    for one in case.history.of("start", "end", "undo", "undone"):
        key = one.more[0] if one.more else ""
        if one.kind == "start":
            if one.who in running:
                what = f"{one.what} began in {one.who} while {running[one.who]} ran"
                found.append(Violation(NAME, one.at_ms, what))
            if (one.who, one.what) in done:
                what = f"{one.what} was done in {one.who}, and began again"
                found.append(Violation(NAME, one.at_ms, what))
            running[one.who] = key
        elif one.kind == "end" and running.get(one.who) == key:
            del running[one.who]
            if one.more[-1] == "done":
                done.add((one.who, one.what))
        elif one.kind == "undo" and one.more[-1] == "running":
            what = f"{one.what} was to be undone in {one.who} while it ran"
            found.append(Violation(NAME, one.at_ms, what))
        elif one.kind == "undone":
            done.discard((one.who, one.what))
    return found
