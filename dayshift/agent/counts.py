"""What an agent counts about itself: what was asked of it, and what came of that."""

from __future__ import annotations

from collections import Counter

from dayshift.drivers.agents import messages as m
from dayshift.model.units import Instant

WRITES = (m.Set, m.Hold, m.Prepare, m.Restore)


class Counts:
    """Since this process began."""

    def __init__(self) -> None:
        self.reads: Counter[str] = Counter()
        self.writes: Counter[str] = Counter()
        self.renewals: Counter[str] = Counter()
        self.refusals: Counter[tuple[str, str]] = Counter()
        """By dial and code; a request for a dial that is not ours has no dial."""
        self.strangers = 0
        self.contacts: dict[str, Instant] = {}
        """When each controller asked last."""

    def heard(self, controller: str, at: Instant) -> None:
        """A controller that is obeyed asked something."""
        self.contacts[controller] = at

    def answered(self, request: m.Deed, answer: m.Reply) -> None:
        """One request came to its end."""
        if isinstance(answer, m.Failed):
            known = answer.reason.code != m.NOT_MY_DIAL
            self.refusals[request.dial if known else "", answer.reason.code] += 1
        elif isinstance(request, WRITES):
            self.writes[request.dial] += 1
        elif isinstance(request, m.Renew):
            self.renewals[request.dial] += 1
        elif isinstance(request, m.Read):
            self.reads[request.dial] += 1
