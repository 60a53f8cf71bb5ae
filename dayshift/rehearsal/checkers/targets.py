"""Invariant 4: every target is named, known and whole; nothing means everything."""

from __future__ import annotations

from dayshift.limits import FULL_BP
from dayshift.rehearsal.checkers.seeing import Case, Violation

NAME = "explicit-targets"


def check(case: Case) -> list[Violation]:
    found = []
    for write in case.history.writes:
        if write.refused:
            continue
        for key, row in write.setting.rows.items():
            if not row or not any(row.values()) or "" in row or "*" in row:
                what = f"dial {write.dial} was told a row for nobody, or for everybody"
                found.append(Violation(NAME, write.at_ms, what, (key, str(row))))
            whole = sum(row.values()) == FULL_BP or write.setting.kind.value == "switch"
            if not whole or min(row.values(), default=0) < 0:
                what = f"dial {write.dial} was told shares that are no whole: {row}"
                found.append(Violation(NAME, write.at_ms, what, (key,)))
        if not write.setting.rows:
            what = f"dial {write.dial} was told no row at all"
            found.append(Violation(NAME, write.at_ms, what))
    known = {one["region"] for one in case.plan["change"]["regions"]}
    for one in case.history.of("start"):
        if one.who not in known or not one.what:
            what = f"step {one.what or '(none)'} began in {one.who or '(nowhere)'}"
            found.append(Violation(NAME, one.at_ms, what))
    return found
