"""Invariant 12: an emergency goes through with the store down, and is in the journal
afterwards, whole; an evacuated region does not come back by itself."""

from __future__ import annotations

from dayshift.rehearsal.checkers.seeing import Case, Violation

NAME = "break-glass"
PATIENCE_MS = 120_000
YIELD = (
    "CAPACITY-EXCEEDED",
    "BLIND",
    "NOT-APPROVED",
    "OTHER-REGION-OUT",
    "SURVIVOR-TROUBLE",
    "DUTY-UNCLEAR",
    "STORE-FULL",
    "ABSENCE-LIMIT",
    "SHARED-FATE",
    "RESIDUE",
)
"""Guards that no emergency stops at (docs/overrides.md)."""


def check(case: Case) -> list[Violation]:
    return [*_whole(case), *_refused(case), *_evacuated(case)]


def _refused(case: Case) -> list[Violation]:
    """No guard that must yield stops an evacuation."""
    if case.plan["verb"] != "evacuate":
        return []
    found = []
    for one in case.kinds("run-closed", "held"):
        body = one["body"]
        code = body.get("why") or body.get("reason", {}).get("code", "")
        if str(code).startswith(YIELD):
            what = f"an evacuation stopped at {str(code).splitlines()[0]}"
            found.append(Violation(NAME, one["at"]["mono_ms"], what))
    return found


def _whole(case: Case) -> list[Violation]:
    """Sequence numbers have no gap and no double, emergency entries included."""
    seqs = [one["seq"] for one in case.records]
    if seqs == list(range(1, len(seqs) + 1)):
        return []
    return [Violation(NAME, case.history.ended_ms, f"records are missing: {len(seqs)}")]


def _evacuated(case: Case) -> list[Violation]:
    """The region loses its users at once, whatever the journal's disk does."""
    if case.plan["verb"] != "evacuate":
        return []
    found = []
    region = case.plan["passes"][0]["region"]
    begun = [one.at_ms for one in case.history.of("lead")]
    away = [w.at_ms for w, _ in case.obeyed() if not w.served.get(region, 1)]
    stands = case.weather(
        "dial", "cut", "network", "survivor", at_ms=1 << 50, for_ms=1 << 51
    )
    waited = (away[0] if away else case.history.ended_ms) - (begun or [0])[0]
    if begun and not stands and waited > PATIENCE_MS:
        what = f"{region} kept its users for {waited // 1000} s of an evacuation"
        found.append(Violation(NAME, begun[0] + waited, what))
    gone = False
    for write, action in case.obeyed():
        back = write.served.get(region, 0) > write.before.get(region, 0)
        if action and back and gone:
            what = f"{region} was evacuated and came back by itself"
            found.append(Violation(NAME, write.at_ms, what, (action["key"],)))
        gone = gone or not write.served.get(region, 1)
    return found
