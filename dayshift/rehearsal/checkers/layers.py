"""The order of a service's dials: a region is left from the inside out and entered from
the outside in; those who are connected have time to end, and cached answers to die.

Where users are served and who is connected is the world's own count.
"""

from __future__ import annotations

from collections.abc import Iterator

from dayshift.model.dial import ALL
from dayshift.rehearsal.checkers.seeing import PARTS, Case, Json, Violation
from dayshift.rehearsal.history import Write

NAME = "inside-out"
ROUNDING = PARTS // 10_000
"""One basis point."""


def check(case: Case) -> list[Violation]:
    walks = (_Walk(case, one) for one in case.services() if _outer(one))
    found = [violation for walk in walks for violation in walk.found()]
    return [*found, *_cached(case), *_left_short(case)]


def _cached(case: Case) -> Iterator[Violation]:
    """No drain begins while caches may keep an answer for longer than it takes."""
    usual = {
        dial["name"]: int(dial["ref"]["options"]["lifetime_ms"])
        for service in case.services()
        for dial in service["dials"]
        if "lifetime_ms" in dial["ref"]["options"]
    }
    for write, action in case.obeyed() if usual else ():
        drains = action and "/drain/" in action["key"] and not action.get("override")
        if not drains or write.dial not in usual:
            continue
        longest = usual[write.dial]
        told = [
            one
            for one in case.history.of("prepare", "restore")
            if one.what == write.dial and one.at_ms <= write.at_ms
        ]
        lowered = told[-1] if told and told[-1].kind == "prepare" else None
        gone_ms = write.at_ms - lowered.at_ms if lowered else 0
        need_ms = longest - int(lowered.more[0]) if lowered else longest
        if gone_ms < need_ms:
            what = f"{write.dial} moved {gone_ms} ms after its answers were told to "
            what += f"live shorter; some lived {need_ms} ms longer"
            yield Violation(NAME, write.at_ms, what, (action["key"],))


def _left_short(case: Case) -> Iterator[Violation]:
    """A run that is done leaves answers as it found them."""
    for one in case.kinds("run-closed"):
        short = case.history.final.get("cached", [])
        if one["body"]["result"] == "done" and short:
            what = f"answers of {', '.join(short)} live shorter than usual"
            yield Violation(NAME, one["at"]["mono_ms"], what)


def _outer(service: Json) -> list[str]:
    """Dials before the innermost one that is no switch, from the user inwards."""
    kinds = [one["kind"] for one in service["dials"]]
    last = max((n for n, kind in enumerate(kinds) if kind != "switch"), default=0)
    return [one["name"] for one in service["dials"][:last]]


class _Walk:
    """Every write at the dials of one service, one after the other."""

    def __init__(self, case: Case, service: Json) -> None:
        self.case = case
        self.outer = _outer(service)
        self.inner = service["dials"][len(self.outer)]["name"]
        self.counts = any(one["connections"] for one in service["meters"])
        self.out: dict[tuple[str, str], int] = {}
        """Since when an outer dial leads nobody to a region."""

    def found(self) -> Iterator[Violation]:
        for write, action in self.case.obeyed():
            emergency = action.get("override") == "evacuate"
            region = action.get("region", "")
            known = write.dial in (*self.outer, self.inner)
            if not known or not region or emergency:
                continue
            if write.dial == self.inner:
                yield from self._served(write, region)
                continue
            share = write.setting.rows[ALL].get(region, 0)
            if share:
                self.out.pop((write.dial, region), None)
            elif (write.dial, region) not in self.out:
                yield from self._led_away(write, region)
                self.out[write.dial, region] = write.at_ms

    def _led_away(self, write: Write, region: str) -> Iterator[Violation]:
        """An outer dial leads nobody to the region any more."""
        since_ms = write.at_ms - self.case.slack_ms
        if self.case.moved_by_others(self.inner, since_ms):
            return
        if write.before.get(region, 0) > ROUNDING:
            what = f"{write.dial} left {region}, whose users {self.inner} still serves"
            yield Violation(NAME, write.at_ms, what)
        nearer = self.outer[: self.outer.index(write.dial)]
        began = [self.out.get((one, region)) for one in nearer]
        if any(one is None for one in began):
            what = f"{write.dial} left {region} before {', '.join(nearer)}"
            yield Violation(NAME, write.at_ms, what)
            return
        waited_ms = write.at_ms - max((one for one in began if one), default=0)
        short = waited_ms < int(self.case.policy["connections_limit_ms"])
        count = write.connected.get(region, 0)
        if nearer and self.counts and count and short:
            what = f"{write.dial} left {region} after {waited_ms} ms, with {count} "
            what += "users connected"
            yield Violation(NAME, write.at_ms, what)

    def _served(self, write: Write, region: str) -> Iterator[Violation]:
        """The inner dial: whoever gets users there must be led there."""
        row = write.setting.rows.get(region) or write.setting.rows.get(ALL, {})
        gone = [one for one in self.outer if (one, region) in self.out]
        if not gone or not row.get(region):
            return
        if any(self.case.moved_by_others(one, 0) for one in gone):
            return
        what = f"{self.inner} serves {region}, where {', '.join(gone)} leads nobody"
        yield Violation(NAME, write.at_ms, what)
