"""What a policy must also mean: the relations between its times and its shares."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from dayshift.limits import OBSERVE_MS, RUNGS_MAX
from dayshift.model.units import percent
from dayshift.runtime.settings.estate_file import MeterFile, PolicyFile
from dayshift.runtime.settings.units import duration_text
from dayshift.runtime.settings.yaml_source import Path_, Source, short

LOOKS_FRESH_MIN = 2
"""A reading must outlast this many looks, or every one is stale when it is used."""
FRESH_SAMPLES_MIN = 2
"""One late sample of a meter must not look like blindness, or like a frozen source."""


def policy_rules(policy: PolicyFile, source: Source) -> None:
    """Note every fault of meaning in a policy."""
    _shares(policy, source)
    _times(policy, source)
    slow = list(policy.gate.slow)
    if slow != sorted(set(slow)) or 0 in slow:
        path = ("policy", "gate", "slow")
        because = "each bound counts the answers beyond the one before"
        source.fault("SLOW-INVALID", path, "does not rise", "sort it", because)


def pace_rules(
    policy: PolicyFile, meters: Iterable[tuple[Path_, MeterFile]], source: Source
) -> None:
    """Note every meter that has new counts too seldom for what counts as fresh."""
    if ("policy", "fresh") in source.spoiled:
        return
    for path, one in meters:
        least = FRESH_SAMPLES_MIN * one.every
        if policy.fresh < least:
            fresh, often = policy.fresh, policy.fresh // FRESH_SAMPLES_MIN
            what = f"is {duration_text(one.every)}, and policy.fresh is "
            what += f"{duration_text(fresh)} (least {duration_text(least)})"
            next_step = f"set policy.fresh to {duration_text(least)} or more, or have "
            next_step += f"it counted every {duration_text(often)} or more often"
            because = "what is fresh must outlast two samples: one may come late"
            source.fault("POLICY-INVALID", (*path, "every"), what, next_step, because)


def gauge_rules(policy: PolicyFile, known: Iterable[str], source: Source) -> None:
    """Note every bounded gauge that no meter reads, or that is bounded twice."""
    names, seen = sorted(set(known)), dict[str, Path_]()
    for number, one in enumerate(policy.gate.gauges):
        path: Path_ = ("policy", "gate", "gauges", number, "name")
        if one.name in seen:
            what = f"{short(one.name)} is bounded in line {source.line(seen[one.name])}"
            source.fault("NAME-TWICE", path, what, "bound it once")
        elif one.name not in names:
            close = get_close_matches(one.name, names, 1)
            hint = f"did you mean `{close[0]}`? " if close else ""
            listed = (
                f"known are: {', '.join(names)}"
                if names
                else ("add it to `gauges` of a meter's queries (driver prometheus)")
            )
            what = f"{short(one.name)} is a gauge that no meter reads"
            because = "a level that nobody sees would hold every return for ever"
            source.fault("GAUGE-UNKNOWN", path, what, hint + listed, because)
        seen.setdefault(one.name, path)


def _shares(policy: PolicyFile, source: Source) -> None:
    drain, ramp = list(policy.drain), list(policy.ramp)
    shown = ", ".join(percent(bp) for bp in drain[:8])
    if not drain or drain != sorted(set(drain), reverse=True) or drain[-1]:
        because = "a drain ends with nothing, and never gives traffic back on its way"
        what = f"[{shown}] does not fall step by step to 0 %"
        next_step = "write it like [25 %, 0 %]"
        source.fault("DRAIN-INVALID", ("policy", "drain"), what, next_step, because)
    shown = ", ".join(percent(bp) for bp in ramp[:8])
    if not ramp or ramp != sorted(set(ramp)) or not ramp[0]:
        because = "a return goes upwards, each rung judged by more traffic"
        what = f"[{shown}] does not rise from above 0 %"
        next_step = "write it like [1 %, 5 %, 25 %, 50 %]"
        source.fault("RAMP-INVALID", ("policy", "ramp"), what, next_step, because)
    for key, shares in (("drain", drain), ("ramp", ramp)):
        if len(shares) > RUNGS_MAX:
            what = f"has {len(shares)} steps (limit {RUNGS_MAX})"
            source.fault("POLICY-INVALID", ("policy", key), what, "name fewer")
    if not policy.headroom:
        because = "no survivor could take anything"
        path = ("policy", "headroom")
        source.fault("POLICY-INVALID", path, "is 0 %", "write it like 85 %", because)


def _times(policy: PolicyFile, source: Source) -> None:
    """Each bound with what it must not be shorter than."""
    look_ms = LOOKS_FRESH_MIN * OBSERVE_MS
    fresh = ("fresh", policy.fresh)
    for (key, ms), (other, least), because in (
        (fresh, ("two looks", look_ms), "every reading would be stale when it is used"),
        (("quiet", policy.quiet), fresh, "one old reading could prove a region empty"),
        (("empty_limit", policy.empty_limit), ("quiet", policy.quiet),
         "it would be over before a region could be proven empty"),
        (("blind_limit", policy.blind_limit), fresh,
         "one late reading would count as blind"),
        (("lease", policy.lease), fresh, "a drain would end between two looks"),
        (("absence_limit", policy.absence_limit), ("return_time", policy.return_time),
         "a region could never be back in time"),
    ):  # fmt: skip
        if ms < least or not ms:
            what = f"is {duration_text(ms)}, shorter than {other} "
            what += f"({duration_text(least)})" if ms else "allows"
            next_step = f"at least {duration_text(max(least, 1))}"
            source.fault("POLICY-INVALID", ("policy", key), what, next_step, because)
