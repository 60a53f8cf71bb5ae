"""The page at the end of the network demo: what the users counted, by kind and region.

Only rendering and the final judgement.
"""

from __future__ import annotations

import msgspec
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dayshift.errors import EXIT_DONE, EXIT_ERROR
from dayshift.lab.network.spec import REGIONS
from dayshift.lab.network.users import Counted, Felt
from dayshift.lab.view import PassMarks

KINDS = {
    "h1": "HTTP/1.1, kept alive",
    "h2": "HTTP/2",
    "stream": "long connections",
}


class Shown(msgspec.Struct, frozen=True):
    """All that the demo found out; `problems` are promises that were not kept."""

    felt: Felt
    run_exit: int
    took_s: float
    passes: tuple[PassMarks, ...]
    versions: dict[str, str]
    led_back: bool
    audit: str
    problems: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        if self.run_exit != EXIT_DONE:
            return self.run_exit
        return EXIT_ERROR if self.problems else EXIT_DONE


def shown(
    felt: Felt,
    run_exit: int,
    took_s: float,
    passes: tuple[PassMarks, ...],
    versions: dict[str, str],
    led_back: bool,
    audit: str,
) -> Shown:
    """The same, judged."""
    found = Shown(felt, run_exit, took_s, passes, versions, led_back, audit)
    late = [one for one, version in versions.items() if version != "2"]
    said = [
        (felt.failed, f"{felt.failed} requests failed"),
        (not felt.kinds, "the users were not counted"),
        (felt.unsent, f"{felt.unsent} requests were never sent: too slow a machine"),
        (late, f"not upgraded: {', '.join(late)}"),
        (not led_back, "the names and routes do not lead where they led before"),
    ]
    return msgspec.structs.replace(
        found, problems=tuple(text for wrong, text in said if wrong)
    )


def render(found: Shown, console: Console) -> None:
    """Print the page."""
    asked = sum(one.asked for one in found.felt.kinds.values())
    reset = sum(one.reset for one in found.felt.kinds.values())
    style = "bold red" if found.felt.failed else "bold green"
    headline = Text()
    headline.append(f"{asked:,} requests", style="bold")
    headline.append(", ")
    headline.append(f"{found.felt.failed:,} failed", style=style)
    headline.append(
        f", {reset:,} connections reset, {found.felt.unsent:,} requests never sent"
    )
    parts: list[RenderableType] = [
        headline,
        Text(),
        _kinds(found.felt),
        Text(),
        _regions(found),
        Text(),
    ]
    parts += [Text(f"the run took {found.took_s:.0f} s"), Text(f"audit: {found.audit}")]
    parts += [Text(problem, style="bold red") for problem in found.problems]
    border = "red" if found.problems or found.run_exit else "green"
    title = "What the users felt"
    console.print(Panel(Group(*parts), title=title, border_style=border, expand=False))


def _kinds(felt: Felt) -> Table:
    table = _table("", "requests", "failed", "reset", "p50", "p99", *REGIONS)
    for kind, name in KINDS.items():
        one = felt.kinds.get(kind, Counted())
        took = [f"{ms:.1f} ms" if ms else "–" for ms in (one.p50_ms, one.p99_ms)]
        served = [f"{one.regions.get(region, 0):,}" for region in REGIONS]
        counts = [f"{n:,}" for n in (one.asked, one.failed, one.reset)]
        table.add_row(name, *counts, *took, *served)
    return table


def _regions(found: Shown) -> Table:
    table = _table("region", "version", "empty after", "away", "back in full after")
    for one in found.passes:
        table.add_row(
            one.region,
            found.versions.get(one.region) or "none",
            _span(one.drain_ms, one.empty_ms),
            _span(one.empty_ms, one.return_ms),
            _span(one.return_ms, one.done_ms),
        )
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left")
    return table


def _span(from_ms: int, to_ms: int) -> str:
    return f"{(to_ms - from_ms) / 1000:.0f} s" if 0 < from_ms <= to_ms else "–"
