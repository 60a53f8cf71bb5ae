"""What `check` finds: one line for each thing, and the reason why it refuses, if any.

Pure: a look in, findings out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from dayshift.core import guards, planner, proof, steering
from dayshift.core.state import JournalState
from dayshift.errors import Reason, Refused
from dayshift.model import speech
from dayshift.model.dial import Abilities, Claim, DialReading, Setting
from dayshift.model.estate import DialSpec, Estate, Service
from dayshift.model.evidence import Side
from dayshift.model.plan import Plan, Verb
from dayshift.model.sight import MeterSight, PlaceSight, ProbeSight, Sight
from dayshift.model.units import percent
from dayshift.surfaces import words

DAY_MS = 86_400_000
CHECK_FIRST = "mend it, then `dayshift check`"


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at; `reason` is None where all is well."""

    kind: str
    name: str
    says: str
    reason: Reason | None = None


def findings(
    estate: Estate,
    state: JournalState,
    sight: Sight,
    able: Mapping[str, Abilities],
) -> Iterator[Finding]:
    """Everything that the estate names, in the order in which users meet it."""
    for service in estate.services:
        for dial in service.dials:
            yield _dial(dial, service, state, sight, able[dial.name])
        for region in service.shares:
            yield from _place(estate, service, region, sight)
    for agent in estate.agents:
        yield _agent(agent.name, sight)
    yield from _duties(estate, sight)
    yield from _brackets(estate, sight)
    yield from _notify(estate)
    for region in estate.region_names():
        yield _without(estate, region, sight)


def _dial(
    dial: DialSpec,
    service: Service,
    state: JournalState,
    sight: Sight,
    able: Abilities,
) -> Finding:
    reading = sight.dials.get(dial.name)
    expected = state.confirmed.get(dial.name, steering.baseline(dial, service))
    says = f"{_setting(reading)} · {_claim(reading)} · {_able(able)}"
    return Finding(
        "dial", dial.name, says, _dial_reason(dial, reading, expected, state)
    )


def _dial_reason(
    dial: DialSpec,
    reading: DialReading | None,
    expected: Setting,
    state: JournalState,
) -> Reason | None:
    if reading is None or reading.fault or not reading.instances:
        fault = reading.fault if reading else "never read"
        return _reason("DIAL-UNREACHABLE", f"dial {dial.name} cannot be read: {fault}")
    if reading.mixed:
        text = f"dial {dial.name} has instances that disagree"
        return _reason("DIAL-MIXED", text)
    kind = reading.setting.kind if reading.setting else None
    if kind is not dial.kind:
        found = kind.value if kind else "nothing readable"
        text = f"dial {dial.name} is a {found}, the estate says {dial.kind.value}"
        return _reason("DIAL-KIND", text)
    foreign = next((c for c in _claims(reading) if _is_foreign(c, state)), None)
    if foreign is not None:
        return _foreign(dial.name, foreign, state)
    if reading.setting == expected or state.open_run is not None:
        return None
    drift = guards.drift(dial.name, expected, reading.setting)
    return msgspec.structs.replace(
        drift,
        because="somebody or something else moved it, or the estate's `shares` are "
        "not what it shows",
        so="a run would be refused; nothing moved",
        next="put the dial back, or correct `shares` in dayshift.yaml",
    )


def _agent(name: str, sight: Sight) -> Finding:
    """Which version it is; an agent that is away is told of by its dials."""
    seen = sight.agents.get(name)
    if seen is None:
        away = f"agent {name} did not say which version it is"
        return Finding("agent", name, "no answer", _reason("AGENT-AWAY", away))
    theirs = seen.theirs
    says = [f"Dayshift {theirs.version or '?'}, protocol {theirs.protocol}"]
    if seen.ends_ms:
        days = (seen.ends_ms - sight.at.wall_ms) // DAY_MS
        says.append(f"certificate {words.many(days, 'day')}")
    reason = speech.foreign_reason(name, theirs, seen.ours)
    return Finding("agent", name, " · ".join((*says, *seen.notes)), reason)


def _claims(reading: DialReading) -> list[Claim]:
    return [one.claim for one in reading.instances if one.claim is not None]


def _is_foreign(claim: Claim, state: JournalState) -> bool:
    if claim.estate != state.estate or claim.journal != state.journal:
        return True
    return (claim.epoch, claim.seq) > (state.epoch, state.seq)


def _foreign(dial: str, claim: Claim, state: JournalState) -> Reason:
    own = claim.journal == state.journal
    return Reason(
        "JOURNAL-BEHIND" if own else "FENCED-OFF",
        f"dial {dial} holds the claim {claim}; this journal is "
        f"{state.journal or 'not begun'}, epoch {state.epoch}, record {state.seq}",
        because="this journal lost its end, or went on elsewhere"
        if own
        else "another journal moved it last",
        so="a run here would be refused by the dial itself; nothing moved",
        next="bring back the newest copy of the whole directory, or lead where the "
        "journal lies now"
        if own
        else "use the journal that holds the claim; if it is gone for good, take the "
        "claim off the device by hand (docs/stores.md)",
    )


def _setting(reading: DialReading | None) -> str:
    if reading is None:
        return "not read"
    count = words.many(len(reading.instances), "instance")
    if reading.setting is None:
        return f"{count}, {'mixed' if reading.mixed else 'unreadable'}"
    rows = [
        (f"{key}: " if key != "*" else "")
        + ", ".join(f"{region} {percent(share)}" for region, share in row.items())
        for key, row in reading.setting.rows.items()
    ]
    return f"{count}, {'; '.join(rows)}"


def _claim(reading: DialReading | None) -> str:
    claims = _claims(reading) if reading else []
    return f"claim {claims[0]}" if claims else "never claimed"


def _able(able: Abilities) -> str:
    lease = "lease" if able.lease else "no lease (fails static)"
    return f"{lease}, {words.fence(able.fence)}"


def _place(
    estate: Estate, service: Service, region: str, sight: Sight
) -> Iterator[Finding]:
    """Both sides of one service in one region, and our own probes."""
    place = sight.place(service.name, region)
    used = _share(service, region, sight)
    for meter in place.meters:
        name = f"{meter.meter} {region}"
        reason = _meter_reason(estate, service, region, meter, used)
        yield Finding("meter", name, _meter(meter), reason)
    for side in Side:
        if not service.stays and not any(m.side is side for m in place.meters):
            text = (
                f"no meter sees {service.name} in {region} from the {side.value} side"
            )
            reason = _reason("METER-MISSING", text, "declare one in dayshift.yaml")
            yield Finding("meter", f"none {region}", f"{side.value} side", reason)
    for probe in place.probes:
        yield Finding(
            "probe",
            f"{probe.probe} {region}",
            _probe(probe),
            _probe_reason(probe, place),
        )


def _share(service: Service, region: str, sight: Sight) -> int:
    """What the dials show for the region; its usual share where they cannot be read."""
    settings = {
        name: reading.setting
        for name, reading in sight.dials.items()
        if reading.setting is not None
    }
    row = steering.served(service, settings)
    return service.shares[region] if row is None else row.get(region, 0)


def _meter(meter: MeterSight) -> str:
    if meter.age_ms is None:
        return f"{meter.side.value} side · never read"
    ignored = ", ".join(f"{k} {n}/min" for k, n in meter.ignored_rpm.items() if n)
    return (
        f"{meter.side.value} side · {words.per_second(meter.mrps)} requests/s, errors "
        f"{words.error_rate(meter.error_ppm)}, {meter.in_flight} in flight, "
        f"{meter.age_ms} ms old" + (f" · not counted: {ignored}" if ignored else "")
    )


def _meter_reason(
    estate: Estate, service: Service, region: str, meter: MeterSight, used: int
) -> Reason | None:
    name = f"meter {meter.meter} of {service.name} in {region}"
    if not proof.is_fresh(meter, estate.policy):
        fault = meter.fault or f"its reading is {meter.age_ms} ms old"
        return _reason("BLIND", f"{name} does not see: {fault}")
    if used and not meter.counted and not service.stays:
        return _reason(
            "BLIND",
            f"{name} counted no user yet, at {percent(used)} of them",
            "see that it counts what users reach; its silence would prove nothing",
        )
    return None


def _probe(probe: ProbeSight) -> str:
    said = f", version {probe.version}" if probe.version else ""
    return (
        f"{probe.streak} good answers in a row{said}" if probe.streak else "no answer"
    )


def _probe_reason(probe: ProbeSight, place: PlaceSight) -> Reason | None:
    if probe.streak:
        return None
    detail = probe.detail or "never asked"
    text = f"probe {probe.probe} of {place.service} in {place.region}: {detail}"
    return _reason("PROBE-FAILED", text)


def _duties(estate: Estate, sight: Sight) -> Iterator[Finding]:
    for duty in estate.duties:
        seen = sight.duties.get(duty.name)
        holders = ", ".join(seen.holders) if seen and seen.holders else "nobody"
        says = f"held by {holders}" if seen and not seen.fault else "cannot be read"
        one = msgspec.structs.replace(estate, duties=(duty,))
        # As of its own answer: another source may have taken its time meanwhile.
        then = msgspec.structs.replace(sight, at=(seen and seen.at) or sight.at)
        reason = guards.duties_reason(_bare_plan(one), then)
        yield Finding("duty", duty.name, says, reason)


def _bare_plan(estate: Estate) -> Plan:
    change = planner.simple_change("check", (), "")
    return planner.make(estate, change, Verb.DRAIN)


def _brackets(estate: Estate, sight: Sight) -> Iterator[Finding]:
    for bracket in estate.brackets:
        seen = sight.brackets.get(bracket.name)
        if seen is None or seen.fault:
            fault = seen.fault if seen else "no answer in time"
            text = f"bracket {bracket.name} cannot be read: {fault}"
            reason = _reason("BRACKET-UNREADABLE", text)
            yield Finding("bracket", bracket.name, "cannot be read", reason)
        else:
            yield Finding("bracket", bracket.name, "open" if seen.open else "closed")


def _notify(estate: Estate) -> Iterator[Finding]:
    for one in estate.notify:
        after = words.span(one.escalate_ms) if one.escalate_ms else "never"
        says = f"{one.ref.driver}, not called now; next one after {after}"
        yield Finding("notify", one.name, says)
    if not estate.notify:
        yield Finding("notify", "nobody", "a hold pages nobody; declare `notify`")


def _without(estate: Estate, region: str, sight: Sight) -> Finding:
    """Could the others carry everything now, without this region?"""
    change = planner.simple_change(f"drain-{region}", (region,), "")
    try:
        plan = planner.make(estate, change, Verb.DRAIN)
    except Refused as error:
        return Finding("without", region, "carries everything", error.reason)
    last = plan.passes[0].drain[-1]
    reason = guards.capacity_reason(plan, sight, last)
    rows = [
        ", ".join(f"{name} {percent(share)}" for name, share in row.items() if share)
        for _, row in sorted(last.served.items())
    ]
    fits = "fits" if reason is None else "does not fit"
    return Finding("without", region, f"{'; '.join(rows)}: {fits}", reason)


def _reason(code: str, what: str, then: str = CHECK_FIRST) -> Reason:
    return Reason(
        code,
        what,
        because="asked just now",
        so="a run would be refused; nothing moved",
        next=then,
    )
