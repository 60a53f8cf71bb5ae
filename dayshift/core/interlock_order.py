"""The interlock's own questions about the order of a service's dials.

Here: what leads users to a region leaves it after what serves them, and is back
before. Not here: which stages that makes, what is waited for (`steering`, `layers`).
"""

from __future__ import annotations

from dayshift.core import overrides
from dayshift.core.state import JournalState
from dayshift.errors import Reason
from dayshift.model.dial import DialKind, Setting
from dayshift.model.estate import Service
from dayshift.model.plan import Verb
from dayshift.model.records import Action
from dayshift.model.sight import Sight


def order_reason(state: JournalState, sight: Sight, action: Action) -> Reason | None:
    """Why `action` is out of order, or None.

    Holds: as long as a region serves a share, every outer dial leads users there.
    """
    run, plan, setting = state.run, state.plan, action.setting
    found = _owner(plan.estate.services, action.target)
    if run is None or setting is None or found is None:
        return None
    evacuating = plan.verb is Verb.EVACUATE or run.evacuating
    verb = "evacuate" if evacuating else ""
    if overrides.waived("OUT-OF-ORDER", verb, run.accepted):
        return None
    region, (service, inner) = run.now_at.region, found
    usual = plan.baseline
    now = {**usual, **state.confirmed}
    if action.target != inner:
        serves = _part(now[inner], region)
        if serves and _part(setting, region) < _part(now[action.target], region):
            return _no(f"{action.target} would leave {region}, which {inner} serves")
        return None
    if _part(setting, region) <= _part(now[inner], region):
        return None
    for one in service.dials:
        if one.name == inner:
            break
        if _part(now[one.name], region) < _part(usual[one.name], region):
            return _no(f"{inner} would serve {region}, where {one.name} leads nobody")
    return None


def _owner(services: tuple[Service, ...], dial: str) -> tuple[Service, str] | None:
    """The service whose dial it is and the name of the one that shares its users out,
    if that is this dial or one behind it."""
    for service in services:
        names = [one.name for one in service.dials]
        if dial in names:
            divides = [d.name for d in service.dials if d.kind is not DialKind.SWITCH]
            inner = divides[-1] if divides else ""
            ordered = bool(inner) and names.index(dial) <= names.index(inner)
            return (service, inner) if ordered else None
    return None


def _part(setting: Setting, region: str) -> int:
    """How much of what arrives there, or of all, this setting gives the region."""
    if setting.kind is DialKind.FORWARD:
        return setting.rows.get(region, {region: 1}).get(region, 0)
    return max(row.get(region, 0) for row in setting.rows.values())


def _no(what: str) -> Reason:
    return Reason(
        "OUT-OF-ORDER",
        what,
        because="a region is left from the inside out and entered from the outside in",
        so="nothing moved",
        next="see `dayshift explain`",
    )
