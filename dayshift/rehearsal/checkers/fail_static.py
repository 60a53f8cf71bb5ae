"""Invariant 10: a dead controller moves nothing, and neither does a closed run."""

from __future__ import annotations

from dayshift.rehearsal.checkers.seeing import Case, Violation

NAME = "fail-static"


def check(case: Case) -> list[Violation]:
    found = []
    died = {one.what: one.at_ms for one in case.history.of("crash")}
    closed = [one["seq"] for one in case.kinds("run-closed")]
    for write in case.history.writes:
        if write.refused:
            continue
        sent_ms = write.at_ms if write.sent_ms < 0 else write.sent_ms
        if sent_ms > died.get(write.controller, sent_ms):
            what = f"{write.controller} was dead and wrote dial {write.dial}"
            found.append(Violation(NAME, write.at_ms, what))
        ours = write.token.claim.journal == case.journal
        if ours and closed and write.token.claim.seq > closed[0]:
            what = f"the run was closed and wrote dial {write.dial}"
            found.append(Violation(NAME, write.at_ms, what))
    return found
