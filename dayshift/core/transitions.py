"""Which phase may follow which, as data. The diagram in the docs is drawn from it."""

from __future__ import annotations

from dayshift.errors import Bug
from dayshift.model.records import Phase

P = Phase

NEXT: dict[Phase, frozenset[Phase]] = {
    P.SERVING: frozenset({P.PREFLIGHT, P.VALIDATING}),
    P.PREFLIGHT: frozenset({P.DRAINING, P.SERVING}),
    P.DRAINING: frozenset({P.HANDING_OVER, P.SERVING}),
    P.HANDING_OVER: frozenset({P.EMPTYING, P.SERVING, P.LEFT_DRAINED}),
    P.EMPTYING: frozenset({P.EMPTY, P.SERVING, P.LEFT_DRAINED}),
    P.EMPTY: frozenset({P.WORKING, P.EMPTYING, P.SERVING, P.LEFT_DRAINED}),
    P.WORKING: frozenset({P.CATCHING_UP, P.EMPTYING, P.LEFT_DRAINED}),
    P.CATCHING_UP: frozenset({P.WARMING, P.WORKING, P.EMPTYING, P.LEFT_DRAINED}),
    P.WARMING: frozenset({P.VALIDATING, P.WORKING, P.EMPTYING, P.LEFT_DRAINED}),
    P.VALIDATING: frozenset({P.RETURNING, P.WORKING, P.EMPTYING, P.LEFT_DRAINED}),
    P.RETURNING: frozenset({P.SOAKING, P.VALIDATING}),
    P.SOAKING: frozenset({P.DONE, P.DONE_PARTIAL, P.VALIDATING, P.RETURNING}),
    P.DONE: frozenset(),
    P.DONE_PARTIAL: frozenset(),
    P.LEFT_DRAINED: frozenset(),
}

ENDED = frozenset({P.DONE, P.DONE_PARTIAL, P.LEFT_DRAINED})
OUT = frozenset(
    {P.EMPTY, P.WORKING, P.CATCHING_UP, P.WARMING, P.VALIDATING, P.LEFT_DRAINED}
)
"""Phases in which the region has no users and must have none."""
BEFORE_WORK = frozenset(
    {P.SERVING, P.PREFLIGHT, P.DRAINING, P.HANDING_OVER, P.EMPTYING, P.EMPTY}
)
"""Phases from which the region can go back as it was."""
TRIPWIRE_ARMED = frozenset({P.EMPTY, P.WORKING, P.CATCHING_UP, P.WARMING, P.VALIDATING})
GATED = frozenset({P.RETURNING, P.SOAKING})


def check(old: Phase, new: Phase) -> None:
    """Raise `Bug` when the table does not allow `old` → `new`."""
    if new not in NEXT[old]:
        raise Bug(f"no transition from {old} to {new}")


def diagram() -> str:
    """The table as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2"]
    for old in Phase:
        for new in sorted(NEXT[old]):
            lines.append(f"    {old.name.lower()} --> {new.name.lower()}")
    return "\n".join(lines) + "\n"


assert set(NEXT) == set(Phase)
