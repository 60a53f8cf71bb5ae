"""What the present phase of a pass is about: stops, meters, work, probes, evidence."""

from __future__ import annotations

from rich.text import Text

from dayshift.model.records import Phase
from dayshift.surfaces import bars, phrases, signals, words
from dayshift.surfaces.bars import Glyphs
from dayshift.surfaces.nouns import GateStory, PassStory, RegionStory

LABEL = 11
COUNTS_WIDE = 116
"""Columns from which counts and ratio stand on one line, also those of large estates:
decided by the terminal and not by the numbers, which grow."""
SERVICES_MAX = 2
"""So many services show their evidence; the ones in most doubt come first."""


def detail(
    region: RegionStory, journey: PassStory, width: int, glyphs: Glyphs
) -> list[Text]:
    """Some lines about the phase; none where the strip says it all."""
    match Phase(journey.phase):
        case Phase.PREFLIGHT | Phase.DRAINING:
            return [_label("drain").append_text(bars.stops(journey.drain, glyphs))]
        case Phase.HANDING_OVER | Phase.EMPTYING:
            return _quiet(journey, width, glyphs)
        case Phase.EMPTY | Phase.WORKING:
            return _steps(journey)
        case Phase.CATCHING_UP | Phase.WARMING | Phase.VALIDATING:
            return _probes(region, journey, width, glyphs)
        case Phase.RETURNING | Phase.SOAKING:
            ramp = _label("ramp").append_text(bars.stops(journey.ramp, glyphs))
            return [ramp, *_gates(journey, width, glyphs)]
        case _:
            return []


def _label(text: str) -> Text:
    return Text.assemble((f"   {text:<{LABEL}}", "dim"))


def _meter_width(width: int) -> int:
    return max(10, min(40, width // 4))


def _quiet(journey: PassStory, width: int, glyphs: Glyphs) -> list[Text]:
    out = []
    for number, one in enumerate(journey.quiet):
        line = _label("" if number else "empty")
        busy = bool(one.in_flight or one.fault)
        have = 0 if busy else min(one.quiet_ms, one.wanted_ms)
        style = "green" if have == one.wanted_ms else "cyan"
        wide = _meter_width(width)
        line.append_text(bars.bar(have, one.wanted_ms, wide, style, glyphs))
        out.append(line.append(f"  {phrases.quiet(one)}", "yellow" if busy else ""))
    return out


STEP_STYLES = {
    "waiting": "dim",
    "running": "cyan",
    "done": "green",
    "failed": "bold red",
    "undone": "yellow",
}


def _steps(journey: PassStory) -> list[Text]:
    """Each step; of many, those from the last ended one on."""
    ended = [n for n, one in enumerate(journey.steps) if one.status == "done"]
    first = max(ended[-1] if ended else 0, 0)
    out = []
    for number, one in enumerate(journey.steps[first : first + 4]):
        style = "bold yellow" if one.asks else STEP_STYLES[one.status]
        out.append(_label("" if number else "work").append(phrases.step(one), style))
    return out


def _probes(
    region: RegionStory, journey: PassStory, width: int, glyphs: Glyphs
) -> list[Text]:
    out = []
    for number, one in enumerate(region.probes):
        line = _label("" if number else "probes")
        style = "green" if one.streak >= one.wanted else "cyan"
        wide = _meter_width(width)
        line.append_text(bars.bar(one.streak, one.wanted, wide, style, glyphs))
        said = phrases.probe(one, journey.expect_version)
        out.append(line.append(f"  {said}", "yellow" if one.failures else ""))
    return out


def _gates(journey: PassStory, width: int, glyphs: Glyphs) -> list[Text]:
    """The service in most doubt in full, the others on a line each.

    As many lines at each look of a rung, so that nothing below them moves.
    """
    worst = sorted(journey.gate, key=lambda g: (-_part(g, False), _part(g, True)))
    out = []
    for gate in worst[:1]:
        out += _bars(gate, len(worst) > 1, width, glyphs)
        out += _signal(gate, width)
    for gate in worst[1:SERVICES_MAX]:
        line = _label(gate.service[: LABEL - 1])
        out.append(line.append(phrases.evidence(gate)))
    left = len(worst) - SERVICES_MAX
    if left > 0:
        more = words.many(left, "more service")
        out.append(_label("").append(f"and {more}, in less doubt", "dim"))
    return out


def _part(gate: GateStory, promote: bool) -> int:
    """How much of the needed evidence there is, in thousandths."""
    if promote:
        have, need = gate.promote_mlog10, gate.promote_need
    else:
        have, need = gate.rollback_mlog10, gate.rollback_need
    return max(0, min(1000, 1000 * have // need)) if need else 0


def _bars(gate: GateStory, named: bool, width: int, glyphs: Glyphs) -> list[Text]:
    """A bar towards promotion and one towards rollback."""
    wide = _meter_width(width)
    out = []
    for promote, name, style, have, need in (
        (True, "promote", "green", gate.promote_odds, gate.promote_need),
        (False, "roll back", "red", gate.rollback_odds, gate.rollback_need),
    ):
        line = _label(name)
        line.append_text(bars.bar(_part(gate, promote), 1000, wide, style, glyphs))
        odds = f"{have} of {words.odds(need)} needed" if need else have
        out.append(line.append(f"  odds {odds}"))
    if named:
        out[0].append(f"  {gate.service}", "bold")
    return out


def _signal(gate: GateStory, width: int) -> list[Text]:
    """The deciding signal with its counts, and what is still needed."""
    one = signals.deciding(gate)
    if one is None:
        return [_label("seen").append(phrases.counted(gate))]
    stream = "" if one.stream == gate.service else f"{one.stream}: "
    counts = _label(signals.short(one)).append(f"{stream}{signals.counts(one)}")
    ratio = f"ratio {signals.ratio(one)}"
    if gate.smallest_bp:
        ratio += f"; would see {words.short_share(gate.smallest_bp)} worse"
    wide = width >= COUNTS_WIDE
    out = [counts.append(f", {ratio}")] if wide else [counts, _label("").append(ratio)]
    said = signals.needs(gate)
    return [*out, *labelled("needs", said, width, 2)] if said else out


def labelled(
    label: str, text: str, width: int, most: int, style: str = ""
) -> list[Text]:
    """A dim label and its text, folded into at most `most` lines."""
    lead = f"   {label:<{LABEL}}"
    if len(label) >= LABEL:
        lead = f"   {label}  "
    folded = fold(text, max(20, width - len(lead) - 1), most)
    out = [Text.assemble((lead, "dim"), (folded[0], style))]
    out += [Text(" " * len(lead) + more, style) for more in folded[1:]]
    return out


def fold(text: str, width: int, most: int) -> list[str]:
    """`text` in at most `most` lines; what does not fit is marked."""
    out = [""]
    for word in text.split():
        if not out[-1]:
            out[-1] = word
        elif len(out[-1]) + 1 + len(word) <= width:
            out[-1] += f" {word}"
        elif len(out) < most:
            out.append(word)
        else:
            out[-1] = out[-1][: width - 2] + " …"
            break
    return out
