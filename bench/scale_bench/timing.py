"""How the parts of this benchmark take time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
TRIES, ONCE = 7, 1


def best_us(work: Callable[[], T], tries: int = TRIES) -> tuple[int, T]:
    """The least processor time of several tries, and the last result."""
    times = []
    for _ in range(tries):
        begin = time.process_time_ns()
        result = work()
        times.append(time.process_time_ns() - begin)
    return min(times) // 1_000, result
