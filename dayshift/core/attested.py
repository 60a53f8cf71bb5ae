"""Which Dayshift the agents are, asked before anything moves.

The link to an agent asks the same on every stream and lets no other request through, so
that a mismatch steers nothing even where this guard is not asked.
"""

from __future__ import annotations

from dayshift.errors import Reason
from dayshift.model.sight import Sight
from dayshift.model.speech import foreign_reason


def agents_reason(sight: Sight) -> Reason | None:
    """Every agent that was heard speaks as this controller does.

    Why: a pass that begins with an agent of another version stops half-way, at its
    first write. One that was never heard is a dial that cannot be read.
    """
    for name, seen in sorted(sight.agents.items()):
        reason = foreign_reason(name, seen.theirs, seen.ours)
        if reason is not None:
            return reason
    return None
