"""Each decision of a run with the evidence that it was taken on. Part of the report."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dayshift.model import records as r
from dayshift.model.records import Record
from dayshift.model.sight import Kept, PlaceSight, SurvivorsSight
from dayshift.surfaces import phrases, signals, words
from dayshift.surfaces.events import event_of
from dayshift.surfaces.journey import gate_story
from dayshift.surfaces.nouns import Level

DECISIONS = (
    r.Phased
    | r.Staged
    | r.Certified
    | r.Tripped
    | r.Judged
    | r.Retreating
    | r.Adopted
    | r.Held
    | r.RunClosed
)


class DecisionReport(msgspec.Struct, frozen=True):
    """What was decided, by record, and what it rested on, in words and numbers."""

    seq: int
    wall_ms: int
    region: str
    level: Level
    what: str
    evidence: tuple[str, ...] = ()


def tell_decisions(records: Sequence[Record]) -> tuple[DecisionReport, ...]:
    """Every decision in order. Those of one batch rest on the observation before it."""
    out = []
    seen: r.Observed | None = None
    for record in records:
        body = record.body
        if isinstance(body, r.Observed):
            seen = body
        event = event_of(record) if isinstance(body, DECISIONS) else None
        if event is not None:
            out.append(
                DecisionReport(
                    record.seq,
                    record.at.wall_ms,
                    event.region,
                    event.level,
                    event.text,
                    _evidence(body, seen),
                )
            )
    return tuple(out)


def _evidence(body: r.Body, seen: r.Observed | None) -> tuple[str, ...]:
    match body:
        case r.Judged():
            told = gate_story(body.service, body.verdict)
            return (phrases.gate(told), *signals.explained(told))
        case r.Certified():
            return (f"meters: {', '.join(body.meters)}", *body.residue)
        case r.Held():
            return tuple(filter(None, (body.reason.because, body.reason.so)))
        case r.Staged():
            return _dials(seen)
        case r.Phased() | r.Tripped() | r.Retreating():
            return _places(seen)
        case _:
            return ()


def _sight(seen: r.Observed | None) -> Kept | None:
    """The observation; None for one of a form that this version does not know."""
    if seen is None:
        return None
    try:
        return msgspec.convert(seen.sight, Kept)
    except msgspec.ValidationError:
        return None


def _dials(seen: r.Observed | None) -> tuple[str, ...]:
    sight = _sight(seen)
    if sight is None:
        return ()
    shown = [
        f"dial {name} showed {phrases.rows(one.setting.rows if one.setting else None)}"
        for name, one in sorted(sight.dials.items())
    ]
    if sight.steady:
        shown.append(f"{len(sight.steady)} dials showed what was confirmed")
    return tuple(shown)


def _places(seen: r.Observed | None) -> tuple[str, ...]:
    sight = _sight(seen)
    if sight is None:
        return ()
    return (*map(_place, sight.places), *map(_survivors, sight.survivors))


def _survivors(one: SurvivorsSight) -> str:
    figures = (
        f"{words.per_second(one.mrps)}/s in {one.measured} of {one.places} regions"
    )
    trouble = "; ".join(one.trouble) or "nothing wrong elsewhere"
    return f"{one.service}: {figures}; {trouble}"


def _place(place: PlaceSight) -> str:
    parts = []
    for meter in place.meters:
        if meter.age_ms is None or meter.fault:
            parts.append(f"{meter.meter} blind")
            continue
        figures = f"{words.per_second(meter.mrps)}/s"
        if meter.mrps:
            errors = words.error_rate(meter.error_ppm)
            figures += f", {errors} errors, p99 {words.took(meter.p99_us)}"
        elif not meter.in_flight:
            figures += f", quiet {words.span(meter.quiet_ms)}"
        parts.append(f"{meter.meter} {figures}")
    for probe in place.probes:
        parts.append(f"probe {probe.probe} {probe.streak} good in a row")
    return f"{place.service} in {place.region}: {'; '.join(parts)}"
