"""The story laid out for a terminal of a given size: one frame is a list of lines.

What matters most keeps its place when there is little room: who and when, the regions,
the pass, then what it waits for or the ways out, and the timeline with what is left.
"""

from __future__ import annotations

from datetime import tzinfo

from rich.text import Text

from dayshift.surfaces import bars, phrases, words
from dayshift.surfaces.bars import Glyphs
from dayshift.surfaces.detail import detail, fold, labelled
from dayshift.surfaces.nouns import HoldStory, RegionStory, ServiceStory, Story

STATUS_STYLES = {
    "running": "bold green",
    "paused": "bold yellow",
    "held": "bold red",
    "closed": "bold",
    "idle": "dim",
}
FIGURES = 45
"""Columns right of a share bar: share, requests per second, errors, p99, version."""
BAD_ERRORS_PPM = 10_000
MIDDLE = 9
"""Lines that the middle keeps at least, so that the timeline below it stands still."""
PLAIN = str.maketrans("·–…→µ", "--~>u")


def frame(
    story: Story, width: int, height: int, glyphs: Glyphs, zone: tzinfo | None = None
) -> list[Text]:
    """Exactly `height` lines of at most `width` columns."""
    middle = _middle(story, width, glyphs)
    if not story.hold:
        keep = max(MIDDLE, min(12, height // 3))
        middle = [*middle, *[Text()] * keep][:keep]
    lines = [*_top(story, width, max(3, height // 3), glyphs, zone), *middle]
    lines += _timeline(story, width, height - len(lines), glyphs, zone)
    return [_fit(one, width, glyphs) for one in lines[:height]]


def still(
    story: Story, width: int, glyphs: Glyphs, zone: tzinfo | None = None
) -> list[Text]:
    """The picture that is left behind: as long as it needs, without the timeline."""
    rows = 1 + sum(len(one.services) for one in story.regions)
    lines = [*_top(story, width, rows, glyphs, zone), *_middle(story, width, glyphs)]
    return [_fit(one, width, glyphs) for one in lines]


def _top(
    story: Story, width: int, rows: int, glyphs: Glyphs, zone: tzinfo | None
) -> list[Text]:
    """Who and when, at most `rows` lines of regions, and the passes."""
    out = _head(story, width, glyphs, zone) + _regions(story, width, rows, glyphs)
    return [*out, Text(), *_strips(story, width, glyphs), Text()]


def _fit(line: Text, width: int, glyphs: Glyphs) -> Text:
    """Cut a line that is too long, visibly, and write it as the terminal can."""
    if glyphs is bars.ASCII:
        line = line.copy()
        line.plain = line.plain.translate(PLAIN).encode("ascii", "replace").decode()
    if line.cell_len > width:
        line = line.copy()
        line.truncate(width - 1)
        line.append(glyphs.more)
    line.no_wrap = True
    return line


def _sides(left: Text, right: Text, width: int) -> Text:
    """One line with text at both ends; the right end goes first when it is narrow."""
    gap = width - left.cell_len - right.cell_len
    return Text.assemble(left, " " * gap, right) if gap > 0 else left


def _head(story: Story, width: int, glyphs: Glyphs, zone: tzinfo | None) -> list[Text]:
    said = f"{glyphs.past} {phrases.status(story).upper()}"
    status = Text(said, STATUS_STYLES.get(story.status, ""))
    name = Text.assemble(" ", (story.estate, "bold"), "  ", status)
    clock = Text(f"{words.both(story.wall_ms, zone)} ", "dim")
    duty = Text(f"on duty {story.on_duty} " if story.on_duty else "", "dim")
    warned = [Text(f" {one.code}: {one.what}", "bold red") for one in story.warnings]
    return [
        _sides(name, clock, width),
        _sides(Text(f" {phrases.subject(story)}"), duty, width),
        *warned,
        Text(glyphs.line * width, "dim"),
    ]


def _regions(story: Story, width: int, most: int, glyphs: Glyphs) -> list[Text]:
    """A bar and the users' figures for each service in each region."""
    rows = [(one, service) for one in story.regions for service in one.services]
    if not rows:
        return []
    many = len({service.service for _, service in rows}) > 1
    names = [f"{r.name} {s.service}" if many else r.name for r, s in rows]
    label = min(24, max(map(len, names)))
    wide = max(8, width - label - FIGURES - 5)
    title = f"share of users ({glyphs.mark} usual)"[:wide]
    head = Text(f"   {'':<{label}} {title:<{wide}}", "dim")
    head.append(f"{'':>10}{'req/s':>8}{'errors':>9}{'p99':>8}  version", "dim")
    out = [head]
    for (region, service), name in zip(rows, names, strict=True):
        lead = glyphs.here_region if region.name == story.region else " "
        style = "bold" if region.name == story.region else ""
        line = Text.assemble((f" {lead} {name[:label]:<{label}} ", style))
        line.append_text(_bar(service, wide, glyphs))
        out.append(line.append_text(_figures(region, service)))
    if len(out) > most:
        more = len(out) - most + 1
        out = [*out[: most - 1], Text(f"   and {more} more", "dim")]
    return out


def _bar(service: ServiceStory, width: int, glyphs: Glyphs) -> Text:
    whole = service.share_bp is not None and service.share_bp >= service.baseline_bp
    style = "cyan" if whole else "yellow"
    usual = service.baseline_bp
    return bars.share_bar(service.share_bp, usual, width, style, glyphs)


def _figures(region: RegionStory, service: ServiceStory) -> Text:
    out = Text.assemble((f"{words.share(service.share_bp):>10}", "bold"))
    blind = phrases.blindness(service)
    if blind:
        return out.append(f"  {blind}", "yellow")
    out.append(f"{words.per_second(service.mrps):>8}")
    bad = service.error_ppm
    hurt = "bold red" if bad >= BAD_ERRORS_PPM else "yellow" if bad else "green"
    out.append(f"{words.error_rate(bad):>9}", hurt if service.mrps else "dim")
    out.append(f"{words.took(service.p99_us):>8}")
    return out.append(f"  {phrases.version(region)}", "dim")


def _strips(story: Story, width: int, glyphs: Glyphs) -> list[Text]:
    """Each pass of the run on one line; of many, those around the present one."""
    names = list(story.order)
    at = names.index(story.region) if story.region in names else 0
    shown = names[max(0, at - 1) : max(0, at - 1) + 4]
    label = max((len(one) for one in names), default=0)
    out = []
    for name in shown:
        region = story.region_of(name)
        if region is None or region.journey is None:
            continue
        line = Text(f"   {name:<{label}} ")
        line.append_text(bars.strip(region.journey, width - label - 14, glyphs))
        if region.journey.current and story.status != "closed":
            line.append(f"  {words.span(region.journey.phase_ms)}", "dim")
        out.append(line)
    return out


def _middle(story: Story, width: int, glyphs: Glyphs) -> list[Text]:
    """What the present phase is about, what is wrong, and what is waited for."""
    if story.hold is not None:
        return _held(story, story.hold, width)
    out = _alarms(story)
    here = story.here
    if story.status == "closed":
        return [*out, *_ended(story, width)]
    if here is not None and here.journey is not None:
        out += detail(here, here.journey, width, glyphs)
    if story.times.region:
        out += labelled("times", phrases.times(story), width, 1)
    lines = 2 if story.gated else 3
    for one in phrases.untold(story)[:3]:
        out += labelled("waits for", phrases.waiting(one), width, lines)
    for exit_ in story.exits:
        out += labelled(exit_.command, exit_.consequence, width, 2)
    return out


def _ended(story: Story, width: int) -> list[Text]:
    took = words.span(story.closed_wall_ms - story.opened_wall_ms)
    said = f"{story.result} after {took}"
    why = f": {story.why}" if story.why else ""
    return labelled("the end", said + why, width, 4, "bold")


def _alarms(story: Story) -> list[Text]:
    said = [phrases.dial(one) for one in story.dials if phrases.dial_trouble(one)]
    said += [
        phrases.duty(one) for one in story.duties if one.fault or len(one.holders) != 1
    ]
    if not story.watched and story.status not in ("closed", "idle"):
        said.append(phrases.unwatched(story))
    return [Text(f"   ! {one}", "bold yellow") for one in said]


def _held(story: Story, hold: HoldStory, width: int) -> list[Text]:
    """What happened, and the ways on with their consequences."""
    title = Text.assemble((f"   {hold.reason.code}", "bold red"))
    title.append(f"  held for {words.span(hold.for_ms)}", "dim")
    out = [*_alarms(story), title]
    out += [Text(f"   {one}") for one in fold(hold.reason.what, width - 4, 3)]
    if hold.reason.so:
        out += [Text(f"   {one}") for one in fold(hold.reason.so, width - 4, 2)]
    if story.times.region:
        out.append(Text(f"   {phrases.times(story)}", "dim"))
    out.append(Text())
    wide = max((len(one.command) for one in story.exits), default=0)
    for one in story.exits:
        folded = fold(one.consequence, max(20, width - wide - 6), 3)
        out.append(Text.assemble((f"   {one.command:<{wide}}  ", "bold"), folded[0]))
        out += [Text(f"   {'':<{wide}}  {more}") for more in folded[1:]]
    return out


def _timeline(
    story: Story, width: int, room: int, glyphs: Glyphs, zone: tzinfo | None
) -> list[Text]:
    """The newest lines that fit, under a rule; blank lines fill the rest."""
    if room < 2:
        return [Text()] * max(0, room)
    label = max((len(one.name) for one in story.regions), default=0)
    out = [Text(glyphs.line * width, "dim")]
    for one in story.timeline[-(room - 1) :]:
        line = Text.assemble((f" {words.clock(one.wall_ms, zone)} ", "dim"))
        style = bars.LEVEL_STYLES[one.level]
        mark = bars.LEVEL_MARKS[one.level]
        text = " ".join(one.text.split())
        out.append(line.append(f"{mark} {one.region:<{label}} {text}", style))
    return out + [Text()] * (room - len(out))
