"""Invariant 13: nothing happens that the journal did not intend first, and nothing is
repeated blindly: an intent is followed by its outcome before it is asked again."""

from __future__ import annotations

from dayshift.limits import ACTION_ATTEMPTS_MAX
from dayshift.rehearsal.checkers.seeing import Case, Violation

NAME = "journal-before-act"


def check(case: Case) -> list[Violation]:
    return [*_writes(case), *_deeds(case), *_repeats(case)]


def _writes(case: Case) -> list[Violation]:
    found = []
    for write in case.history.writes:
        claim = write.token.claim
        if claim.journal != case.journal:
            continue
        record = case.intents.get((claim.epoch, claim.seq))
        if record is None:
            what = f"a write at dial {write.dial} has no intent in the journal"
            found.append(Violation(NAME, write.at_ms, what, (str(claim),)))
            continue
        action = record["body"]["action"]
        asked = action.get("setting", {}).get("rows")
        if action["target"] != write.dial or asked != write.setting.rows:
            what = f"a write at dial {write.dial} is not what was intended"
            found.append(Violation(NAME, write.at_ms, what, (action["key"],)))
        if record["at"]["mono_ms"] > write.at_ms:
            what = f"a write at dial {write.dial} came before its intent"
            found.append(Violation(NAME, write.at_ms, what, (action["key"],)))
    return found


DEEDS = {
    "start": ("start-work",),
    "undo": ("undo-work",),
    "duty": ("release-duty", "take-duty"),
    "bracket": ("enter-bracket", "leave-bracket"),
}


def _deeds(case: Case) -> list[Violation]:
    """Work, duties and brackets: each deed after an intent for its target."""
    if case.history.of("lead") and any(
        one.what.startswith("t") for one in case.history.of("lead")
    ):
        return []
    found = []
    for one in case.history.of(*DEEDS):
        if one.more[:1] == ("weather",):
            continue
        meant = [
            record
            for record in case.intents.values()
            if record["body"]["action"]["kind"] in DEEDS[one.kind]
            and record["body"]["action"]["target"] == one.what
            and record["at"]["mono_ms"] <= one.at_ms
        ]
        if not meant:
            what = f"{one.kind} of {one.what} in {one.who} was never intended"
            found.append(Violation(NAME, one.at_ms, what))
    return found


def _repeats(case: Case) -> list[Violation]:
    found = []
    open_: dict[str, int] = {}
    tries: dict[str, int] = {}
    for one in case.kinds("intent", "outcome", "answered"):
        body = one["body"]
        if body["kind"] == "answered":
            tries.clear()
            continue
        key = body["key"] if body["kind"] == "outcome" else body["action"]["key"]
        if body["kind"] == "outcome":
            open_.pop(key, None)
            continue
        if body["action"]["kind"] == "notify":
            # A page is sent until somebody gets it, with pauses.
            continue
        tries[key] = tries.get(key, 0) + 1
        if key in open_:
            what = f"{key} was asked again before anybody looked what became of it"
            found.append(Violation(NAME, one["at"]["mono_ms"], what))
        if tries[key] > ACTION_ATTEMPTS_MAX:
            what = f"{key} was tried {tries[key]} times"
            found.append(Violation(NAME, one["at"]["mono_ms"], what))
        open_[key] = one["seq"]
    return found
