"""How long caches may go on answering what authorities answer no more.

An answer that was given while its lifetime was `lifetime_ms` dies that long after it
was given. Here: arithmetic on the history of lifetimes. Not here: clients that ignore
lifetimes and connections that stay open, which only traffic can tell.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Lifetime(msgspec.Struct, frozen=True):
    """From `from_ms` on, answers of every authority may be kept for `lifetime_ms`.

    `from_ms` is when the last authority was seen to answer so, not when it was asked.
    """

    from_ms: int
    lifetime_ms: int


def last_cached_ms(history: Sequence[Lifetime], gone_ms: int) -> int:
    """When the last cached answer dies, if no authority gives it after `gone_ms`.

    Args:
        history: lifetimes in the order of time; the first began before `gone_ms`.
    """
    given = [one for one in history if one.from_ms <= gone_ms]
    if not given:
        raise ValueError("nothing is known of the lifetime of answers at that time")
    until = [one.from_ms for one in given[1:]] + [gone_ms]
    return max(end + one.lifetime_ms for one, end in zip(given, until, strict=True))


def soonest_ms(history: Sequence[Lifetime]) -> int:
    """From when on a change is seen by every cache within the present lifetime.

    A drain before it waits for answers of the longer lifetimes that came earlier.
    """
    *before, now = history
    ends = [*(one.from_ms for one in history[1:])]
    dies = (end + one.lifetime_ms for one, end in zip(before, ends, strict=True))
    return max([now.from_ms, *(end - now.lifetime_ms for end in dies)])
