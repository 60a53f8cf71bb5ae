"""Bugs planted on purpose, and how the rehearsal finds each.

    Mutant(
        "fence-forgotten", "fencing", "a new epoch writes before its claim stands",
        patches=(("dayshift.core.decide._fence", lambda desk: None),),
    )

`mutant.find()` is the first seed at which a checker reports a violation of the mutant's
invariant, or None; the weather is what that seed draws, unless the mutant names its
own. The code without the bug must be clean at that seed: `is_clean`. Where each is
found is written down in `found.json` and docs/planted-bugs.md (`search`).
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple
from unittest.mock import patch

from dayshift.model.plan import Plan
from dayshift.model.records import ActionKind, Phase
from dayshift.rehearsal.checkers import INVARIANTS, Violation
from dayshift.rehearsal.faults import find as fault
from dayshift.rehearsal.play import play
from dayshift.rehearsal.weather import Drawn
from tests.planted import plans

SEEDS = 1_000
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
    after_ms: int = 0


CALM: tuple[Storm, ...] = ()
"""No fault at all: the bug needs none."""


@dataclass(frozen=True)
class Mutant:
    """One bug: its patches replace functions and constants by their dotted path; one
    that is marked `wraps` is made from what stood there.

    Without `weather` the seed draws the faults, as in every rehearsal. `incident` names
    the one that a replica lives through again.
    """

    name: str
    invariant: str
    says: str
    patches: tuple[Patch, ...]
    weather: tuple[Storm, ...] | None = None
    plan: Callable[[], Plan] = plans.short
    incident: str = ""

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
        drawn = None if self.weather is None else _drawn(self.weather, seed)
        return play(self.plan(), seed, drawn=drawn).result.violations

    def seen_by(self, seed: int) -> tuple[str, ...]:
        """Every checker that sees the planted bug at this seed."""
        with self.planted():
            return tuple(sorted({one.invariant for one in self.violations(seed)}))

    def is_found(self, seed: int) -> bool:
        """Does a checker see the bug at this seed, as what it is?"""
        return self.invariant in self.seen_by(seed)

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


def without_checks(kind: ActionKind, *names: str) -> Patch:
    """The interlock without some of its checks for an action."""

    @wraps
    def fewer(former: dict[ActionKind, tuple[Any, ...]]) -> Any:
        left = tuple(one for one in former[kind] if one.__name__ not in names)
        assert len(left) == len(former[kind]) - len(names), names
        return {**former, kind: left}

    return "dayshift.core.interlock._CHECKS", fewer


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
            one.after_ms + (seed * 7_919 + number * 104_729) % max(1, one.within_ms),
            one.for_ms,
            one.strength,
            seed * 1_000 + number,
        )
        for number, one in enumerate(weather)
    ]
