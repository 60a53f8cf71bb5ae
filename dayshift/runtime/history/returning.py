"""Which region of a recording returns, where its history ends and the return begins.

Found, never guessed: where the file leaves two answers, the person is asked.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dayshift.errors import Reason, SettingsInvalid
from dayshift.limits import FULL_BP
from dayshift.runtime.history.moments import Moment
from dayshift.runtime.history.rows import Recording

LOW_BP = 4_000
"""Below this a share tells the regions apart."""
FITS_PART, FITS_BP = 0.5, 100
DROPS_PART, RISES_PART = 0.75, 1.33
"""Outside of these parts of the first share it has moved, and is no noise."""


class Parts(msgspec.Struct, frozen=True):
    """Indices into the moments: history is `[0, history)`, the return `[begin, …)`."""

    history: int
    begin: int


def region_of(
    recording: Recording, found: Sequence[Moment], shares: Sequence[int] | None
) -> tuple[str, str]:
    """The returning region and how it is known.

    Raises:
        SettingsInvalid: the file does not say.
    """
    named = sorted({row.returning for row in recording.rows if row.returning})
    if len(named) == 1:
        return named[0], "the file names it"
    if len(named) > 1:
        raise SettingsInvalid((_several(recording, named),))
    fitting = _fitting(recording.regions(), found, shares) if shares else []
    if len(fitting) == 1:
        return fitting[0], "its requests are the share that the file says"
    raise SettingsInvalid((_unsaid(recording),))


def _fitting(
    regions: Sequence[str], found: Sequence[Moment], shares: Sequence[int]
) -> list[str]:
    """Regions whose part of the requests is the share, while that is low."""
    low = [
        (one, share)
        for one, share in zip(found, shares, strict=True)
        if 0 < share <= LOW_BP
        and all(one.requests(name) is not None for name in regions)
    ]
    whole = sum(one.requests(name) or 0 for one, _ in low for name in regions)
    if not whole:
        return []
    wanted = sum(
        share * sum(one.requests(name) or 0 for name in regions) for one, share in low
    )
    fitting = []
    for name in regions:
        mine = sum(one.requests(name) or 0 for one, _ in low) * FULL_BP
        if abs(mine - wanted) <= FITS_PART * wanted + FITS_BP * whole:
            fitting.append(name)
    return fitting


def parts(found: Sequence[Moment], shares: Sequence[int], regions: set[str]) -> Parts:
    """Where the share first drops, and where it begins to come back.

    History is what lies before the first drop, if every region served then. A file
    that begins low, or whose share never drops, has none.
    """
    levels = _levels(found, shares)
    first = levels[0] if levels else 0
    drop = next((i for i, one in enumerate(levels) if one < DROPS_PART * first), None)
    rise = next((i for i, one in enumerate(levels) if one > RISES_PART * first), None)
    if drop is None or (rise is not None and rise < drop) or not first:
        begin = next((i for i, one in enumerate(levels) if one), len(levels))
        return Parts(0, begin)
    served = {
        name
        for one in found[:drop]
        for name in regions
        if (one.requests(name) or 0) > 0
    }
    return Parts(drop if served == regions else 0, _begin(levels, drop))


def _begin(levels: Sequence[int], drop: int) -> int:
    """After the stops of a drain: where its lowest share begins, or what follows 0."""
    low = drop
    while low + 1 < len(levels) and levels[low + 1] <= levels[low]:
        low += 1
    if not levels[low]:
        return low + 1
    return next(i for i in range(drop, low + 1) if levels[i] == levels[low])


def _levels(found: Sequence[Moment], shares: Sequence[int]) -> list[int]:
    """The highest share of all streams as of each moment."""
    now: dict[str, int] = {}
    levels = []
    for one, share in zip(found, shares, strict=True):
        now[one.stream] = share
        levels.append(max(now.values()))
    return levels


def check_regions(recording: Recording, region: str) -> None:
    """There must be the region, and another one to compare it with.

    Raises:
        SettingsInvalid: there is not.
    """
    regions = recording.regions()
    if region not in regions:
        raise SettingsInvalid((_no_region(recording, region),))
    if len(regions) < 2:
        raise SettingsInvalid(
            (
                Reason(
                    "ONE-REGION",
                    f"{recording.name}:1: has rows of {region} only",
                    because="the gate compares a region with all the others together",
                    so="nothing was judged",
                    next="add the rows of the other regions",
                ),
            )
        )


def _no_region(recording: Recording, region: str) -> Reason:
    listed = ", ".join(recording.regions()) or "none"
    return Reason(
        "UNKNOWN-REGION",
        f"{recording.name}:1: has no rows of region {region}; it has {listed}",
        because="that region was named as the returning one",
        so="nothing was judged",
        next="name one of them with `--region`",
    )


def _unsaid(recording: Recording) -> Reason:
    listed = ", ".join(recording.regions()) or "none"
    return Reason(
        "REGION-UNSAID",
        f"{recording.name}:1: does not say which region returns; it has {listed}",
        because="there is no column `returning`, and the requests fit no single one",
        so="nothing was judged",
        next="name it: `--region REGION`",
    )


def _several(recording: Recording, named: list[str]) -> Reason:
    return Reason(
        "REGION-UNSAID",
        f"{recording.name}:1: names several returning regions: {', '.join(named)}",
        because="a replay is of one return",
        so="nothing was judged",
        next="choose with `--region REGION`",
    )
