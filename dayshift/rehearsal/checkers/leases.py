"""Invariant 6, at the agents: what was armed goes back when nobody renews, not sooner
and not later, to where it was told; and only who may keeps it alive."""

from __future__ import annotations

import msgspec

from dayshift.rehearsal.checkers.seeing import Case, Json, Violation
from dayshift.rehearsal.history import Event

NAME = "dead-man"
EARLY_MS = 50
LATE_MS = 5_000
"""An agent that runs goes back within so long after the lease has run out."""
TROUBLE = (
    "agent",
    "channel",
    "clock",
    "controller",
    "cut",
    "dial",
    "disk",
    "leader",
    "network",
    "power",
    "second",
    "store",
)
"""Weather in which a lease may run out although somebody leads."""
AGES_MS = 1 << 60


class Armed(msgspec.Struct):
    """One lease at an agent: of which write, and where it goes back to."""

    claim: str
    since_ms: int
    until_ms: int
    back: Json


def check(case: Case) -> list[Violation]:
    agents = {one.what for one in case.history.of("agent")}
    found: list[Violation] = []
    for dial in sorted(case.plan["baseline"]):
        for agent in sorted(agents):
            found.extend(_Watch(case, dial, agent).look())
    return [*found, *_kept_in_vain(case)]


class _Watch:
    """One dial at one agent, from the first lease to the last."""

    def __init__(self, case: Case, dial: str, agent: str) -> None:
        self.case, self.dial, self.agent = case, dial, agent
        self.armed: Armed | None = None
        self.up_ms = AGES_MS
        """Since when it runs without a break."""
        self.found: list[Violation] = []

    def look(self) -> list[Violation]:
        for one in self.case.history.of("kept", "revert", "agent"):
            self._overdue(one.at_ms)
            if one.kind == "agent" and one.what == self.agent:
                self._agent(one)
            elif one.what == self.dial and self.agent in (one.who, *one.more[:1]):
                (self._revert if one.kind == "revert" else self._kept)(one)
        self._overdue(self.case.history.ended_ms)
        return self.found

    def _agent(self, one: Event) -> None:
        what = one.more[0]
        self.up_ms = one.at_ms if what == "started" else AGES_MS
        if what == "sleeps":
            self.up_ms = one.at_ms + int(one.more[1])
        if what == "restored":
            self.armed = None

    def _kept(self, one: Event) -> None:
        """A write that the device was asked for counts from then on, answered or not:
        an agent that dies over it knows of it when it comes back."""
        _, verb, claim, sent_ms, lease_ms, result, _ = one.more
        if verb == "renew" and result == "done" and self.armed is not None:
            self.armed.until_ms = one.at_ms + int(lease_ms)
        if verb not in ("set", "hold") or result == "refused":
            return
        if int(lease_ms) and self._asked(claim):
            until = int(sent_ms) + int(lease_ms)
            self.armed = Armed(claim, one.at_ms, until, self._back(claim))
        elif result == "done":
            self.armed = None

    def _asked(self, claim: str) -> bool:
        return any(
            (write.dial, write.agent) == (self.dial, self.agent)
            and f"{write.token.claim.epoch}:{write.token.claim.seq}" == claim
            and not write.refused
            for write in self.case.history.writes
        )

    def _back(self, claim: str) -> Json:
        epoch, seq = map(int, claim.split(":"))
        record = self.case.intents.get((epoch, seq))
        action = record["body"]["action"] if record else {}
        return dict(action.get("revert_to", {}).get("rows", {}))

    def _revert(self, one: Event) -> None:
        rows, armed = msgspec.json.decode(one.more[0]), self.armed
        self.armed = None
        if armed is None:
            return
        if one.at_ms < armed.until_ms - EARLY_MS and not self._weather(one.at_ms):
            early = armed.until_ms - one.at_ms
            self._bad(one.at_ms, f"went back {early} ms before its lease ran out")
        if armed.back and rows != armed.back:
            self._bad(one.at_ms, f"went back to {rows}, and was told {armed.back}")
        if not self._excused(armed, one.at_ms):
            self._bad(one.at_ms, "went back under a controller that could renew")

    def _overdue(self, now_ms: int) -> None:
        armed = self.armed
        if armed is None:
            return
        due_ms = max(armed.until_ms, self.up_ms) + LATE_MS
        if now_ms > due_ms and not self._weather(now_ms, now_ms - armed.since_ms):
            self._bad(due_ms, "was to go back by itself, and stands as it was")
            self.armed = None

    def _weather(self, at_ms: int, for_ms: int = 60_000) -> bool:
        """A device that does not obey, or a clock that nobody can trust."""
        words = ("dial", "clock", "power", "agent-restored")
        return self.case.weather(*words, at_ms=at_ms, for_ms=for_ms)

    def _excused(self, armed: Armed, at_ms: int) -> bool:
        """Was there any reason, since it was armed, that nobody could renew? A write
        that was never read back stands for nothing, and may go back."""
        lasted = at_ms - armed.since_ms
        crashed = any(
            armed.since_ms <= one.at_ms <= at_ms
            for one in self.case.history.of("crash", "asleep", "lapse")
        )
        ended = any(
            one["at"]["mono_ms"] <= at_ms for one in self.case.kinds("run-closed")
        )
        if crashed or ended or not self._confirmed(armed.claim):
            return True
        return self.case.weather(*TROUBLE, at_ms=at_ms, for_ms=lasted)

    def _confirmed(self, claim: str) -> bool:
        """Did the journal ever note that this write was read back?"""
        notes = (one["body"].get("claim") for one in self.case.kinds("outcome"))
        return any(c and f"{c['epoch']}:{c['seq']}" == claim for c in notes)

    def _bad(self, at_ms: int, what: str) -> None:
        said = f"dial {self.dial} at agent {self.agent} {what}"
        self.found.append(Violation(NAME, at_ms, said))


def _kept_in_vain(case: Case) -> list[Violation]:
    """Who cannot write down what it does must let leases run out."""
    found = []
    for one in case.history.of("kept"):
        _, verb, claim, _, _, result, unwritten_ms = one.more
        if verb == "renew" and result == "done" and int(unwritten_ms) > case.slack_ms:
            what = f"{one.who} renewed {one.what} ({claim}) for {unwritten_ms} ms "
            what += "after its journal took nothing any more"
            found.append(Violation(NAME, one.at_ms, what))
    return found
