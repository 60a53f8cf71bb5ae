"""How a run ends: done means versions, shares, duties and brackets; nothing less."""

from __future__ import annotations

from dayshift.rehearsal.checkers.seeing import Case, Violation, out_of

NAME = "ending"


def check(case: Case) -> list[Violation]:
    closed = next(case.kinds("run-closed"), None)
    final = case.history.final
    if closed is None or not final:
        return []
    at_ms, result = closed["at"]["mono_ms"], closed["body"]["result"]
    found = [
        Violation(NAME, at_ms, f"bracket {name} was left open")
        for name, is_open in sorted(final["brackets"].items())
        if is_open and result in ("done", "aborted") and not _theirs(case, name)
    ]
    if final.get("wave") and not case.weather("store", "disk", "place", at_ms=at_ms):
        what = f"the run is {result}, and the wave token is still held"
        found.append(Violation(NAME, at_ms, what, (final["wave"],)))
    if result == "done":
        found.extend(_versions(case, at_ms))
        found.extend(_shares(case, at_ms))
    return found


def _theirs(case: Case, bracket: str) -> bool:
    """Did another journal open it after this one did?"""
    until, enter = case.history.ended_ms, ("enter-bracket",)
    ours = max(case.meant(enter, bracket, until), default=-1)
    return any(at_ms > ours for at_ms in case.meant_by_others(enter, bracket, until))


def _versions(case: Case, at_ms: int) -> list[Violation]:
    by_hand = {
        request["args"].get("step") for _, request in case.granted("done-by-hand")
    }
    found = []
    for work in case.plan["change"]["regions"]:
        wanted = work["expect_version"]
        have = case.history.final["versions"][work["region"]]
        if wanted and work["steps"] and not by_hand and have != [wanted]:
            what = f"{work['region']} is done and has version {', '.join(have)}"
            found.append(Violation(NAME, at_ms, what, (f"wanted {wanted}",)))
    return found


def _shares(case: Case, at_ms: int) -> list[Violation]:
    found = []
    for dial, settings in sorted(case.history.final["dials"].items()):
        if case.moved_by_others(dial, at_ms - case.slack_ms):
            continue
        for setting in settings:
            out = out_of(setting, case.service_of(dial))
            if out:
                what = f"the run is done, and dial {dial} keeps {', '.join(out)} short"
                found.append(Violation(NAME, at_ms, what))
    return found
