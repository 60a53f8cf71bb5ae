"""Sentences about a story that more than one rendering says. Text only, no layout."""

from __future__ import annotations

from dayshift.core.decision import Waiting
from dayshift.model.records import Phase
from dayshift.model.units import Row
from dayshift.surfaces import signals, words
from dayshift.surfaces.nouns import (
    DialStory,
    DutyStory,
    GateStory,
    PassStory,
    ProbeStory,
    QuietStory,
    RegionStory,
    ServiceStory,
    StepStory,
    Story,
)

UNWATCHED = "nobody is watching this run; any `dayshift run` goes on with it"
SILENT = "its controller lives but does not answer: stopped, stuck, or overloaded"


def unwatched(story: Story) -> str:
    """Why nobody looks at the run: there is no controller, or it is silent."""
    return f"{SILENT} ({story.holder})" if story.silent else UNWATCHED


def status(story: Story) -> str:
    """The state in words: `running`, `closed: done`, `running, aborting`."""
    if story.status == "closed":
        return f"closed: {story.result}"
    extra = [
        text
        for text, on in (
            (f"by {story.paused_by}", bool(story.paused_by)),
            ("aborting", story.aborting),
            ("return --now", story.hurry),
        )
        if on
    ]
    return ", ".join([story.status, *extra])


def subject(story: Story) -> str:
    """What the run is for: `shop-2: upgrade the shop to version 2 (OPS-1)`."""
    if not story.run:
        return "no run yet"
    ticket = f" ({story.ticket})" if story.ticket else ""
    return f"{story.change}: {story.reason}{ticket}"


def people(story: Story) -> str:
    """Who began it, who approved it, who is on duty."""
    parts = [f"begun by {story.opened_by}"]
    if story.approved_by:
        parts.append(f"approved by {', '.join(story.approved_by)}")
    elif story.approvals_needed:
        parts.append(f"0 of {story.approvals_needed} approvals")
    parts.append(f"on duty {story.on_duty}")
    return " · ".join(parts)


def version(region: RegionStory) -> str:
    """The version that the region's probes found; several if they disagree."""
    found = sorted({one.version for one in region.probes if one.version})
    return ", ".join(found) or words.UNKNOWN


def phase(region: RegionStory) -> str:
    """Where the region's pass is; a region outside the run just carries traffic."""
    if region.journey is None:
        return "not in this run"
    journey = region.journey
    if journey.retreating_to:
        return f"{journey.phase}, retreating"
    waits = journey.phase == Phase.SERVING.value and not journey.current
    return "its turn comes" if waits else journey.phase


def blindness(service: ServiceStory) -> str:
    """Why there are no figures, or nothing."""
    if service.seen:
        return ""
    if service.age_ms is not None and not service.fault:
        return f"blind for {words.span(service.age_ms)}"
    return f"blind: {service.fault}" if service.fault else "not measured"


def gate(one: GateStory) -> str:
    """What the gate counted and how strong it is, in one line."""
    return f"{evidence(one)}; {counted(one)}"


def evidence(one: GateStory) -> str:
    """`promote 6.3:1 of 20:1, rollback 1:1 of 100:1`."""
    promote = f"promote {_of(one.promote_odds, one.promote_need)}"
    return f"{promote}, rollback {_of(one.rollback_odds, one.rollback_need)}"


def counted(one: GateStory) -> str:
    """What a verdict rests on, and the smallest regression that it could have seen."""
    sees = words.short_share(one.smallest_bp)
    return (
        f"{one.service}: {words.many(one.requests, 'request')}, "
        f"{words.many(one.errors, 'error')}, {one.slow:,} slow"
        + (f"; would see {sees} worse" if one.smallest_bp else "")
    )


def _of(have: str, need_mlog10: int) -> str:
    return f"{have} of {words.odds(need_mlog10)}" if need_mlog10 else have


def quiet(one: QuietStory) -> str:
    """What one meter says about emptiness."""
    if one.fault:
        return f"{one.meter} is blind: {one.fault}"
    if one.in_flight:
        return f"{one.meter} sees {words.many(one.in_flight, 'request')} in flight"
    have = words.span(min(one.quiet_ms, one.wanted_ms))
    return f"{one.meter} quiet {have} of {words.span(one.wanted_ms)}"


def probe(one: ProbeStory, expected: str) -> str:
    """How often in a row a region answered us well, and as which version."""
    if one.age_ms is None:
        return f"{one.probe} has not asked yet"
    if one.failures:
        said = f": {one.detail}" if one.detail else ""
        return f"{one.probe} failed {words.many(one.failures, 'time')} in a row{said}"
    good = f"{words.many(one.streak, 'good answer')} in a row, {one.wanted} asked for"
    if not one.version:
        return f"{one.probe} {good}"
    odd = f", expected {expected}" if expected and expected != one.version else ""
    return f"{one.probe} {good}; version {one.version}{odd}"


def step(one: StepStory) -> str:
    """A step of the work and its last word."""
    if one.asks:
        return f"{one.name} asks: {one.asks}"
    code = f" (exit code {one.exit_code})" if one.status == "failed" else ""
    said = f": {one.line}" if one.line else ""
    return f"{one.name} {one.status}{code}{said}"


def rung(journey: PassStory) -> str:
    """`rung 2 of 5 at 5 %`, or nothing while none is reached."""
    at = next((one for one in journey.ramp if one.status == "here"), None)
    if at is None:
        return ""
    share = words.short_share(at.share_bp)
    return f"rung {at.index + 1} of {len(journey.ramp)} at {share}"


def times(story: Story) -> str:
    """Return time, absence and its limit."""
    at = story.times
    if not at.absent_ms:
        limit = words.span(story.absence_limit_ms)
        return f"{at.region}: has users · absence limit {limit}, not begun"
    back = "at once" if not at.return_ms else f"within {words.span(at.return_ms)}"
    left = words.span(abs(at.absence_left_ms))
    limit = f"absence limit in {left}"
    if at.absence_left_ms < 0:
        limit = f"ABSENCE LIMIT passed {left} ago"
    away = words.span(at.absent_ms)
    return f"{at.region}: back {back} · away {away} · {limit}"


def untold(story: Story) -> list[Waiting]:
    """What is waited for, without a gate that only needs more of the same: there the
    counts, the evidence and the time say more than the sentence that repeats them."""
    journey = story.here.journey if story.here else None
    gates = journey.gate if journey else ()
    told = {f"{one.service}: {one.why}" for one in gates if signals.only_time(one)}
    return [
        one for one in story.waiting if (one.code, one.what in told) != ("GATE", True)
    ]


def waiting(one: Waiting) -> str:
    """What is waited for and what would move it."""
    until = f", until {one.until}" if one.until else ""
    left = f" ({words.span(one.left_ms)} left)" if one.left_ms is not None else ""
    return f"{one.what}{until}{left}"


def row(shares: Row) -> str:
    return ", ".join(f"{name} {words.share(bp)}" for name, bp in sorted(shares.items()))


def rows(setting: dict[str, Row] | None) -> str:
    """What a dial shows, as text; the one row of a split without its key."""
    if setting is None:
        return "nothing that all instances agree on"
    parts = [
        row(shares) if key == "*" else f"{key} → {row(shares)}"
        for key, shares in sorted(setting.items())
    ]
    return "; ".join(parts)


def dial(one: DialStory) -> str:
    """A dial in one line: what it shows, or what is wrong with it."""
    if one.fault:
        return f"dial {one.dial} cannot be read: {one.fault}"
    if one.mixed:
        odd = [seen.instance for seen in one.instances if seen.differs]
        names = ", ".join(odd) or "its instances"
        return (
            f"dial {one.dial} is MIXED: {names} differ, expected {rows(one.expected)}"
        )
    if one.rows is None:
        return f"dial {one.dial} was not read now; last confirmed {rows(one.expected)}"
    drift = "" if one.rows == one.expected else f", EXPECTED {rows(one.expected)}"
    agreed = f" ({len(one.instances)} instances agree)" if one.instances[1:] else ""
    return f"dial {one.dial} shows {rows(one.rows)}{agreed}{drift}"


def dial_trouble(one: DialStory) -> bool:
    """True when a person should look at this dial."""
    odd = one.mixed or (one.rows is not None and one.rows != one.expected)
    return bool(one.fault) or (odd and not one.moving)


def duty(one: DutyStory) -> str:
    if one.fault:
        return f"duty {one.duty} cannot be read: {one.fault}"
    if len(one.holders) != 1:
        held = " and ".join(one.holders) or "NOBODY"
        return f"duty {one.duty} is held by {held}"
    return f"duty {one.duty} is with {one.holders[0]}"
