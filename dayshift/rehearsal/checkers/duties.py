"""Invariant 17: a duty never gets a second holder by us, and is never lost by us."""

from __future__ import annotations

from dayshift.rehearsal.checkers.seeing import Case, Violation

NAME = "never-two-holders"


def check(case: Case) -> list[Violation]:
    found = []
    broken: dict[str, bool] = {}
    for one in case.history.of("duty"):
        verb, holders = one.more[0], one.more[1:]
        if verb == "weather":
            broken[one.what] = True
            continue
        if verb == "take" and len(holders) > 1 and not broken.get(one.what):
            what = f"{one.what} was taken by {one.who}, held by {', '.join(holders)}"
            found.append(Violation(NAME, one.at_ms, what))
    if case.history.status != "closed" or not case.history.final:
        return found
    closed = case.history.ended_ms
    for duty, held in sorted(case.history.final["duties"].items()):
        if len(held) != 1 and not broken.get(duty):
            what = f"{duty} is held by {', '.join(held) or 'nobody'} at the end"
            found.append(Violation(NAME, closed, what))
    return found
