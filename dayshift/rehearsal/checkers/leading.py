"""Invariant 3, for several controllers: who leads no more acts no more, and somebody
leads soon whenever anybody can."""

from __future__ import annotations

from dayshift.rehearsal.checkers.seeing import Case, Violation

NAME = "fencing"
AFTER_MS = 100
VACANT_MS = 15_000
"""Longer than a lease, a campaign and a start of the process take together."""
TROUBLE = ("controller-dies-often", "disk", "place", "store")
"""Weather in which nobody may be able to."""


def check(case: Case) -> list[Violation]:
    return [*_after_lapse(case), *_one_epoch(case), *_vacant(case)]


def _one_epoch(case: Case) -> list[Violation]:
    """Devices tell a new leader from an old one by the epoch: it is of one alone."""
    first: dict[int, str] = {}
    found = []
    for write, action in case.obeyed():
        epoch = write.token.claim.epoch
        if action and first.setdefault(epoch, write.controller) != write.controller:
            what = f"{first[epoch]} and {write.controller} wrote under epoch {epoch}"
            found.append(Violation(NAME, write.at_ms, what, (action["key"],)))
    return found


def _after_lapse(case: Case) -> list[Violation]:
    """No device obeys an intent that was written after its writer's lease had ended."""
    lapses = case.history.of("lapse")
    over = {(one.what, int(one.more[0])): one.at_ms for one in lapses}
    found = []
    for write, action in case.obeyed():
        claim = write.token.claim
        ended_ms = over.get((write.controller, claim.epoch))
        if not action or ended_ms is None:
            continue
        at_ms = case.intents[claim.epoch, claim.seq]["at"]["mono_ms"]
        if at_ms > ended_ms + AFTER_MS:
            what = f"{write.controller} went on for {at_ms - ended_ms} ms after its "
            what += f"lease had ended, and wrote dial {write.dial}"
            found.append(Violation(NAME, write.at_ms, what, (action["key"],)))
    return found


def _vacant(case: Case) -> list[Violation]:
    """Nobody leads for long while nothing is in anybody's way."""
    if not case.history.of("lapse"):
        return []
    found, since = [], -1
    closed = [one["at"]["mono_ms"] for one in case.kinds("run-closed")]
    end_ms = min([*closed, case.history.ended_ms])
    for one in (*case.history.of("lead", "lapse"), None):
        at_ms = min(one.at_ms, end_ms) if one is not None else end_ms
        waited = at_ms - _anybody(case, since, at_ms) if since >= 0 else 0
        excused = case.weather(*TROUBLE, at_ms=at_ms, for_ms=waited)
        if waited > VACANT_MS and not excused:
            what = f"nobody led for {waited // 1000} s"
            found.append(Violation(NAME, at_ms, what))
        if one is not None:
            since = one.at_ms if one.kind == "lapse" else -1
    return found


def _anybody(case: Case, since_ms: int, until_ms: int) -> int:
    """From when on somebody was alive until then, if not since `since_ms`."""
    alive: set[str] = set()
    for one in case.history.of("born", "crash"):
        if one.at_ms > until_ms:
            break
        if one.kind == "crash":
            alive.discard(one.what)
        elif not alive:
            since_ms = max(since_ms, one.at_ms)
        if one.kind == "born":
            alive.add(one.what)
    return since_ms if alive else until_ms
