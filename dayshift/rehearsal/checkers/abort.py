"""Invariant 15: an abort converges, from every state, or the run says what stands."""

from __future__ import annotations

from dayshift.model.dial import ALL
from dayshift.rehearsal.checkers.seeing import Case, Json, Violation, out_of

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
        why = str(closed[0]["body"].get("why", "")).partition("not touched: ")[2]
        for setting in settings:
            service = case.service_of(dial)
            if service["stays"] or _not_ours(case, dial, setting, why):
                continue
            out = set(out_of(setting, service))
            if out - drained:
                what = f"aborted, and dial {dial} keeps {', '.join(sorted(out))} short"
                found.append(Violation(NAME, closed[0]["at"]["mono_ms"], what))
    return found


def _not_ours(case: Case, dial: str, setting: Json, why: str) -> bool:
    """May the dial be left like this? Only where somebody else put it so, and the
    closing record says how it stands, or that nobody can tell."""
    asked = [
        write.at_ms
        for write, action in case.obeyed()
        if action and write.dial == dial and write.setting.rows == setting["rows"]
    ]
    moved = [
        one.at_ms
        for one in case.history.of("drift", "mended", "revert")
        if one.what == dial and not one.who
    ]
    moved += [w.at_ms for w, action in case.obeyed() if w.dial == dial and not action]
    ours = max(asked, default=-1)
    if not moved or max(moved) < ours:
        return False
    said = [
        one for one in why.split("; dial ") if one.startswith((dial, f"dial {dial}"))
    ]
    shown = _words(setting)
    return any("cannot be read" in one or shown in one for one in said)


def _words(setting: Json) -> str:
    """How people are told of a setting."""
    parts = []
    for key, row in sorted(setting["rows"].items()):
        shares = ", ".join(f"{r} {s / 100:.2f} %" for r, s in sorted(row.items()))
        parts.append(shares if key == ALL else f"{key} → {shares}")
    return "; ".join(parts)
