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
        if is_open and result in ("done", "aborted") and not _twin(case)
    ]
    if result == "done":
        found.extend(_versions(case, at_ms))
        found.extend(_shares(case, at_ms))
    return found


def _twin(case: Case) -> bool:
    return any(one.what.startswith("t") for one in case.history.of("lead"))


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
    if case.weather("dial", at_ms=at_ms, for_ms=60_000):
        return []
    for dial, settings in sorted(case.history.final["dials"].items()):
        for setting in settings:
            out = out_of(setting, case.service_of(dial))
            if out:
                what = f"the run is done, and dial {dial} keeps {', '.join(out)} short"
                found.append(Violation(NAME, at_ms, what))
    return found
