"""Invariant 15: an abort converges, from every state, or the run says what stands."""

from __future__ import annotations

from dayshift.rehearsal.checkers.seeing import Case, Violation, out_of

NAME = "abort-converges"
PATIENCE_MS = 7_200_000


def check(case: Case) -> list[Violation]:
    aborts = [at_ms for at_ms, _ in case.granted("abort")]
    if not aborts:
        return []
    return [*_converged(case, aborts[0]), *_heard(case, aborts[0]), *_told(case)]


def _heard(case: Case, since_ms: int) -> list[Violation]:
    """Whoever aborts sees no further step begin."""
    return [
        Violation(NAME, one.at_ms, f"aborted, and {one.what} began in {one.who}")
        for one in case.history.of("start")
        if one.at_ms > since_ms + case.slack_ms
    ]


def _converged(case: Case, since_ms: int) -> list[Violation]:
    """Neither closed nor held nor at work after so long: it turns in circles."""
    waited = case.history.ended_ms - since_ms
    limits = sum(
        int(step["limit_ms"])
        for work in case.plan["change"]["regions"]
        for step in work["steps"]
    )
    if case.history.status != "running" or waited < PATIENCE_MS + 2 * limits:
        return []
    what = f"aborted {waited // 1000} s ago, and it still runs"
    return [Violation(NAME, case.history.ended_ms, what)]


def _told(case: Case) -> list[Violation]:
    """Closed as aborted: usual shares, but for the region that was left drained."""
    closed = [r for r in case.kinds("run-closed") if r["body"]["result"] == "aborted"]
    if not closed or not case.history.final:
        return []
    found = []
    drained = {
        one["body"]["region"]
        for one in case.kinds("phased")
        if one["body"]["new"] == "left-drained"
    }
    for dial, settings in sorted(case.history.final["dials"].items()):
        if case.moved_by_others(dial, closed[0]["at"]["mono_ms"] - case.slack_ms):
            continue
        if f"not touched: dial {dial} " in closed[0]["body"].get("why", ""):
            continue
        for setting in settings:
            service = case.service_of(dial)
            if service["stays"]:
                continue
            out = set(out_of(setting, service))
            if out - drained:
                what = f"aborted, and dial {dial} keeps {', '.join(sorted(out))} short"
                found.append(Violation(NAME, closed[0]["at"]["mono_ms"], what))
    return found
