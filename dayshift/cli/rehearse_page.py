"""What a campaign of rehearsals looks like on paper."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from dayshift.rehearsal.advice import Advice
from dayshift.rehearsal.faults import find
from dayshift.rehearsal.summary import Summary
from dayshift.surfaces import words

FAULTS_SHOWN = 8
WIDTH = 79
INDENT = " " * 11


def page(found: Summary, advised: Sequence[Advice], change: str) -> list[str]:
    """Endings, times, users, faults, advice; then what was broken."""
    out = [
        f"{found.runs} rehearsals of {change}, plan {found.digest[:12]}"
        + (f" ({found.asked} asked for)" if found.runs < found.asked else ""),
        "",
        *_endings(found),
        *_times(found),
        *_users(found),
        "",
        *_faults(found),
        *_advice(advised),
        "",
        *_promises(found, change),
    ]
    return out


def _endings(found: Summary) -> list[str]:
    parts = [f"{count} {name}" for name, count in found.endings.items()]
    held = found.held_on_the_way
    return [
        f"ended      {', '.join(parts) or 'none'}",
        f"held       {held} stopped on the way and asked for a person",
        *_codes(found),
    ]


def _codes(found: Summary) -> list[str]:
    """The guards that held most, each with how often; no word is broken."""
    codes = [f"{code} {n}" for code, n in list(found.hold_codes.items())[:5]]
    return _wrapped(INDENT + ", ".join(codes))


def _wrapped(text: str) -> list[str]:
    return wrap(
        text,
        WIDTH,
        subsequent_indent=INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _times(found: Summary) -> list[str]:
    return [
        f"duration   median {words.span(found.duration_median_ms)}, "
        f"p95 {words.span(found.duration_p95_ms)} (of those that ended done)",
        f"away       a region had no users for up to {words.span(found.absent_p95_ms)} "
        "(p95)",
    ]


def _users(found: Summary) -> list[str]:
    by = ", ".join(f"{count:,} by {why}" for why, count in found.hurt.items())
    simulated = words.many(found.users, "request")
    failed = f"failed beyond what is usual: {by or 'none'}"
    return [
        *_wrapped(f"users      {simulated} simulated; {failed}"),
        f"{INDENT}sent into harm by Dayshift's own moves: {found.ours:,}",
    ]


def _faults(found: Summary) -> list[str]:
    stopping = [one for one in found.faults if one.stopped or one.users_hurt]
    if not stopping:
        return []
    out = ["faults that stopped the run, or hurt users, most"]
    for one in stopping[:FAULTS_SHOWN]:
        hurt = f", {one.users_hurt:,} users failed" if one.users_hurt else ""
        out.append(f"  {one.name:<26} stopped {one.stopped} of {one.runs}{hurt}")
        out.append(f"  {'':<26} {find(one.name).says}")
    return [*out, ""]


def _advice(advised: Sequence[Advice]) -> list[str]:
    if not advised:
        return ["to change  nothing that these rehearsals could show"]
    out = ["to change"]
    for one in advised:
        out += [f"  {line}" for line in wrap(one.change, WIDTH)]
        out += [f"    {line}" for line in wrap(f"because {one.because}", WIDTH - 2)]
    return out


def _promises(found: Summary, change: str) -> list[str]:
    if not found.violations:
        return ["promises   none was broken"]
    broken = ", ".join(f"{name} {count}" for name, count in found.violations.items())
    return [
        f"BROKEN     {broken}",
        f"           replay: dayshift rehearse {change} --replay {found.bad_seeds[0]}",
    ]
