"""Do the answers that users get fit the weights that the server says it has?

Answers of a server that picks one address for each question are counted, and compared
with the weights at every look: an address of a region without a share is wrong at once;
frequencies are wrong when the weights explain them a million times worse than a
coin of unknown bias does. That test may be looked at as often as one likes: its chance
of a false alarm is below one in a million for each window, whenever it stops.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from dayshift.limits import FULL_BP
from dayshift.model.dial import ALL, Claim, Setting
from dayshift.model.units import percent

SURPRISE_LOG10 = 6
WINDOW = 2_000
"""Answers that are weighed together; a change is not hidden behind older ones."""


def surprise_log10(hits: int, asked: int, share_bp: int) -> float:
    """How much worse `share_bp` explains `hits` of `asked` than an unknown bias does.

    The beta-binomial mixture with a uniform prior over the bias, against the share; a
    non-negative martingale of mean one while the share is true (Ville's inequality).
    """
    share, missed = share_bp / FULL_BP, asked - hits
    mixture = math.lgamma(hits + 1) + math.lgamma(missed + 1) - math.lgamma(asked + 2)
    told = hits * math.log(share) + missed * math.log1p(-share)
    return (mixture - told) / math.log(10)


class Sample:
    """The answers of one authority since it showed its present setting."""

    def __init__(self) -> None:
        self._of: tuple[Setting, Claim | None] | None = None
        self._regions: Counter[str] = Counter()

    def fault(
        self, setting: Setting, claim: Claim | None, regions: Iterable[str]
    ) -> str:
        """What is wrong with these answers, and those before them, or nothing."""
        if self._of != (setting, claim) or self._regions.total() >= WINDOW:
            self._of, self._regions = (setting, claim), Counter()
        self._regions.update(regions)
        asked, row = self._regions.total(), setting.rows[ALL]
        for region in sorted({*self._regions, *row}):
            hits, share_bp = self._regions[region], row.get(region, 0)
            if share_bp in (0, FULL_BP):
                wrong = hits if not share_bp else asked - hits
            else:
                limit = SURPRISE_LOG10 + math.log10(len(row))
                wrong = surprise_log10(hits, asked, share_bp) >= limit
            if wrong:
                return (
                    f"its weights give {region or 'nobody'} {percent(share_bp)}, and "
                    f"{hits} of {asked} answers were of it"
                )
        return ""
