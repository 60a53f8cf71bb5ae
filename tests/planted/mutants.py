"""The list: at least two bugs for each invariant, and a replica of each incident."""

from __future__ import annotations

from tests.planted.aborts import ABORTS
from tests.planted.agents import AGENTS
from tests.planted.fences import FENCES
from tests.planted.frame import Mutant
from tests.planted.incidents import INCIDENTS
from tests.planted.journals import JOURNALS
from tests.planted.layers import LAYERS
from tests.planted.proofs import PROOFS
from tests.planted.several import SEVERAL
from tests.planted.shares import SHARES
from tests.planted.wayback import WAYBACK

MUTANTS: tuple[Mutant, ...] = (
    *SHARES,
    *FENCES,
    *AGENTS,
    *SEVERAL,
    *PROOFS,
    *WAYBACK,
    *ABORTS,
    *JOURNALS,
    *LAYERS,
    *INCIDENTS,
)
BY_NAME = {one.name: one for one in MUTANTS}
