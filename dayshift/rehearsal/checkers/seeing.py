"""What the checkers share: a history with the questions that several of them ask."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from dayshift.model.dial import ALL
from dayshift.rehearsal.history import History, Write

GRACE_MS = 8_000
"""Beyond what the policy calls fresh: a look, a write and a read-back take so long."""
PARTS = 10**12
"""All users of a service, in the parts that the world counts."""
ENDED = ("done", "done-partial")
"""With these the pass of a region is over; the next one begins."""
Json = dict[str, Any]


class Violation(msgspec.Struct, frozen=True):
    """A broken promise: which, when (milliseconds of the steady clock), and why."""

    invariant: str
    at_ms: int
    what: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """One rehearsal before its checkers."""

    history: History
    plan: Json
    records: list[Json]
    intents: dict[tuple[int, int], Json]
    """By (epoch, sequence) as its claim has them: the record of each intent."""
    journal: str

    @classmethod
    def of(cls, history: History) -> Case:
        records = history.records
        numbers = _written_as(records)
        intents = {
            (one["epoch"], numbers[one["seq"]]): one
            for one in records
            if one["body"]["kind"] == "intent"
        }
        for one in history.strayed:
            if one["body"]["kind"] == "intent":
                intents.setdefault((one["epoch"], one["seq"]), one)
        journal = next(
            (r["body"]["journal"] for r in records if r["body"]["kind"] == "genesis"),
            "",
        )
        return cls(history, history.plan, records, intents, journal)

    @property
    def policy(self) -> Json:
        return dict(self.plan["estate"]["policy"])

    @property
    def fresh_ms(self) -> int:
        return int(self.policy["fresh_ms"])

    @property
    def slack_ms(self) -> int:
        """Nobody can know sooner."""
        return self.fresh_ms + GRACE_MS

    def services(self) -> list[Json]:
        return list(self.plan["estate"]["services"])

    def service_of(self, dial: str) -> Json:
        return next(
            one
            for one in self.services()
            if any(spec["name"] == dial for spec in one["dials"])
        )

    def obeyed(self) -> Iterator[tuple[Write, Json]]:
        """Writes of shares that the device let in, with the action that asked for it
        (empty where the journal knows none)."""
        for write in self.history.writes:
            if not write.refused and write.verb == "set":
                yield write, self.action_of(write)

    def action_of(self, write: Write) -> Json:
        claim = write.token.claim
        if claim.journal != self.journal:
            return {}
        record = self.intents.get((claim.epoch, claim.seq))
        return dict(record["body"]["action"]) if record else {}

    def down_ms(self, region: str, at_ms: int) -> int:
        """For how long the region had been down by then; -1 if it was up."""
        since: int | None = None
        for one in self.history.of("down", "up"):
            if one.what == region and one.at_ms <= at_ms:
                since = one.at_ms if one.kind == "down" else None
        return -1 if since is None else at_ms - since

    def kinds(self, *kinds: str) -> Iterator[Json]:
        for one in self.records:
            if one["body"]["kind"] in kinds:
                yield one

    def granted(self, *verbs: str) -> Iterator[tuple[int, Json]]:
        """Accepted requests: when they were answered, and what was asked."""
        asked = {r["body"].get("token", ""): r["body"] for r in self.kinds("requested")}
        for one in self.kinds("answered"):
            request = asked.get(one["body"]["token"])
            if one["body"]["accepted"] and request and request["verb"] in verbs:
                yield one["at"]["mono_ms"], request

    def accepted(self, code: str, at_ms: int) -> bool:
        """Did somebody override this guard by name before then, in the same pass?"""
        ended = [
            one["at"]["mono_ms"]
            for one in self.kinds("phased")
            if one["body"]["new"] in ENDED and one["at"]["mono_ms"] <= at_ms
        ]
        begun = max(ended, default=0)
        return any(
            request.get("args", {}).get("code") == code and begun <= when <= at_ms
            for when, request in self.granted("accept")
        )

    def moved_by_others(self, dial: str, since_ms: int) -> bool:
        """Did the dial change since then without a write of this journal?"""
        for one in self.history.of("drift", "mended", "revert"):
            if one.what == dial and one.at_ms >= since_ms:
                return True
        return any(
            write.dial == dial and write.at_ms >= since_ms and not action
            for write, action in self.obeyed()
        )

    def meant(self, kinds: tuple[str, ...], target: str, by_ms: int) -> list[int]:
        """When this journal intended such an action for the target, up to then."""
        return _meant(self.intents.values(), kinds, target, by_ms)

    def meant_by_others(
        self, kinds: tuple[str, ...], target: str, by_ms: int
    ) -> list[int]:
        """The same of every other journal there was."""
        intents = (r for r in self.history.others if r["body"]["kind"] == "intent")
        return _meant(intents, kinds, target, by_ms)

    def weather(self, *begin: str, at_ms: int, for_ms: int = 60_000) -> bool:
        """Was a fault of that name (or begun alike) under way, or only just over?"""
        begun: dict[str, int] = {}
        for one in self.history.of("fault", "over"):
            if one.at_ms > at_ms or not one.what.startswith(begin):
                continue
            begun[one.what] = 1 << 60 if one.kind == "fault" else one.at_ms
        return any(until >= at_ms - for_ms for until in begun.values())


def _meant(
    intents: Iterable[Json], kinds: tuple[str, ...], target: str, by_ms: int
) -> list[int]:
    return [
        one["at"]["mono_ms"]
        for one in intents
        if one["body"]["action"]["kind"] in kinds
        and one["body"]["action"]["target"] == target
        and one["at"]["mono_ms"] <= by_ms
    ]


def _written_as(records: list[Json]) -> dict[int, int]:
    """The number under which each record was written: entries of the emergency journal
    are numbered anew when they are merged behind what was written meanwhile, and the
    claims at the dials are not. Else the record of it stands behind their last one."""
    numbers = {one["seq"]: one["seq"] for one in records}
    for one in records:
        body = one["body"]
        if body["kind"] == "merged" and one.get("prev") != body["head"]:
            for nth in range(1, body["entries"] + 1):
                numbers[one["seq"] + nth] = body.get("after", 0) + nth
    return numbers


def out_of(setting: Json, service: Json) -> list[str]:
    """Regions that this setting gives less than they usually have."""
    usual = service["shares"]
    rows, kind = setting["rows"], setting["kind"]
    if kind == "forward":
        return sorted(a for a, row in rows.items() if row.get(a, 0) < sum(row.values()))
    row = rows[ALL]
    if kind == "switch":
        return sorted(name for name, share in usual.items() if share and not row[name])
    return sorted(name for name, share in usual.items() if row.get(name, 0) < share)
