"""Whether a rehearsal broke a promise of Dayshift: one checker for each invariant.

A checker sees the history (what devices, users, duties and work really went through)
and the journal's raw records, and nothing of what it checks: not the core, not the
runtime, not the drivers (`.importlinter`). It returns violations, with the instant and
the evidence, and says nothing where nothing is wrong.
"""

from __future__ import annotations

from collections.abc import Callable

from dayshift.rehearsal.checkers import (
    abort,
    approved,
    blind,
    break_glass,
    dead_man,
    drift,
    durable,
    duties,
    empty,
    ending,
    fail_static,
    fencing,
    last_server,
    layers,
    once,
    one_region,
    receiver,
    reversible,
    shared_fate,
    targets,
)
from dayshift.rehearsal.checkers.seeing import Case, Violation
from dayshift.rehearsal.history import History

Checker = Callable[[Case], "list[Violation]"]
INVARIANTS: dict[str, tuple[int, Checker]] = {
    "last-server": (1, last_server.check),
    "one-region": (2, one_region.check),
    "fencing": (3, fencing.check),
    "explicit-targets": (4, targets.check),
    "executed-approved": (5, approved.check),
    "dead-man": (6, dead_man.check),
    "proven-empty": (7, empty.check),
    "blind-is-not-green": (8, blind.check),
    "receiver-ready": (9, receiver.check),
    "fail-static": (10, fail_static.check),
    "shared-fate": (11, shared_fate.check),
    "break-glass": (12, break_glass.check),
    "journal-before-act": (13, durable.check),
    "reversible-first": (14, reversible.check),
    "abort-converges": (15, abort.check),
    "drift-refuses": (16, drift.check),
    "never-two-holders": (17, duties.check),
    "once-at-a-time": (18, once.check),
    "inside-out": (0, layers.check),
    "ending": (0, ending.check),
}
"""By name: the number of the invariant in DESIGN.md section 5 (0: none of them)."""


def check(history: History) -> tuple[Violation, ...]:
    """Every promise that was broken, in the order of time."""
    case = Case.of(history)
    found = [one for _, look in INVARIANTS.values() for one in look(case)]
    return tuple(sorted(found, key=lambda one: (one.at_ms, one.invariant)))


__all__ = ["INVARIANTS", "Case", "Violation", "check"]
