"""The crash matrix: named point × store × family of dial, and which cells there are.

Here: data, complete by assertion, and its page in the docs. Every cell is a test
(`tests/simulation/test_crash_matrix.py`). Not here: what a new controller makes of a
point, which is the same whatever stores and steers (`core.recovery`).
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from dayshift.core.recovery import CELLS, REST
from dayshift.model.points import ACTING, Point
from dayshift.model.records import ActionKind

DIAL_ACTIONS = (ActionKind.SET_DIAL, ActionKind.HOLD_DIAL)


class Kept(StrEnum):
    """Where the journal's records are durable."""

    SQLITE = "sqlite"
    ETCD = "etcd"
    POSTGRESQL = "postgresql"


class Family(StrEnum):
    """What kind of dial it is that users pass."""

    SPLIT = "split"
    FORWARD = "forward"
    SWITCH = "switch"
    SEVERAL = "several"
    LEASED = "leased"
    ENVOY = "envoy"


MEANING: dict[Family, str] = {
    Family.SPLIT: "one row of shares, one instance",
    Family.FORWARD: "a row of shares for the arrivals of each region, two instances",
    Family.SWITCH: "each region on or off, two instances",
    Family.SEVERAL: "a split at three instances, which may disagree",
    Family.LEASED: "a split at two instances, whose writes expire, as an agent's do",
    Family.ENVOY: "two real Envoys that take their routes from files",
}


class Spot(msgspec.Struct, frozen=True):
    """Where the controller dies: a point, and the action that passes it, if any."""

    point: Point
    kind: ActionKind | None

    def __str__(self) -> str:
        return f"{self.point}-{self.kind}" if self.kind else str(self.point)


DIAL_SPOTS = tuple(Spot(point, kind) for point, kind in CELLS if kind in DIAL_ACTIONS)
OTHER_SPOTS = tuple(
    Spot(point, kind) for point, kind in CELLS if kind not in DIAL_ACTIONS
)
REST_SPOTS = tuple(Spot(point, None) for point in REST)
SPOTS = (*DIAL_SPOTS, *OTHER_SPOTS, *REST_SPOTS)

_ONE = "there is one instance: it has the write, or it has it not"
_NO_DIAL = (
    "the action touches no dial; its point is crossed with every store, and every "
    "other point with every family"
)


def absent_reason(spot: Spot, kept: Kept, family: Family) -> str | None:
    """Why there is no such cell, or None: it is crashed at."""
    if spot.point is Point.HALF_APPLIED and family is Family.SPLIT:
        return _ONE
    if spot in OTHER_SPOTS and family is not Family.SEVERAL:
        return _NO_DIAL
    return None


class Place(msgspec.Struct, frozen=True):
    """One cell."""

    spot: Spot
    kept: Kept
    family: Family

    def __str__(self) -> str:
        return f"{self.spot}-{self.kept}-{self.family}"


EVERY = tuple(
    Place(spot, kept, family) for spot in SPOTS for kept in Kept for family in Family
)
ABSENT: dict[Place, str] = {
    one: why
    for one in EVERY
    if (why := absent_reason(one.spot, one.kept, one.family)) is not None
}
MATRIX = tuple(one for one in EVERY if one not in ABSENT)

assert {one.spot.point for one in MATRIX} == set(Point)
assert {one.point for one in DIAL_SPOTS} == set(ACTING)
assert set(MEANING) == set(Family)
assert set(MATRIX).isdisjoint(ABSENT) and len(MATRIX) + len(ABSENT) == len(EVERY)


def page() -> str:
    """The matrix as it stands in docs/recovery.md, below the recovery table."""
    lines = [_HEAD.format(cells=len(MATRIX), every=len(EVERY))]
    lines += [f"- **{one.value}**: {text}" for one, text in MEANING.items()]
    names = " | ".join(one.value for one in Family)
    lines += ["", f"| point | {names} |", f"|---|{'---|' * len(Family)}"]
    for spot in (*DIAL_SPOTS, *REST_SPOTS):
        lines.append(f"| {_named(spot)} | {_row(spot)} |")
    lines += ["", "Actions that touch no dial, at every store with the family "]
    lines[-1] += f"`{Family.SEVERAL.value}`: " + _others() + "."
    lines += ["", "Cells that are not there, and why:", ""]
    for why in dict.fromkeys(ABSENT.values()):
        count = sum(one == why for one in ABSENT.values())
        lines.append(f"- {count}: {why}")
    return "\n".join(lines) + "\n"


def _named(spot: Spot) -> str:
    return f"{spot.point.value}, {spot.kind.value}" if spot.kind else spot.point.value


def _row(spot: Spot) -> str:
    """For each family, at how many of the stores it is crashed."""
    counts = [
        sum(absent_reason(spot, kept, family) is None for kept in Kept)
        for family in Family
    ]
    return " | ".join("all stores" if count else "—" for count in counts)


def _others() -> str:
    kinds = dict.fromkeys(one.kind for one in OTHER_SPOTS if one.kind)
    return ", ".join(
        f"{kind.value} ({sum(one.kind is kind for one in OTHER_SPOTS)} points)"
        for kind in kinds
    )


_HEAD = """## Points × stores × dials

Drawn from `dayshift/core/crash_matrix.py`. The controller dies at every point with each
store (`sqlite`, and real servers of `etcd` and `postgresql`) and each family of dial:
{cells} cells of {every}; the others do not exist, with the reason below. In each cell
the process is thrown away without a goodbye to its store, and another one takes over
when the lease has ended. Then: every write that a device saw has a durable intent
before it, nothing is repeated without a look, users are served at every write, no duty
has two holders, no step runs twice, and the run ends. `script/soak` crashes at all of
them, `script/test` at every point with each store and with each family, and at some of
the products of both.
"""
