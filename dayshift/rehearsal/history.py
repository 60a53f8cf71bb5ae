"""What the world saw, written down while it happened; all that a checker is shown.

Nouns only, and no opinion. Nothing here was told by Dayshift, but for `records`: the
journal's own entries as plain JSON, to compare them with what the devices saw.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dayshift.model.dial import Claim, Setting, Token


class Traffic(NamedTuple):
    """Users of one service in one region while nothing changed."""

    from_ms: int
    until_ms: int
    service: str
    region: str
    urps: int
    users: int
    failed: int
    strays: int
    why: str


class Write(NamedTuple):
    """One call of `set` or `hold` at a dial, as the device saw it.

    `served` maps each service of the dial to the parts of its users per region if every
    instance obeys; `before` is the same for what stood there. `refused` is the device's
    own word, empty where it let the write in.
    """

    at_ms: int
    dial: str
    verb: str
    controller: str
    setting: Setting
    token: Token
    found: tuple[Claim | None, ...]
    revert_ms: int
    before: dict[str, int]
    served: dict[str, int]
    refused: str = ""
    unseen_ms: dict[str, int] = {}
    """For each region, how long ago a users' meter of this service last told of it."""
    agent: str = ""
    """The agent that the write went through, if any, and when that was asked."""
    sent_ms: int = -1
    connected: dict[str, int] = {}
    """For each region, how many users of this service are connected there."""


class Event(NamedTuple):
    """Anything else: `kind` and `what` name it, `who` did it.

    Kinds: `down`, `up` (a region), `harm` (its users fail), `well`, `duty`, `bracket`,
    `start`, `end`, `undo`, `undone` (work), `born`, `crash`, `lead` (controllers),
    `asked`, `revert`, `drift`, `mended`, `prepare`, `restore` (dials), `page`, `fault`,
    `over` (weather begins, ends), `kept` (an agent answered), `agent` (it starts, dies,
    sleeps, is restored), `overtaken` (an agent's write lands on a newer one).
    """

    at_ms: int
    kind: str
    what: str
    who: str = ""
    more: tuple[str, ...] = ()


@dataclass
class History:
    """Everything that happened in one rehearsal."""

    traffic: list[Traffic] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    others: list[dict[str, Any]] = field(default_factory=list)
    """Records of any other journal that somebody ran the same change with."""
    strayed: list[dict[str, Any]] = field(default_factory=list)
    """Entries in emergency files of this journal that nobody merged yet."""
    plan: dict[str, Any] = field(default_factory=dict)
    ended_ms: int = 0
    status: str = ""
    final: dict[str, Any] = field(default_factory=dict)
    """As it stood when the run ended: `shares`, `versions`, `duties`, `brackets`."""
    told: dict[tuple[str, str], int] = field(default_factory=dict)
    """When a users' meter last told the truth about (service, region)."""
    _last: dict[tuple[str, str], int] = field(default_factory=dict)

    def passed(self, new: Traffic) -> None:
        """Users came and went; joined with what came before where nothing changed."""
        key = (new.service, new.region)
        index = self._last.get(key)
        if index is not None:
            old = self.traffic[index]
            same = (old.urps, old.why) == (new.urps, new.why)
            if same and bool(old.strays) == bool(new.strays):
                self.traffic[index] = Traffic(
                    old.from_ms,
                    new.until_ms,
                    *old[2:5],
                    old.users + new.users,
                    old.failed + new.failed,
                    old.strays + new.strays,
                    old.why,
                )
                return
        self._last[key] = len(self.traffic)
        self.traffic.append(new)

    def note(self, at_ms: int, kind: str, what: str, who: str = "", *more: str) -> None:
        self.events.append(Event(at_ms, kind, what, who, more))

    def reverted(self, at_ms: int, dial: str, before: Setting, after: Setting) -> None:
        """A device changed by itself."""
        if before != after:
            self.note(at_ms, "revert", dial)

    def of(self, *kinds: str) -> list[Event]:
        return [one for one in self.events if one.kind in kinds]

    def bodies(self, kind: str) -> list[dict[str, Any]]:
        """Records of one kind, whole."""
        return [one for one in self.records if one["body"]["kind"] == kind]

    def failed(self) -> Counter[str]:
        """Users who failed, by cause."""
        out: Counter[str] = Counter()
        for one in self.traffic:
            if one.failed:
                out[one.why] += one.failed
        return out
