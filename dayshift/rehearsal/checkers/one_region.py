"""Invariant 2: one region is out at a time, in the whole estate, by our own writes."""

from __future__ import annotations

from typing import Any

import msgspec

from dayshift.rehearsal.checkers.seeing import Case, Violation, out_of

NAME = "one-region"
GONE = (
    "draining",
    "handing-over",
    "emptying",
    "empty",
    "working",
    "catching-up",
    "warming",
    "validating",
    "returning",
    "soaking",
)


def check(case: Case) -> list[Violation]:
    return [*_writes(case), *_others(case), *_phases(case)]


def _writes(case: Case) -> list[Violation]:
    found = []
    out: dict[str, list[str]] = {}
    for write, _ in case.obeyed():
        setting = msgspec.to_builtins(write.setting)
        out[write.dial] = out_of(setting, case.service_of(write.dial))
        regions = sorted({name for some in out.values() for name in some})
        if len(regions) > 1:
            what = f"{', '.join(regions)} are below their usual share together"
            found.append(Violation(NAME, write.at_ms, what, (write.dial,)))
    return found


def _others(case: Case) -> list[Violation]:
    """A write for one region takes nothing away from another."""
    found = []
    for write, action in case.obeyed():
        region = action.get("region", "")
        if not region or "/fence/" in action["key"]:
            continue
        setting = msgspec.to_builtins(write.setting)
        out = out_of(setting, case.service_of(write.dial))
        others = sorted(set(out) - {region, *case.plan["out"]})
        if others:
            what = f"a write for {region} leaves {', '.join(others)} short"
            found.append(Violation(NAME, write.at_ms, what, (action["key"],)))
    return found


def _phases(case: Case) -> list[Violation]:
    found = []
    now: dict[str, str] = {}
    for one in case.kinds("phased"):
        body: dict[str, Any] = one["body"]
        now[body["region"]] = body["new"]
        gone = sorted(name for name, phase in now.items() if phase in GONE)
        if len(gone) > 1:
            what = f"{', '.join(gone)} are under maintenance together"
            found.append(Violation(NAME, one["at"]["mono_ms"], what))
    return found
