"""Invariant 17: a duty never gets a second holder by us, and is never lost by us."""

from __future__ import annotations

from dayshift.rehearsal.checkers.seeing import Case, Violation

NAME = "never-two-holders"


def check(case: Case) -> list[Violation]:
    found = []
    broken: dict[str, int] = {}
    """When somebody else last changed who holds it: nobody can know at once."""
    last: dict[str, int] = {}
    for one in case.history.of("duty"):
        verb, holders = one.more[0], one.more[1:]
        if verb == "weather":
            broken[one.what] = one.at_ms
            last.pop(one.what, None)
            continue
        unseen = one.at_ms - broken.get(one.what, -case.slack_ms) < case.slack_ms
        if not unseen:
            last[one.what] = one.at_ms
        if verb == "take" and len(holders) > 1 and not unseen:
            what = f"{one.what} was taken by {one.who}, held by {', '.join(holders)}"
            found.append(Violation(NAME, one.at_ms, what))
    return [*found, *_at_the_end(case, broken, last)]


def _at_the_end(
    case: Case, broken: dict[str, int], touched: dict[str, int]
) -> list[Violation]:
    """One holder, unless somebody else broke it and nobody here touched it since."""
    if case.history.status != "closed" or not case.history.final:
        return []
    found = []
    for duty, held in sorted(case.history.final["duties"].items()):
        if len(held) != 1 and (duty in touched or duty not in broken):
            what = f"{duty} is held by {', '.join(held) or 'nobody'} at the end"
            found.append(Violation(NAME, case.history.ended_ms, what))
    return found
