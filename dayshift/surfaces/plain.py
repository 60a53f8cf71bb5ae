"""The story in lines: for pipes and logs, for `status`, for a hold, for `explain`.

Text only: no colour, no cursor. Nothing is decided or measured here.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import tzinfo
from textwrap import wrap

from dayshift.core.decision import Waiting
from dayshift.surfaces import gate_table, phrases, signals, words
from dayshift.surfaces.nouns import Level, PassStory, RegionStory, ServiceStory, Story

MARKS = {Level.INFO: " ", Level.GOOD: "+", Level.WARN: "!", Level.BAD: "X"}
WIDTH = 88
TAIL = 8
"""Lines of the timeline on the page of `status`."""
QUIET_CODES = frozenset({"ACTING", "HELD", "PAUSED"})
"""Waits that have their own line already, or pass before anybody reads it."""


def lines(
    previous: Story | None, story: Story, zone: tzinfo | None = None
) -> list[str]:
    """What changed since `previous`, one line each; the first story has a header."""
    out: list[str] = [] if previous else header(story, zone)
    seen = previous.timeline[-1].seq if previous and previous.timeline else 0
    out.extend(
        _line(one.wall_ms, MARKS[one.level], one.region, one.text, zone)
        for one in story.timeline
        if one.seq > seen
    )
    out.extend(
        _line(story.wall_ms, mark, region, text, zone)
        for mark, region, text in _changes(previous, story)
    )
    return out


def header(story: Story, zone: tzinfo | None = None) -> list[str]:
    """Which run this is, and which clock its lines use."""
    return [
        f"dayshift · {story.estate} · {phrases.subject(story)}",
        f"run {story.run or 'none'} · plan {story.digest or 'none'} · "
        f"{words.dated(story.wall_ms, zone)}",
    ]


def _line(wall_ms: int, mark: str, region: str, text: str, zone: tzinfo | None) -> str:
    flat = " ".join(text.split())
    return f"{words.clock(wall_ms, zone)} {mark} {region:<8} {flat}"


def _turned(previous: Story | None, story: Story) -> str:
    """A pause, and its end."""
    before = previous.status if previous else ""
    if story.status == "paused" and before != "paused":
        return f"PAUSED by {story.paused_by}"
    return "goes on" if (before, story.status) == ("paused", "running") else ""


def _changes(previous: Story | None, story: Story) -> Iterable[tuple[str, str, str]]:
    """Mark, region and text of what no record tells: waits, dials, output of steps."""
    turned = _turned(previous, story)
    if turned:
        yield "!", "", turned
    before = {one.code for one in previous.waiting} if previous else set()
    for one in story.waiting:
        if one.code not in before | QUIET_CODES:
            yield " ", story.region, f"waits: {phrases.waiting(one)}"
    ill = (
        {one.dial for one in previous.dials if phrases.dial_trouble(one)}
        if (previous)
        else set()
    )
    for dial in story.dials:
        if phrases.dial_trouble(dial) and dial.dial not in ill:
            yield "!", "", phrases.dial(dial)
    said = _said(previous)
    for region, line in _said(story).items():
        if line and line != said.get(region):
            yield " ", region, f"| {line}"
    for reason in story.warnings:
        if previous is None or reason not in previous.warnings:
            yield "!", "", f"{reason.code}: {reason.what}"
    if not story.watched and (previous is None or previous.watched):
        yield "!", "", phrases.unwatched(story)


def _said(story: Story | None) -> dict[str, str]:
    """The last line of the running step of each region."""
    if story is None:
        return {}
    return {
        one.name: step.line
        for one in story.regions
        if one.journey
        for step in one.journey.steps
        if step.status == "running"
    }


def page(story: Story, zone: tzinfo | None = None) -> str:
    """Everything about the present moment, for `dayshift status`."""
    blocks = [_heading(story, zone)]
    if story.regions:
        blocks.append(_table(story))
    here = story.here
    if here is not None and story.status != "closed":
        blocks.append(_journey(here))
    blocks.append(_standing(story))
    if story.timeline:
        blocks.append(
            [
                _line(one.wall_ms, MARKS[one.level], one.region, one.text, zone)
                for one in story.timeline[-TAIL:]
            ]
        )
    if story.exits:
        blocks.append(_exits(story))
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _heading(story: Story, zone: tzinfo | None) -> list[str]:
    out = [
        f"{story.estate} · {phrases.status(story).upper()} · "
        f"{words.dated(story.wall_ms, zone)}",
        phrases.subject(story),
    ]
    if story.run:
        out.append(f"run {story.run} · plan {story.digest} · {phrases.people(story)}")
    if story.hold is not None:
        out.append(f"held for {words.span(story.hold.for_ms)}: {story.hold.reason}")
    if story.status == "closed" and story.why:
        out.append(story.why)
    if story.status not in ("closed", "idle") and not story.watched:
        out.append(phrases.unwatched(story))
    return out + _warned(story)


def _warned(story: Story) -> list[str]:
    """What is wrong with this journal itself, where a hold does not say it already."""
    held = story.hold.reason.code if story.hold else ""
    return [f"WARNING {one}" for one in story.warnings if one.code != held]


def _table(story: Story) -> list[str]:
    head = ("region", "phase", "service", "share", "usual", "req/s", "errors", "p50")
    body: list[tuple[str, ...]] = [(*head, "p99", "version")]
    for region in story.regions:
        name, phase = region.name, phrases.phase(region)
        found = phrases.version(region)
        for service in region.services:
            body.append((name, phase, *_figures(service), found))
            name = phase = found = ""
    wide = [max(len(row[n]) for row in body) for n in range(len(body[0]))]
    right = range(3, 9)
    return [
        "  ".join(
            cell.rjust(wide[n]) if n in right else cell.ljust(wide[n])
            for n, cell in enumerate(row)
        ).rstrip()
        for row in body
    ]


def _figures(service: ServiceStory) -> tuple[str, ...]:
    shares = (words.share(service.share_bp), words.share(service.baseline_bp))
    if not service.seen:
        return (service.service, *shares, "blind", "", "", "")
    return (
        service.service,
        *shares,
        words.per_second(service.mrps),
        words.error_rate(service.error_ppm),
        words.took(service.p50_us),
        words.took(service.p99_us),
    )


def _all_done(journey: PassStory) -> bool:
    return all(one.status == "done" for one in journey.steps)


def _journey(region: RegionStory, table: bool = False) -> list[str]:
    journey = region.journey
    assert journey is not None
    at = ", ".join(filter(None, (journey.phase, phrases.rung(journey))))
    out = [f"{region.name} is {at}, for {words.span(journey.phase_ms)}"]
    out += [f"  work   {phrases.step(one)}" for one in journey.steps]
    if journey.phase in ("handing-over", "emptying"):
        out += [f"  empty  {phrases.quiet(one)}" for one in journey.quiet]
    for one in journey.gate:
        out.append(f"  gate   {one.kind}, {phrases.gate(one)}")
        if not table:
            out += [f"         {said}" for said in signals.explained(one)]
    # Before the work is done the old version is the right one.
    expected = journey.expect_version if _all_done(journey) else ""
    out += [f"  probe  {phrases.probe(one, expected)}" for one in region.probes]
    told = [one for one in journey.gate if one.signals]
    if table and told:
        out += ["", gate_table.TITLE, *gate_table.lines(told)]
    return out


def _open(story: Story) -> list[Waiting]:
    """The waits that the hold itself does not tell already."""
    return [one for one in story.waiting if one.code != "HELD"]


def _standing(story: Story) -> list[str]:
    """What holds beside the pass: waits, times, dials, duties, brackets."""
    out = [f"waits for  {phrases.waiting(one)}" for one in _open(story)]
    if story.times.region and story.status not in ("closed", "idle"):
        out.append(f"times      {phrases.times(story)}")
    out += [
        f"dial       {phrases.dial(one).removeprefix('dial ')}" for one in story.dials
    ]
    out += [
        f"duty       {phrases.duty(one).removeprefix('duty ')}" for one in story.duties
    ]
    if story.brackets:
        out.append(f"open       {', '.join(story.brackets)}")
    if story.accepted:
        out.append(f"accepted   {', '.join(story.accepted)}")
    if story.left_drained:
        out.append(f"drained    {', '.join(story.left_drained)}, left so")
    if story.holder:
        out.append(f"controller {story.holder}, epoch {story.epoch}")
    out += [
        f"           {one.name} {one.role} since {words.both(one.since_wall_ms)}"
        for one in story.controllers
    ]
    return out


def held_page(story: Story, zone: tzinfo | None = None) -> str:
    """A held run: three lines of what happened, the exits, and nothing else."""
    hold = story.hold
    if hold is None:
        raise ValueError("the run is not held")
    reason = hold.reason
    where = f" {hold.region}," if hold.region else ""
    out = [
        f"HELD{where} {reason.code}, since {words.both(hold.wall_ms, zone)}: "
        f"{reason.what}",
        f"  because  {reason.because or 'see `dayshift explain`'}",
        f"  so       {reason.so or 'nothing more moves'}",
        "",
        *_exits(story),
    ]
    return "\n".join(out) + "\n"


def _exits(story: Story) -> list[str]:
    wide = max((len(one.command) for one in story.exits), default=0)
    out = []
    for one in story.exits:
        text = wrap(one.consequence, max(40, WIDTH - wide - 4)) or [""]
        out.append(f"  {one.command:<{wide}}  {text[0]}")
        out.extend(f"  {'':<{wide}}  {more}" for more in text[1:])
    return ["the ways on", *out] if out else []


def explain_page(story: Story, zone: tzinfo | None = None) -> str:
    """Why it waits, on which evidence, and what would move it."""
    if not story.run:
        nothing = f"{story.estate}: no run is open; nothing is waited for"
        return "\n".join([nothing, *_warned(story)]) + "\n"
    out = [
        f"{story.estate} · {phrases.status(story).upper()} · "
        f"{words.both(story.wall_ms, zone)}"
    ]
    here = story.here
    if story.status == "closed":
        ended = "the run has ended; nothing is waited for"
        return "\n".join([*out, ended, *_warned(story)]) + "\n"
    out += _warned(story)
    if here is not None:
        out += ["", *_journey(here, table=True)]
    if not story.watched:
        out += ["", phrases.unwatched(story)]
    elif not story.waiting:
        out += ["", "nothing is waited for: it acts"]
    if story.hold is not None:
        out += ["", f"held for {words.span(story.hold.for_ms)}: {story.hold.reason}"]
    for one in _open(story):
        out += ["", f"waits for  {one.what}  [{one.code}]"]
        if one.until:
            out.append(f"  goes on when  {one.until}")
        if one.left_ms is not None:
            out.append(f"  at the latest in  {words.span(one.left_ms)}")
    if story.times.region:
        out += ["", f"times      {phrases.times(story)}"]
    if story.exits:
        out += ["", *_exits(story)]
    return "\n".join(out) + "\n"
