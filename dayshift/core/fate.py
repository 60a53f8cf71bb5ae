"""No shared fate (invariant 11): what steers, remembers and sees outlives the region.

Reasons for one region, from what the estate declares about places. Where nothing is
declared nothing is known, and `dayshift check` says that instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dayshift.errors import Reason
from dayshift.model.estate import ControllerSpec, Estate
from dayshift.model.evidence import Side

CODE = "SHARED-FATE"


def reasons(estate: Estate, region: str, controller: str = "") -> tuple[Reason, ...]:
    """Everything that would go down with `region`.

    Args:
        controller: the name of the one that leads, where it is known.
    """
    return (
        *_store(estate, region),
        *_controllers(estate, region, controller),
        *_voting(estate, region),
        *_meters(estate, region),
    )


def reason(estate: Estate, region: str, controller: str = "") -> Reason | None:
    """The first of them, or None."""
    return next(iter(reasons(estate, region, controller)), None)


def left(members: Mapping[str, str], region: str) -> int | None:
    """How many members are left without `region` when they are no majority; else None.

    Holds: half is no majority, so of two members none may leave.
    """
    stay = sum(place != region for place in members.values())
    return stay if 2 * stay <= len(members) else None


def _store(estate: Estate, region: str) -> Iterator[Reason]:
    members = estate.journal.members
    stay = left(members, region) if members else None
    if stay is None:
        return
    many = len(members) > 1
    yield _fate(
        f"the journal's store keeps {stay} of {len(members)} members without {region}",
        "move a member of the store to another place and correct `journal.members`"
        if many
        else _move(region),
    )


def _controllers(estate: Estate, region: str, controller: str) -> Iterator[Reason]:
    known = {one.name: one.place for one in estate.controllers}
    if not known:
        return
    if estate.journal.shared and len(known) > 1:
        stay = left(known, region)
        if stay is not None:
            yield _fate(
                f"{stay} of {len(known)} controllers are left without {region}",
                "declare and start a controller in a third place, see "
                "docs/controllers.md",
            )
        return
    here = _here(estate.controllers, controller)
    if here is None:
        yield _fate(
            f"which of the controllers {', '.join(known)} leads is not known, and "
            f"{region} may be where it stands",
            "set DAYSHIFT_CONTROLLER to the name of the one on this machine",
        )
    elif here.place == region:
        yield _fate(
            f"the controller {here.name} stands in {region}, and there is no other",
            _move(region),
        )


def _here(
    controllers: tuple[ControllerSpec, ...], controller: str
) -> ControllerSpec | None:
    if len(controllers) == 1:
        return controllers[0]
    return next((one for one in controllers if one.name == controller), None)


def _voting(estate: Estate, region: str) -> Iterator[Reason]:
    for system in estate.voting:
        stay = left(system.members, region)
        if stay is not None:
            yield _fate(
                f"{system.name} keeps {stay} of {len(system.members)} voters without "
                f"{region}",
                f"move a voter of {system.name} to another place and correct `voting`",
            )


def _meters(estate: Estate, region: str) -> Iterator[Reason]:
    """Users are seen everywhere, and the other regions from both sides, by a meter
    whose own place stays up."""
    for service in estate.moving():
        if all(one.place != region for one in service.meters):
            continue
        sees = [(one, frozenset(one.regions)) for one in service.meters]
        for seen in service.shares:
            for side in Side:
                if seen == region and side is Side.REGION:
                    continue
                meters = [m for m, what in sees if m.side is side and seen in what]
                if meters and all(one.place == region for one in meters):
                    yield _fate(
                        f"what sees {service.name} in {seen} from the {side.value} "
                        f"side ({', '.join(one.name for one in meters)}) stands in "
                        f"{region}",
                        "declare a meter with another `place`",
                    )


def _move(region: str) -> str:
    return (
        f"move the controller out of {region} first: `dayshift journal export` here, "
        "`import` there, then `dayshift retry`; see docs/controllers.md"
    )


def _fate(what: str, way: str) -> Reason:
    return Reason(
        CODE,
        what,
        because="invariant: no shared fate with the region that is taken out",
        so="nothing moved",
        next=way,
    )
