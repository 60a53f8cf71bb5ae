"""What the gate's signals say, in words: counts, ratio, evidence, what is still needed.

One vocabulary for the live view, `explain` and the report. Text only, no layout.
"""

from __future__ import annotations

from dayshift.model.evidence import SignalSight, VerdictKind
from dayshift.surfaces import words
from dayshift.surfaces.nouns import GateStory

ABSOLUTE = "absolute"
STUCK = "only a person or a change outside helps"
UNKNOWN_YET = "how long is not known yet"


def name(one: SignalSight) -> str:
    """As the gate names it: `errors`, `slower than 250 ms`, …"""
    if one.signal == ABSOLUTE:
        return "errors against the absolute limit"
    return f"slower than {one.bound_us / 1000:g} ms" if one.bound_us else "errors"


def short(one: SignalSight) -> str:
    """At most ten characters: `errors`, `> 250 ms`, `limit`."""
    if one.signal == ABSOLUTE:
        return "limit"
    return f"> {words.took(one.bound_us)}" if one.bound_us else "errors"


def deciding(gate: GateStory) -> SignalSight | None:
    """The signal that the gate names as the one in most doubt; None in old journals."""
    named = [one for one in gate.signals if name(one) == gate.decides]
    return max(named or gate.signals, key=_doubt, default=None)


def _doubt(one: SignalSight) -> tuple[int, bool]:
    """How near its limit; of equally near ones the errors, which users feel most."""
    near = 1000 * one.against_mlog10 // one.against_need if one.against_need else 0
    return near, one.signal == "errors"


def counts(one: SignalSight) -> str:
    """Both regions: `3 of 1,200 (0.25 %) here, 41 of 22,800 (0.18 %) elsewhere`."""
    here = _counted(one.canary_bad, one.canary)
    if one.signal == ABSOLUTE:
        return f"{here} here, whatever the others do"
    return f"{here} here, {_counted(one.others_bad, one.others)} elsewhere"


def _counted(bad: int, all_of_them: int) -> str:
    if not all_of_them:
        return "none counted"
    return f"{bad:,} of {all_of_them:,} ({words.rate(bad, all_of_them)})"


def ratio(one: SignalSight) -> str:
    """The ratio with its confidence sequence: `1.4 (0.5–3.2)`; a dash without one."""
    if not one.ratio_high_ppm:
        return words.UNKNOWN
    middle = words.ratio(one.ratio_ppm) if has_ratio(one) else words.UNKNOWN
    low, high = words.ratio(one.ratio_low_ppm), words.ratio(one.ratio_high_ppm)
    return f"{middle} ({low}–{high})"


def compared(one: SignalSight) -> str:
    """`, ratio 1.4 (0.5–3.2)`; nothing for the guard, which compares with nobody."""
    return "" if one.signal == ABSOLUTE else f", ratio {ratio(one)}"


def has_ratio(one: SignalSight) -> bool:
    """False where bad answers here cannot be divided by those elsewhere: none."""
    return bool(one.ratio_ppm or not one.canary_bad)


def against(one: SignalSight) -> str:
    """`1.2:1 of 100:1`: evidence that the region is worse, and the limit."""
    return _of(one.against_mlog10, one.against_need)


def promoting(one: SignalSight) -> str:
    """`6.3:1 of 20:1`: evidence that it is not; a dash for what cannot promote."""
    return _of(one.promote_mlog10, one.promote_need)


def _of(have_mlog10: int, need_mlog10: int) -> str:
    if not need_mlog10:
        return words.UNKNOWN
    return f"{words.odds(have_mlog10)} of {words.odds(need_mlog10)}"


def wait(gate: GateStory) -> str:
    """`about 40 s more at this traffic`, or that waiting does not help."""
    if gate.kind == VerdictKind.PASS.value:
        return ""
    if gate.wait_ms is None:
        return STUCK if gate.requests else UNKNOWN_YET
    if not gate.wait_ms:
        return "any moment now"
    return f"about {words.about(gate.wait_ms)} more at this traffic"


def needs(gate: GateStory) -> str:
    """What a pass still takes, and how long; empty: nothing. Time comes first where it
    is all that it takes, for then it is what a person asks."""
    if not gate.needs:
        return ""
    if only_time(gate):
        return f"{wait(gate)}, for {gate.needs}"
    return f"{gate.needs}; {wait(gate)}"


def explained(gate: GateStory) -> list[str]:
    """The deciding signal in one sentence, and what is still needed in another."""
    one = deciding(gate)
    if one is None:
        return []
    said = f"{name(one)}: {counts(one)}{compared(one)}"
    if one.stream != gate.service:
        said = f"{one.stream}, {said}"
    more = needs(gate)
    return [said, *([f"needs {more}"] if more else [])]


def only_time(gate: GateStory) -> bool:
    """True where waiting is all that it takes, so the counts say why it waits."""
    return gate.kind == VerdictKind.HOLD.value and gate.wait_ms is not None
