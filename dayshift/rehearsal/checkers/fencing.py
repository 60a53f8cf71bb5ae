"""Invariant 3: a new epoch first stands at every fence point; no claim of another, and
none that is newer, is ever overwritten."""

from __future__ import annotations

from dayshift.rehearsal.checkers import leading
from dayshift.rehearsal.checkers.seeing import Case, Violation

NAME = "fencing"


def check(case: Case) -> list[Violation]:
    return [
        *_overwritten(case),
        *_landed_late(case),
        *_unfenced(case),
        *_shared(case),
        *_renewed(case),
        *leading.check(case),
    ]


def _landed_late(case: Case) -> list[Violation]:
    """An agent compares and writes in one step, however long the device takes."""
    found = []
    for one in case.history.of("overtaken"):
        newer, mine = one.more
        what = f"agent {one.who} put {mine} over {newer} at dial {one.what}"
        found.append(Violation(NAME, one.at_ms, what))
    return found


def _renewed(case: Case) -> list[Violation]:
    """Who was overtaken keeps no lease alive any more."""
    found = []
    newest: dict[tuple[str, str], int] = {}
    for one in case.history.of("kept"):
        agent, verb, claim, *_, result, _ = one.more
        epoch, at = int(claim.split(":")[0]), (one.what, agent)
        if result != "done":
            continue
        if verb == "renew" and epoch < newest.get(at, 0):
            what = f"{one.who} renewed {one.what} with epoch {epoch}, "
            what += f"and epoch {newest[at]} leads"
            found.append(Violation(NAME, one.at_ms, what))
        newest[at] = max(newest.get(at, 0), epoch)
    return found


def _overwritten(case: Case) -> list[Violation]:
    found = []
    for write in case.history.writes:
        mine = write.token.claim
        for claim in write.found:
            if write.refused or claim is None:
                continue
            foreign = (claim.estate, claim.journal) != (mine.estate, mine.journal)
            newer = (claim.epoch, claim.seq) > (mine.epoch, mine.seq)
            if foreign or newer:
                what = f"{write.controller} overwrote {claim} at dial {write.dial}"
                found.append(Violation(NAME, write.at_ms, what, (str(mine),)))
    return found


def _unfenced(case: Case) -> list[Violation]:
    """Before shares move, this epoch's claim was read back at every dial."""
    found = []
    dials = sorted(case.plan["baseline"])
    asked: dict[str, str] = {}
    stood: dict[int, set[str]] = {}
    for one in case.records:
        body = one["body"]
        if body["kind"] == "intent" and body["action"]["kind"] in (
            "set-dial",
            "hold-dial",
        ):
            action = body["action"]
            asked[action["key"]] = action["target"]
            missing = [d for d in dials if d not in stood.get(one["epoch"], set())]
            moves = action["kind"] == "set-dial" and "/fence/" not in action["key"]
            if moves and missing:
                what = (
                    f"epoch {one['epoch']} moves {action['target']} before its claim "
                )
                what += f"stood at {', '.join(missing)}"
                found.append(
                    Violation(NAME, one["at"]["mono_ms"], what, (action["key"],))
                )
        if (
            body["kind"] == "outcome"
            and body["result"] == "done"
            and body["key"] in asked
        ):
            stood.setdefault(one["epoch"], set()).add(asked[body["key"]])
    return found


def _shared(case: Case) -> list[Violation]:
    """Two controllers never write, or renew, with the same epoch of one journal."""
    found = []
    owner: dict[tuple[str, int], str] = {}
    for write in case.history.writes:
        claim = write.token.claim
        first = owner.setdefault((claim.journal, claim.epoch), write.controller)
        if first != write.controller:
            what = f"{first} and {write.controller} both write with epoch {claim.epoch}"
            found.append(Violation(NAME, write.at_ms, what))
    for one in case.history.of("kept"):
        epoch = int(one.more[2].split(":")[0])
        first = owner.get((case.journal, epoch), one.who)
        if one.more[1] == "renew" and one.more[5] == "done" and first != one.who:
            what = f"{one.who} renewed what {first} armed with epoch {epoch}"
            found.append(Violation(NAME, one.at_ms, what))
    return found
