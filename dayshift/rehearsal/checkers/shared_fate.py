"""Invariant 11: no region is drained that a majority of the journal's store, of the
controllers or of a declared voting system stands in, or all that sees the others."""

from __future__ import annotations

from collections.abc import Iterator

from dayshift.rehearsal.checkers.seeing import Case, Violation
from dayshift.rehearsal.history import Write

NAME = "shared-fate"


def check(case: Case) -> list[Violation]:
    found = []
    for write, action in case.obeyed():
        if not action or action.get("override"):
            continue
        for region, parts in sorted(write.served.items()):
            if parts or not write.before.get(region):
                continue
            found.extend(_unseen(case, write, region))
            for name, places in _systems(case):
                left = [place for place in places if place != region]
                if len(left) * 2 <= len(places):
                    what = f"{region} was drained; {name} keeps {len(left)} of "
                    what += f"{len(places)} members"
                    found.append(Violation(NAME, write.at_ms, what))
    return found


def _unseen(case: Case, write: Write, region: str) -> list[Violation]:
    """Meters that stand in the region go down with it: others see who is left."""
    service = case.service_of(write.dial)
    found = []
    for other in sorted(set(service["shares"]) - {region}):
        for side in ("users", "region"):
            places = [
                one["place"]
                for one in service["meters"]
                if one["side"] == side and other in one["regions"]
            ]
            if places and set(places) == {region}:
                what = f"{region} was drained; all that sees {other} from the {side} "
                found.append(Violation(NAME, write.at_ms, what + "side stands there"))
    return found


def _systems(case: Case) -> Iterator[tuple[str, list[str]]]:
    estate = case.plan["estate"]
    if estate["journal"]["members"]:
        yield "the journal", sorted(estate["journal"]["members"].values())
    if estate["controllers"]:
        yield "the controllers", [one["place"] for one in estate["controllers"]]
    for one in estate["voting"]:
        yield one["name"], sorted(one["members"].values())
