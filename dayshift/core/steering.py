"""How a region's share becomes settings of dials, layer by layer.

Dials are listed from the user inwards. The innermost one that can divide users shares
them out; those before it are the **outer** dials, which lead arrivals to a region.
Draining goes inside out: first the region's arrivals are served elsewhere, and only
then the outer dials take it out, so that late answers and routes lead nobody astray. Of
several outer dials the one nearest to the users goes first: what decides where new
users arrive, before what cuts those who are there. Returning goes the other way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from dayshift.limits import FULL_BP
from dayshift.model.dial import ALL, DialKind, Setting, split
from dayshift.model.estate import DialSpec, Service
from dayshift.model.plan import Move, Stage
from dayshift.model.units import Row, apportion

Settings = Mapping[str, Setting]
_ON_OFF = DialKind.SWITCH


def row_with(shares: Row, region: str, share_bp: int) -> Row:
    """`shares` with `region` at `share_bp` and the rest divided as it was.

    Raises:
        ValueError: no other region has a share to take the rest.
    """
    if share_bp == shares[region] and sum(shares.values()) == FULL_BP:
        return dict(shares)
    others = {name: share for name, share in shares.items() if name != region}
    row = apportion(FULL_BP - share_bp, others)
    row[region] = share_bp
    # In the order of `shares`: sorting is slow where the first name comes last.
    return {name: row[name] for name in shares}


def without(service: Service, out: tuple[str, ...]) -> Service:
    """The service while the regions `out` are drained: the others divide what is left
    as they usually do.

    Raises:
        ValueError: no region with a share is left.
    """
    if not any(service.shares.get(name) for name in out):
        return service
    left = {name: s for name, s in service.shares.items() if name not in out}
    shares = {**dict.fromkeys(service.shares, 0), **apportion(FULL_BP, left)}
    return replace(service, shares=shares)


def sent_on(setting: Setting, row: Row, out: tuple[str, ...]) -> Setting:
    """`setting`, with late arrivals at the regions `out` served as `row` says."""
    away = {name: row for name in out if name in setting.rows}
    if setting.kind is not DialKind.FORWARD or not away:
        return setting
    return Setting(setting.kind, {**setting.rows, **away})


def baseline(dial: DialSpec, service: Service) -> Setting:
    """What a dial shows when nothing is under maintenance."""
    match dial.kind:
        case DialKind.SPLIT:
            return split(service.shares)
        case DialKind.SWITCH:
            on = {
                name: FULL_BP if share else 0 for name, share in service.shares.items()
            }
            return Setting(DialKind.SWITCH, {ALL: on})
        case DialKind.FORWARD:
            return Setting(
                DialKind.FORWARD, {name: {name: FULL_BP} for name in service.shares}
            )


def stage(
    services: tuple[Service, ...], region: str, share_bp: int, draining: bool
) -> Stage:
    """One stop of a pass: every moved service at `share_bp` for `region`.

    A region never gets more than its baseline share of a service, and from a service
    with switches alone all of it or nothing.
    """
    moves: list[Move] = []
    served: dict[str, Row] = {}
    for service in services:
        share = min(share_bp, service.shares[region])
        if share and _coarse(service):
            share = service.shares[region]
        row = row_with(service.shares, region, share)
        served[service.name] = row
        for dial in _in_order(service) if draining else _in_order(service)[::-1]:
            moves.append(Move(dial.name, _setting(dial, service, region, row)))
    return Stage(share_bp, served, tuple(moves))


def outer(service: Service) -> tuple[DialSpec, ...]:
    """Dials before the one that shares out the users, from the user inwards."""
    divides = [n for n, one in enumerate(service.dials) if one.kind is not _ON_OFF]
    return service.dials[: divides[-1]] if divides else ()


def _in_order(service: Service) -> tuple[DialSpec, ...]:
    """How its dials leave a region: from the inside to the one that shares users out,
    then from the outside to that."""
    lead = outer(service)
    return (*service.dials[len(lead) :][::-1], *lead)


def forwarded_stages(services: tuple[Service, ...], region: str) -> tuple[Stage, ...]:
    """Nobody is served in the region, and one outer dial after the other leads no more
    there; first none, and all but the last in the end. Services with fewer of them
    begin later, so that all end together.
    """
    zero = stage(services, region, 0, True)
    outers = {one.name: [dial.name for dial in outer(one)] for one in services}
    depth = max(map(len, outers.values()), default=0)
    usual = {d.name: baseline(d, one) for one in services for d in one.dials}
    stages = []
    for number in range(depth):
        leads = {
            name
            for names in outers.values()
            for name in names[max(0, number - depth + len(names)) :]
        }
        moves = (
            replace(move, setting=usual[move.dial]) if move.dial in leads else move
            for move in zero.moves
        )
        stages.append(replace(zero, moves=tuple(moves)))
    return tuple(stages)


def _coarse(service: Service) -> bool:
    """True when nothing can give a region a part of its usual share."""
    return all(one.kind is DialKind.SWITCH for one in service.dials)


def _stops(
    services: tuple[Service, ...], region: str, steps_bp: tuple[int, ...]
) -> tuple[int, ...]:
    """The steps strictly between nothing and the usual share that every service of
    the pass can take: a rung must never give a service more than it is judged for."""
    if any(_coarse(service) for service in services):
        return ()
    top = max(service.shares[region] for service in services)
    return tuple(share for share in steps_bp if 0 < share < top)


def _setting(dial: DialSpec, service: Service, region: str, row: Row) -> Setting:
    """What the dial must show so that users get `row`."""
    share = row[region]
    usual = baseline(dial, service)
    if share and dial in outer(service):
        return usual
    match dial.kind:
        case DialKind.FORWARD:
            return _forward(usual, service, region, share)
        case DialKind.SPLIT:
            return Setting(DialKind.SPLIT, {ALL: row})
        case DialKind.SWITCH:
            if share:
                return usual
            return Setting(DialKind.SWITCH, {ALL: {**usual.rows[ALL], region: 0}})


def _forward(usual: Setting, service: Service, region: str, share: int) -> Setting:
    """Of the arrivals at `region`, keep what makes its served share `share`."""
    arrivals = service.shares[region]
    if share == arrivals:
        return usual
    kept = FULL_BP * share // arrivals if arrivals else 0
    return Setting(
        DialKind.FORWARD, {**usual.rows, region: row_with(service.shares, region, kept)}
    )


def served(service: Service, settings: Settings) -> Row | None:
    """The shares that users get from these settings; None if one is unknown.

    served = arrivals × forward rows. Arrivals come from the outermost split, else from
    the switches that are on, in proportion to the usual shares.
    """
    arrivals: Row = dict(service.shares)
    for dial in service.dials:
        setting = settings.get(dial.name)
        if setting is None or setting.fault():
            return None
        match dial.kind:
            case DialKind.SPLIT:
                arrivals = dict(setting.rows[ALL])
            case DialKind.SWITCH:
                arrivals = _switched(arrivals, setting.rows[ALL])
            case DialKind.FORWARD:
                arrivals = _forwarded(arrivals, setting)
    return arrivals


def _switched(arrivals: Row, row: Row) -> Row:
    on = {name: share if row.get(name) else 0 for name, share in arrivals.items()}
    if not any(on.values()):
        on = {name: 1 if row.get(name) else 0 for name in arrivals}
    return apportion(FULL_BP, on)


def _forwarded(arrivals: Row, setting: Setting) -> Row:
    exact: Row = dict.fromkeys(arrivals, 0)
    for arrival, share in arrivals.items():
        for to, part in setting.rows.get(arrival, {arrival: FULL_BP}).items():
            exact[to] = exact.get(to, 0) + share * part
    return apportion(FULL_BP, exact)


def on_the_way(
    services: tuple[Service, ...], moves: tuple[Move, ...], standing: Settings
) -> Iterator[tuple[str, Row]]:
    """The shares that users get of each service between its first and last move.

    Why: where a dial stands elsewhere than planned (somebody's change was adopted),
    what the moves amount to half-way may be more than either end.
    """
    for service in services:
        dials = {dial.name for dial in service.dials}
        settings = {name: one for name, one in standing.items() if name in dials}
        for move in [one for one in moves if one.dial in dials][:-1]:
            settings[move.dial] = move.setting
            row = served(service, settings)
            if row is not None:
                yield service.name, row


def drain_stages(
    services: tuple[Service, ...], region: str, steps_bp: tuple[int, ...]
) -> tuple[Stage, ...]:
    """Stops on the way out: those below the region's share, then zero."""
    stops = _stops(services, region, steps_bp)
    return tuple(stage(services, region, share, True) for share in (*stops, 0))


def ramp_stages(
    services: tuple[Service, ...], region: str, ramp_bp: tuple[int, ...]
) -> tuple[Stage, ...]:
    """Rungs on the way back: those below the region's share, then its share."""
    top = max(service.shares[region] for service in services)
    rungs = _stops(services, region, ramp_bp)
    return tuple(stage(services, region, share, False) for share in (*rungs, top))
