"""Invariant 13: nothing happens that the journal did not intend first, and nothing is
repeated blindly: an intent is followed by its outcome before it is asked again."""

from __future__ import annotations

from dayshift.limits import ACTION_ATTEMPTS_MAX
from dayshift.rehearsal.checkers.seeing import Case, Violation

NAME = "journal-before-act"
PAUSE_MS = 1_500
"""What is asked more often than that is asked as fast as it can be."""


def check(case: Case) -> list[Violation]:
    return [*_writes(case), *_deeds(case), *_repeats(case), *_requests(case)]


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
    """Work, duties and brackets: each deed after an intent for its target, in this
    journal or in that of whoever else ran the change."""
    found = []
    for one in case.history.of(*DEEDS):
        if one.more[:1] == ("weather",):
            continue
        asked = DEEDS[one.kind], one.what, one.at_ms
        if not case.meant(*asked) and not case.meant_by_others(*asked):
            what = f"{one.kind} of {one.what} in {one.who} was never intended"
            found.append(Violation(NAME, one.at_ms, what))
    return found


def _requests(case: Case) -> list[Violation]:
    """What a person asked is carried out once, wherever and however often it arrives:
    a token is written down once, and answered once."""
    found = []
    seen: set[tuple[str, str]] = set()
    for one in case.kinds("requested", "answered"):
        body = one["body"]
        name = body["kind"], body.get("token", "")
        if name[1] and name in seen:
            what = f"request {name[1][:8]} was {body['kind']} twice"
            found.append(Violation(NAME, one["at"]["mono_ms"], what))
        seen.add(name)
    return found


def _repeats(case: Case) -> list[Violation]:
    found = []
    open_: dict[str, int] = {}
    tries: dict[str, int] = {}
    last: dict[str, int] = {}
    for one in case.kinds("intent", "outcome", "answered"):
        body = one["body"]
        if body["kind"] == "answered":
            tries.clear()
            continue
        key = body["key"] if body["kind"] == "outcome" else body["action"]["key"]
        if body["kind"] == "outcome":
            open_.pop(key, None)
            continue
        tries[key] = tries.get(key, 0) + 1
        at_ms, before_ms = one["at"]["mono_ms"], last.get(key, 0)
        last[key] = at_ms
        if key in open_:
            what = f"{key} was asked again before anybody looked what became of it"
            found.append(Violation(NAME, at_ms, what))
        # A page is sent until somebody gets it, with pauses.
        page = body["action"]["kind"] == "notify" and at_ms - before_ms >= PAUSE_MS
        if tries[key] > ACTION_ATTEMPTS_MAX and not page:
            what = f"{key} was tried {tries[key]} times"
            found.append(Violation(NAME, at_ms, what))
        open_[key] = one["seq"]
    return found
