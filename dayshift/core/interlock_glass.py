"""The interlock's own questions about claims and broken glass. They may only refuse.

Apart from `core.glass`, which decides: a mistake there must not reach a dial.
"""

from __future__ import annotations

from collections.abc import Mapping

from dayshift.core.state import JournalState
from dayshift.errors import Reason
from dayshift.model.dial import DialKind, Setting
from dayshift.model.glass import is_glass
from dayshift.model.records import Action, Phase
from dayshift.model.sight import Sight
from dayshift.model.units import Row

_AT_WORK = (Phase.WORKING, Phase.CATCHING_UP, Phase.WARMING, Phase.VALIDATING)


def newest(state: JournalState, sight: Sight, action: Action) -> Reason | None:
    """No instance carries a claim that this controller must not replace."""
    reading = sight.dials.get(action.target)
    for one in reading.instances if reading else ():
        claim = one.claim
        if claim is None:
            continue
        foreign = (claim.estate, claim.journal) != (state.estate, state.journal)
        unknown = is_glass(claim.epoch) and claim.epoch not in state.glasses
        if foreign or unknown or claim.epoch > state.epoch:
            return _no(
                "FENCED-OFF",
                f"dial {action.target} carries {claim}, this controller has epoch "
                f"{state.epoch}",
                "invariant: a foreign or newer claim refuses",
            )
    return None


def overtaken(state: JournalState, sight: Sight, action: Action) -> Reason | None:
    """No run that was overtaken has its work in a region that would get users, and
    none brings an evacuated region back."""
    run, setting = state.run, action.setting
    if run is None or setting is None or setting.kind is DialKind.FORWARD:
        return None
    before = state.confirmed.get(action.target)
    raised = _raised(before.rows if before else {}, setting)
    if run.now_at.kept_out and run.now_at.region in raised:
        return _no(
            "EVACUATED",
            f"{run.now_at.region} was evacuated with broken glass",
            "invariant: an evacuated region comes back by its own return alone",
        )
    for one in state.parked:
        here = one.now_at
        begun = set(here.started) - set(here.done) - set(here.undone)
        unproven = here.phase in _AT_WORK and run.now_at.region != here.region
        if here.region in raised and (begun or unproven):
            return _no(
                "REGION-AT-WORK",
                f"{here.region} is {here.phase.value} in run {one.run}",
                "invariant: a region under maintenance stays drained",
            )
    return None


def _raised(before: Mapping[str, Row], after: Setting) -> set[str]:
    """Regions that get more than before."""
    return {
        name
        for key, row in after.rows.items()
        for name, share in row.items()
        if share > before.get(key, {}).get(name, 0)
    }


def _no(code: str, what: str, because: str) -> Reason:
    return Reason(
        code, what, because=because, so="nothing moved", next="see `dayshift explain`"
    )
