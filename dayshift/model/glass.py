"""Epochs of break-glass: numbers that outrank regular controllers until merged.

Epochs come in generations of `GLASS_STEP`. The lower half of every generation but the
first belongs to those who broke the glass, each machine in a span of its own; regular
controllers count in the upper half once a break-glass was merged. Only arithmetic.
"""

from __future__ import annotations

import zlib

from dayshift.limits import GLASS_MARKS, GLASS_SPAN, GLASS_STEP


def mark(machine: str) -> int:
    """The number that a machine's break-glass epochs carry."""
    return zlib.crc32(machine.encode()) % GLASS_MARKS


def mark_in(epoch: int) -> int:
    """The mark of the machine that wrote under a break-glass epoch."""
    return epoch % GLASS_STEP // GLASS_SPAN


def floor(epoch: int) -> int:
    """The first epoch of the generation of `epoch`."""
    return epoch - epoch % GLASS_STEP


def is_glass(epoch: int) -> bool:
    """True for an epoch under which somebody acted without the store."""
    return epoch >= GLASS_STEP and epoch % GLASS_STEP < GLASS_STEP // 2


def break_epoch(known: int, machine: str) -> int:
    """The epoch of whoever breaks the glass, knowing that `known` was the last.

    Holds: it is above every epoch that regular controllers reach without a merge, and
    another machine's is another one.
    """
    if is_glass(known) and mark_in(known) == mark(machine):
        return known + 1
    return floor(known) + GLASS_STEP + mark(machine) * GLASS_SPAN


def next_epoch(known: int) -> int:
    """The epoch of the regular controller that follows `known`."""
    if is_glass(known):
        return floor(known) + GLASS_STEP // 2
    return known + 1
