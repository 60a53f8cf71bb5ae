"""The returning region's share: as the file says it, or as the requests show it.

A share moves in steps, and the gate begins anew with each; so the noise of a measured
share is taken out here, and a step is seen only where the counts leave no doubt.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from dayshift.limits import FULL_BP
from dayshift.runtime.history.moments import Moment
from dayshift.runtime.history.rows import ENTRY, Row
from dayshift.runtime.settings.yaml_source import Source

SIGMAS = 5
SLACK_REQUESTS = 3
SLACK_PART = 0.15
STEP_PART = 0.1
"""A recorded share that moves by less than this part of itself did not move."""
STEP_MOMENTS = 2
"""So many moments in a row must show a new share, or it was a freak."""


def written(found: Sequence[Moment], source: Source) -> list[int] | None:
    """The share at each moment as the rows say it; None where no row says any.

    A moment that does not say it has the share of the one before; what comes before
    the first word has the first one.
    """
    said = [_said(one, source) for one in found]
    first: dict[str, int] = {}
    for one, share in zip(found, said, strict=True):
        if share is not None:
            first.setdefault(one.stream, share)
    if not first:
        return None
    shares = []
    now = dict(first)
    for one, share in zip(found, said, strict=True):
        before = now.setdefault(one.stream, next(iter(first.values())))
        if share is not None and abs(share - before) > STEP_PART * before:
            now[one.stream] = share
        shares.append(now[one.stream])
    return shares


def _said(one: Moment, source: Source) -> int | None:
    """What the last rows of a moment say; rows of one instant must agree."""
    rows = [row for row in one.rows.values() if row.share_bp is not None]
    for before, row in pairwise(rows):
        if before.at_ms == row.at_ms and before.share_bp != row.share_bp:
            source.note(
                max(row.line, before.line),
                "SHARE-CONTRADICTS",
                f"says share {_percent(row)}, and line {min(row.line, before.line)} "
                f"says {_percent(before)} at the same time",
                "`share` is the returning region's, the same on every region's row",
            )
    return max(rows, key=lambda row: row.at_ms).share_bp if rows else None


def _percent(row: Row) -> str:
    return f"{(row.share_bp or 0) / 100:g} %"


def measured(found: Sequence[Moment], region: str) -> list[int]:
    """The share at each moment as the requests show it, in steps."""
    shares = [0] * len(found)
    for stream in sorted({one.stream for one in found}):
        mine = [number for number, one in enumerate(found) if one.stream == stream]
        pairs = [_pair(found[number], region) for number in mine]
        for number, share in zip(mine, steady(pairs), strict=True):
            shares[number] = share
    return shares


def _pair(one: Moment, region: str) -> tuple[int, int] | None:
    """Requests of the region, and of all; None where one of them was not seen."""
    seen = [one.requests(name) for name in one.rows if name != ENTRY]
    mine = one.requests(region)
    if mine is None or any(count is None for count in seen):
        return None
    return mine, sum(count or 0 for count in seen)


def steady(pairs: Sequence[tuple[int, int] | None]) -> list[int]:
    """Shares in basis points from pairs of (here, everywhere), constant in steps.

    A share holds for as long as the counts could be its noise: `SIGMAS` deviations of
    a fair draw, and `SLACK_PART` for what balancers are not fair in.
    """
    starts, here, all_ = [0], [0], [0]
    odd: list[int] = []
    for number, pair in enumerate(pairs):
        if pair is None or not pair[1]:
            continue
        if not all_[-1] or _fits(pair, here[-1] / all_[-1]):
            odd.clear()
            here[-1] += pair[0]
            all_[-1] += pair[1]
            continue
        odd.append(number)
        if len(odd) == STEP_MOMENTS:
            starts.append(odd[0])
            here.append(pair[0])
            all_.append(pair[1])
            odd.clear()
    shares: list[int] = []
    ends = [*starts[1:], len(pairs)]
    for start, end, mine, whole in zip(starts, ends, here, all_, strict=True):
        share = round(mine * FULL_BP / whole) if whole else 0
        shares += [share] * (end - start)
    return shares


def _fits(pair: tuple[int, int], share: float) -> bool:
    mine, whole = pair
    wanted = share * whole
    noise = math.sqrt(whole * share * (1 - share))
    slack = SLACK_PART * min(wanted, whole - wanted)
    return abs(mine - wanted) <= SIGMAS * noise + slack + SLACK_REQUESTS
