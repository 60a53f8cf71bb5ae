"""Rows of ordinary days → a calibration for each region as the returning one.

Only moments in which every region had about its usual share teach anything: a drain or
a ramp of last week is no habit. What was left out is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import msgspec

from dayshift.errors import Reason, Refused
from dayshift.gates import Look, calibrate
from dayshift.model.calibration import Calibration
from dayshift.runtime.history.moments import STREAM_DEFAULT, Moment, looks, moments
from dayshift.runtime.history.returning import DROPS_PART, RISES_PART, parts
from dayshift.runtime.history.rows import Recording
from dayshift.runtime.history.shares import measured, written
from dayshift.runtime.settings.yaml_source import Source


class Learned(msgspec.Struct, frozen=True):
    """What was learned, from what, and what was left out on the way."""

    source: str
    calibrations: tuple[Calibration, ...]
    notes: tuple[str, ...] = ()


def learn(
    recording: Recording,
    learned_wall_ms: int,
    stream: str = STREAM_DEFAULT,
    only: str = "",
) -> Learned:
    """A calibration of each stream for each region, or for one region only.

    Args:
        stream: what rows without a stream are of.

    Raises:
        Refused: there is nothing to learn from.
    """
    found = moments(recording.rows)
    kept, left_out = _usual(found)
    if not kept:
        raise Refused(_nothing(recording))
    notes = list(recording.notes)
    if left_out:
        notes.append(f"{left_out:,} looks left out: a region had not its usual share")
    calibrations: list[Calibration] = []
    for region in recording.regions():
        if only in ("", region):
            calibrations += calibrate(
                _looks(kept, region, stream), region, learned_wall_ms
            )
    told = [one for one in calibrations if one.looks]
    if not told:
        raise Refused(_nothing(recording))
    order = sorted(told, key=lambda one: (one.stream, one.region))
    return Learned(recording.name, tuple(order), tuple(notes))


def before_return(recording: Recording) -> Recording:
    """Without what comes after the recorded share drops: a return is no habit."""
    source = Source(recording.name)
    found = moments(recording.rows)
    said = written(found, source)
    source.check()
    if said is None:
        return recording
    divided = parts(found, said, set(recording.regions()))
    if not divided.history:
        return recording
    end_ms = found[divided.history - 1].at_ms
    rows = tuple(row for row in recording.rows if row.at_ms <= end_ms)
    left = len(recording.rows) - len(rows)
    note = f"{left:,} rows left out: from where the share first drops"
    return msgspec.structs.replace(recording, rows=rows, notes=(*recording.notes, note))


def _looks(kept: Sequence[Moment], region: str, stream: str) -> list[Look]:
    """Each stream's looks, with its own regions and its measured shares."""
    shares = measured(kept, region)
    regions = {
        name: sorted(
            {r for one in kept if one.stream == name for r in one.rows} - {"*"}
        )
        for name in {one.stream for one in kept}
    }
    return [
        looks([one], region, regions[one.stream], [share], stream)[0]
        for one, share in zip(kept, shares, strict=True)
        if region in regions[one.stream]
    ]


def _usual(found: Sequence[Moment]) -> tuple[list[Moment], int]:
    """Moments at which every region of their stream had about its usual share."""
    away: set[int] = set()
    for stream in sorted({one.stream for one in found}):
        mine = [number for number, one in enumerate(found) if one.stream == stream]
        here = [found[number] for number in mine]
        for region in sorted({name for one in here for name in one.rows} - {"*"}):
            shares = measured(here, region)
            usual = median(shares)
            away |= {
                number
                for number, share in zip(mine, shares, strict=True)
                if not DROPS_PART * usual <= share <= RISES_PART * usual or not usual
            }
    kept = [one for number, one in enumerate(found) if number not in away]
    return kept, len(away)


def _nothing(recording: Recording) -> Reason:
    regions = ", ".join(recording.regions()) or "none"
    return Reason(
        "NOTHING-LEARNED",
        f"{recording.name}: {len(recording.rows):,} rows, and no look in which several "
        f"regions served (regions: {regions})",
        because="the gate learns from how regions differ while they serve together",
        so="nothing was learned and nothing was written",
        next="a time in which all regions had traffic: `--since`, or another source",
    )
