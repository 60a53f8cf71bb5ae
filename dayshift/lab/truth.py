"""The page of truth: what the users counted, on one screen, and as JSON.

Only rendering and the final judgement; every number comes from `lab.view`.
"""

from __future__ import annotations

import datetime
from enum import StrEnum

import msgspec
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dayshift.errors import EXIT_DONE, EXIT_ERROR, EXIT_HELD
from dayshift.lab.view import Latency, PassMarks, UsersView


class Mode(StrEnum):
    GOOD = "good"
    BAD = "bad"
    BY_HAND = "by-hand"


class Truth(msgspec.Struct, frozen=True):
    """Everything that the demo found out."""

    mode: Mode
    view: UsersView
    run_exit: int
    run_ms: int
    total_ms: int
    passes: tuple[PassMarks, ...]
    retreats_ms: dict[str, int]
    versions: dict[str, str]
    weights: dict[str, int]
    held: str
    report: str
    audit: str
    audit_exit: int
    killed: int = 0
    problems: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        if self.mode is Mode.BAD:
            return self.run_exit or EXIT_ERROR
        if self.run_exit != EXIT_DONE:
            return self.run_exit
        return EXIT_ERROR if self.problems else EXIT_DONE


def problems(truth: Truth) -> tuple[str, ...]:
    """Every promise that was not kept; empty is the only good answer."""
    view = truth.view
    found = [
        (view.orders.missing, "{} confirmed orders are not there"),
        (view.orders.duplicate, "{} orders are there more than once"),
        (view.sessions_lost, "{} users were logged out"),
        (view.job.missing, "{} nights of the job did not run"),
        (view.job.duplicate, "{} nights of the job ran twice"),
        (not view.complete, "the users left before the end, so this is not all"),
        (view.unsent, "{} requests were never sent: this machine is too slow"),
    ]
    if truth.mode is Mode.GOOD:
        late = [one for one, version in truth.versions.items() if version != "2"]
        found += [
            (view.hurt, "{} requests failed"),
            (len(late), f"not upgraded: {', '.join(late)}"),
        ]
    if truth.mode is Mode.BAD:
        found.append((truth.run_exit != EXIT_HELD, "the bad release was not held"))
    if truth.mode is not Mode.BY_HAND:
        found.append((truth.audit_exit, "the audit of the journal failed"))
    return tuple(text.format(int(count)) for count, text in found if count)


def render(truth: Truth, console: Console) -> None:
    """Print the page."""
    good = not truth.problems and not (truth.mode is not Mode.BAD and truth.view.hurt)
    parts: list[RenderableType] = [_headline(truth), Text(), _users(truth.view)]
    if truth.passes:
        parts += [Text(), _regions(truth)]
    parts += [Text(), _promises(truth)]
    if truth.mode is Mode.BAD:
        parts += [Text(), *_bad_story(truth)]
    parts += [Text(problem, style="bold red") for problem in truth.problems]
    title = {
        Mode.GOOD: "What the users felt",
        Mode.BAD: "What the users felt of the bad release",
        Mode.BY_HAND: "What the users felt, by hand",
    }[truth.mode]
    style = "green" if good else "red"
    console.print(Panel(Group(*parts), title=title, border_style=style, expand=False))


def _headline(truth: Truth) -> Text:
    view = truth.view
    text = Text()
    text.append(f"{view.requests:,} requests", style="bold")
    text.append(", ")
    text.append(
        f"{view.hurt:,} failed", style="bold red" if view.hurt else "bold green"
    )
    text.append(
        f" ({view.wrong} wrong answers, {view.resets} resets,"
        f" {view.timeouts} timeouts), {view.unsent:,} never sent,"
        f" {view.slow:,} slower than 250 ms"
    )
    return text


def _users(view: UsersView) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in ("requests", "p50", "p99"):
        table.add_column(name, justify="right")
    for name, one in (
        ("before the maintenance", view.before),
        ("during", view.during),
        ("after", view.after),
    ):
        table.add_row(name, *_latency(one))
    return table


def _latency(one: Latency) -> tuple[str, str, str]:
    if not one.requests:
        return "0", "–", "–"
    return (
        f"{one.requests:,}",
        f"{one.p50_us / 1000:.1f} ms",
        f"{one.p99_us / 1000:.1f} ms",
    )


def _regions(truth: Truth) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("region")
    for name in ("version", "share", "drained", "no users", "returned", "redirect"):
        table.add_column(name, justify="right")
    for one in truth.passes:
        absence = truth.view.absences.get(one.region)
        back = (absence.back_ms or truth.view.end_ms) if absence else 0
        away = _seconds(absence.left_ms, back) if absence else "–"
        redirect = truth.view.redirect_ms.get(one.region)
        table.add_row(
            one.region,
            truth.versions.get(one.region, "?"),
            f"{truth.weights.get(one.region, 0) / 100:.2f} %",
            _seconds(one.drain_ms, one.empty_ms),
            away,
            _seconds(one.return_ms, one.done_ms),
            "–" if redirect is None else f"{redirect} ms",
        )
    return table


def _seconds(from_ms: int, to_ms: int) -> str:
    return f"{(to_ms - from_ms) / 1000:.1f} s" if 0 < from_ms <= to_ms else "–"


def _promises(truth: Truth) -> Table:
    view = truth.view
    table = Table(box=None, pad_edge=False, show_header=False)
    once = view.orders.confirmed - view.orders.missing
    whole = view.downloads - view.downloads_broken
    ran = view.job.slots - view.job.missing
    rows = [
        (
            "orders",
            f"{once:,} of {view.orders.confirmed:,} confirmed ones exist,"
            f" {view.orders.duplicate} twice",
        ),
        ("sessions", f"{view.logins} logins, {view.sessions_lost} lost"),
        ("downloads", f"{whole} of {view.downloads} long ones complete"),
        (
            "nightly job",
            f"{ran} of {view.job.slots} nights ran, {view.job.duplicate} twice,"
            f" the latest {view.job.latest_ms / 1000:.1f} s late",
        ),
    ]
    if truth.killed:
        rows.append(("controller", f"killed with -9 {truth.killed} time(s), went on"))
    minutes = f"{truth.run_ms / 1000:.0f} s of {truth.total_ms / 1000:.0f} s in all"
    rows.append(("the run took", minutes))
    if truth.audit:
        rows.append(("audit", truth.audit))
    if truth.report:
        rows.append(("report", truth.report))
    for name, text in rows:
        table.add_row(name, text)
    return table


def _bad_story(truth: Truth) -> list[Text]:
    """Three lines: what happened, whom it hurt, where things stand; then the reason."""
    view = truth.view
    lines = []
    for region, at_ms in truth.retreats_ms.items():
        first = view.first_hurt_ms
        after = f", {_seconds(first, at_ms)} after the first wrong answer"
        if not 0 < first <= at_ms:
            after = ", before any wrong answer" if not first else ""
        lines.append(f"The gate took {region} back to zero at {_clock(at_ms)}{after}.")
    lines.append(f"{view.hurt} requests were hurt, {view.slow} more were slow.")
    where = [
        f"{region} serves {truth.weights.get(region, 0) / 100:.0f} %"
        f" and has version {version}"
        for region, version in truth.versions.items()
    ]
    lines.append("; ".join(where) + ".")
    return [Text(line) for line in [*lines, "", *truth.held.splitlines()]]


def _clock(at_ms: int) -> str:
    at = datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC)
    return f"{at.astimezone():%H:%M:%S} ({at:%H:%M:%S} UTC)"
