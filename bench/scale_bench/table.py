"""Sizes as a growth table, what grows how, and which measures are missed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from scale_bench.measure import Loading, Seeing, Size

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
STEP_MS_MAX, MEMORY_MIB_MAX, LOAD_MS_MAX = 50, 300, 10_000
N_LOG_N_SLACK = 0.15
"""What caches of the processor may add to an exponent: the working set of the largest
size is beyond them."""
FLOOR_US = 200
"""Less than this is noise: no exponent is taken of it."""


class Measured(msgspec.Struct, frozen=True):
    """Everything of one run of the benchmark."""

    sizes: tuple[Size, ...]
    seen: tuple[Seeing, ...]
    loaded: tuple[Loading, ...]


Value = Callable[[Size], int]
TIMES: tuple[tuple[str, Value], ...] = (
    ("plan", lambda one: one.plan_us),
    ("review", lambda one: one.review_us),
    ("seal the plan", lambda one: one.seal_us),
    ("decide, preflight", lambda one: one.decide_us["preflight"]),
    ("decide, draining", lambda one: one.decide_us["draining"]),
    ("decide, holding", lambda one: one.decide_us["holding"]),
    ("decide, working", lambda one: one.decide_us["working"]),
    ("decide, returning", lambda one: one.decide_us["returning"]),
    ("fold of one step, longest", lambda one: max(one.fold_us.values())),
    ("**decide + fold, longest**", lambda one: one.step_us),
    ("interlock, one action", lambda one: max(one.interlock_us.values())),
    ("invariants", lambda one: one.invariants_us),
    ("what the journal keeps", lambda one: one.kept_us),
)
STEP = "**decide + fold, longest**"


def markdown(measured: Measured) -> str:
    """The table, sizes as columns."""
    sizes = measured.sizes
    heads = [f"{one.regions:,} regions" for one in sizes]
    lines = [
        f"| {sizes[0].services} services | {' | '.join(heads)} | exponent |",
        f"|---|{'---:|' * (len(sizes) + 1)}",
        _line("places", [f"{one.places:,}" for one in sizes], ""),
    ]
    for name, value in TIMES:
        figures = [_ms(value(one)) for one in sizes]
        lines.append(_line(name, figures, _shown(exponent(sizes, value))))
    lines.append(_line("a look of the watch", *_seen(measured)))
    lines.append(_line("load `dayshift.yaml`", *_loaded(measured)))
    lines += [
        _line("plan, bytes", [f"{one.plan_bytes:,}" for one in sizes], ""),
        _line("its record", [f"{one.plan_record_bytes:,}" for one in sizes], ""),
        _line("a kept sight, bytes", [f"{one.kept_bytes:,}" for one in sizes], ""),
        _line("**memory, core**", [_mib(one.memory_kib) for one in sizes], ""),
        _line("memory, watch", [_mib(one.memory_kib) for one in measured.seen], ""),
        _line("memory, loading", [_mib(one.memory_kib) for one in measured.loaded], ""),
        _line(
            "the file, bytes", [f"{one.file_bytes:,}" for one in measured.loaded], ""
        ),
    ]
    return "\n".join(lines) + "\n"


def _seen(measured: Measured) -> tuple[list[str], str]:
    looks = [(one.regions, one.sight_us) for one in measured.seen]
    return [_ms(us) for _, us in looks], _shown(_slope(looks))


def _loaded(measured: Measured) -> tuple[list[str], str]:
    loads = [(one.regions, one.load_us) for one in measured.loaded]
    return [_ms(us) for _, us in loads], _shown(_slope(loads))


def _line(name: str, figures: Sequence[str], last: str) -> str:
    return f"| {name} | {' | '.join(figures)} | {last} |"


def _ms(us: int) -> str:
    return f"{us / 1000:.1f} ms" if us < 100_000 else f"{us / 1000:,.0f} ms"


def _mib(kib: int) -> str:
    return f"{kib / 1024:,.0f} MiB"


def _shown(slope: float | None) -> str:
    return "" if slope is None else f"{slope:.2f}"


def exponent(sizes: Sequence[Size], value: Value) -> float | None:
    """By which power of the size a value grows between the two largest sizes."""
    return _slope([(one.places, value(one)) for one in sizes])


def _slope(points: Sequence[tuple[int, int]]) -> float | None:
    (before, small), (after, large) = points[-2:]
    if min(small, large) < FLOOR_US or before == after:
        return None
    return math.log(large / small) / math.log(after / before)


def allowed(sizes: Sequence[Size]) -> float:
    """The exponent of n log n between the two largest sizes, with some slack."""
    small, large = sizes[-2].regions, sizes[-1].regions
    grown = large * math.log(large) / (small * math.log(small))
    return math.log(grown) / math.log(large / small) + N_LOG_N_SLACK


def missed(measured: Measured) -> tuple[str, ...]:
    """Every measure that is not reached."""
    found = []
    largest = measured.sizes[-1]
    if largest.step_us > STEP_MS_MAX * 1_000:
        took = _ms(largest.step_us)
        found.append(f"decide + fold take {took} (limit {STEP_MS_MAX} ms)")
    if largest.memory_kib > MEMORY_MIB_MAX * 1024:
        took = _mib(largest.memory_kib)
        found.append(f"the core takes {took} (limit {MEMORY_MIB_MAX} MiB)")
    took_us = measured.loaded[-1].load_us
    if took_us > LOAD_MS_MAX * 1_000:
        found.append(f"the file loads in {_ms(took_us)} (limit {LOAD_MS_MAX} ms)")
    limit = allowed(measured.sizes)
    for name, value in TIMES:
        slope = exponent(measured.sizes, value)
        if slope is not None and slope > limit:
            found.append(f"{name} grows by {slope:.2f} (limit {limit:.2f})")
    return tuple(found)


def write(page: Path, table: str) -> None:
    """Put the table between the marks of the page."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n\n{table}\n{END}{after}", encoding="utf-8")
