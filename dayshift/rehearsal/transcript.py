"""One rehearsal in words: every decision as `dayshift watch` would have told it, with
what went wrong in between, and what the checkers say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from dayshift.model.records import Record
from dayshift.rehearsal.faults import find
from dayshift.rehearsal.history import History
from dayshift.rehearsal.play import Played, Result
from dayshift.surfaces import events, words
from dayshift.surfaces.nouns import Level

SHOWN = {
    "crash": "the controller dies",
    "lead": "a controller leads",
    "down": "the region is down",
    "up": "the region is up again",
    "drift": "somebody moves the dial",
    "mended": "the dial is put back",
    "revert": "the dial goes back by itself",
}


def lines(played: Played) -> list[str]:
    """The whole of it, in the order of time since the run opened."""
    history, result = played.history, played.result
    opened = _opened(history)
    told = [*_records(history), *_events(history), *_violations(result)]
    out = [headline(result), ""]
    for at_ms, mark, text in sorted(told, key=lambda one: one[0]):
        out.append(f"{clock(at_ms - opened)} {mark} {text}")
    return [*out, "", *verdict(result)]


def headline(result: Result) -> str:
    came = ", ".join(result.faults) or "none"
    return f"seed {result.seed} · {result.ending} · faults drawn: {came}"


def verdict(result: Result) -> list[str]:
    """What became of it, in a few lines."""
    out = [f"ended {result.ending} after {words.span(result.duration_ms)}"]
    if result.refused:
        out.append(f"  {' '.join(result.refused.split())}")
    hurt = ", ".join(f"{count} by {why}" for why, count in result.hurt.items())
    out.append(f"users {result.users}, failed: {hurt or 'none'}")
    out += [f"VIOLATION {one.invariant}: {one.what}" for one in result.violations]
    return out


def clock(ms: int) -> str:
    """Since the run opened: `h:mm:ss.mmm`."""
    sign, ms = ("-", -ms) if ms < 0 else (" ", ms)
    seconds, rest = divmod(ms, 1000)
    return (
        f"{sign}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:03}"
    )


def _opened(history: History) -> int:
    opened = history.bodies("run-opened")
    return int(opened[0]["at"]["mono_ms"]) if opened else 0


Told = tuple[int, str, str]


def _records(history: History) -> Iterable[Told]:
    for raw in history.records:
        record = msgspec.convert(raw, Record)
        line = events.event_of(record)
        if line is not None:
            mark = "X" if line.level is Level.BAD else " "
            where = f"{line.region}: " if line.region else ""
            yield record.at.mono_ms, mark, f"{where}{' '.join(line.text.split())}"


def _events(history: History) -> Iterable[Told]:
    for one in history.events:
        if one.kind in ("fault", "over"):
            word = "begins" if one.kind == "fault" else "is over"
            yield one.at_ms, "~", f"{one.what} {word}: {find(one.what).says}"
        elif one.kind in SHOWN:
            more = f" at {one.more[0]}" if one.kind == "crash" and one.more else ""
            yield one.at_ms, "~", f"{SHOWN[one.kind]} ({one.what}){more}"


def _violations(result: Result) -> Iterable[Told]:
    for one in result.violations:
        evidence = f" [{'; '.join(one.evidence)}]" if one.evidence else ""
        yield one.at_ms, "!", f"VIOLATION {one.invariant}: {one.what}{evidence}"


def brief(results: Sequence[Result]) -> list[str]:
    """One line for each result that broke a promise."""
    return [
        f"  seed {one.seed}: {violation.invariant}: {violation.what}"
        for one in results
        for violation in one.violations[:1]
    ]
