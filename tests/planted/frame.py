"""Bugs planted on purpose, and how the rehearsal finds each.

    Mutant(
        "fence-forgotten", "fencing", "a new epoch writes before its claim stands",
        patches=(("dayshift.core.decide._fence", lambda desk: None),),
        weather=(Storm("controller-killed", Phase.DRAINING),),
    )

`find(mutant)` is the first seed at which a checker reports a violation of the mutant's
invariant, or None. The code without the bug must be clean at that seed: `is_clean`.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple
from unittest.mock import patch

from dayshift.core import interlock
from dayshift.model.plan import Plan
from dayshift.model.records import ActionKind, Phase
from dayshift.rehearsal.checkers import INVARIANTS, Violation
from dayshift.rehearsal.faults import find as fault
from dayshift.rehearsal.play import play
from dayshift.rehearsal.weather import Drawn
from tests.planted import plans

SEEDS = 200
Patch = tuple[str, Any]


class Storm(NamedTuple):
    """One fault of the weather that brings the bug out, at the start of a phase.

    Without a phase it lasts from before the first controller. What is left open (when
    exactly, the fault's own dice) is drawn from the seed.
    """

    fault: str
    phase: Phase | None
    for_ms: int = 60_000
    within_ms: int = 4_000
    strength: int = 3
    region: int = 0


@dataclass(frozen=True)
class Mutant:
    """One bug: its patches replace functions and constants by their dotted path; a
    replacement that takes `former` is given what stood there."""

    name: str
    invariant: str
    says: str
    patches: tuple[Patch, ...]
    weather: tuple[Storm, ...] = ()
    plan: Callable[[], Plan] = plans.short

    def __post_init__(self) -> None:
        assert self.invariant in INVARIANTS, self.invariant

    @contextlib.contextmanager
    def planted(self) -> Iterator[None]:
        """The bug is in, until the end of the block."""
        with contextlib.ExitStack() as stack:
            for path, new in self.patches:
                owner, name = _resolve(path)
                former = getattr(owner, name)
                value = new(former) if getattr(new, "wraps", False) else new
                stack.enter_context(patch.object(owner, name, value))
            yield

    def violations(self, seed: int) -> tuple[Violation, ...]:
        """What the checkers say of one rehearsal, with whatever is planted now."""
        plan = self.plan()
        return play(plan, seed, drawn=_drawn(self.weather, seed)).result.violations

    def is_found(self, seed: int) -> bool:
        """Does a checker see the bug at this seed, as what it is?"""
        with self.planted():
            seen = self.violations(seed)
        return any(one.invariant == self.invariant for one in seen)

    def is_clean(self, seed: int) -> bool:
        """Is the code without the bug clean at this seed?"""
        return not self.violations(seed)

    def find(self, seeds: int = SEEDS) -> int | None:
        """The first seed that finds the bug."""
        return next((seed for seed in range(seeds) if self.is_found(seed)), None)


def wraps(make: Callable[[Any], Any]) -> Any:
    """Marks a replacement that is made from what it replaces."""
    make.wraps = True  # type: ignore[attr-defined]
    return make


def without_check(kind: ActionKind, name: str) -> Patch:
    """The interlock without one of its checks for an action."""
    left = tuple(one for one in interlock._CHECKS[kind] if one.__name__ != name)
    assert len(left) < len(interlock._CHECKS[kind]), name
    return "dayshift.core.interlock._CHECKS", {**interlock._CHECKS, kind: left}


def _resolve(path: str) -> tuple[Any, str]:
    parts = path.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            owner: Any = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for name in parts[cut:-1]:
            owner = getattr(owner, name)
        return owner, parts[-1]
    raise AssertionError(f"nothing at {path}")


def _drawn(weather: tuple[Storm, ...], seed: int) -> list[Drawn]:
    return [
        Drawn(
            fault(one.fault),
            number,
            one.region,
            one.phase,
            (seed * 7_919 + number * 104_729) % max(1, one.within_ms),
            one.for_ms,
            one.strength,
            seed * 1_000 + number,
        )
        for number, one in enumerate(weather)
    ]
