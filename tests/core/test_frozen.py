"""A counter that stands still: blind where users should have been counted, and only
there."""

from __future__ import annotations

import pytest

from dayshift.core.state import JournalState
from dayshift.core.watch import Watch
from dayshift.model.dial import DialReading, InstanceReading, split
from dayshift.model.evidence import MeterReading
from dayshift.model.sight import MeterSight
from dayshift.model.units import Instant
from tests.kit.play import estate

RPS = 100
STEP_MS = 1_000


def at(ms: int) -> Instant:
    return Instant(ms, ms, "b")


def shows(watch: Watch, ms: int, fra_bp: int) -> None:
    setting = split({"fra": fra_bp, "ber": 10_000 - fra_bp})
    one = InstanceReading("1", setting, None)
    watch.dial(DialReading("entry", at(ms), (one,)))


def counts(watch: Watch, region: str, ms: int, requests: int) -> None:
    reading = MeterReading(at(ms), requests, 0, 0, 0, {}, {})
    watch.meter(("shop", "entry", region), reading)


def seen(watch: Watch, ms: int, region: str = "fra") -> MeterSight:
    place = watch.sight(JournalState(), at(ms)).place("shop", region)
    return next(one for one in place.meters if one.meter == "entry")


def stands_still(watch: Watch, until_ms: int, rps: int = RPS) -> None:
    """fra counts no more; ber goes on."""
    for ms in range(0, until_ms + 1, STEP_MS):
        counts(watch, "fra", ms, 7)
        counts(watch, "ber", ms, rps * ms // 1_000)


@pytest.mark.parametrize(
    ("fra_bp", "rps", "is_blind"),
    [
        (5_000, RPS, True),
        (100, RPS, False),  # a hundredth of 100/s for 15 s may well be nobody
        (100, 20 * RPS, True),
        (0, RPS, False),  # drained: silence is what there is
    ],
)
def test_a_region_that_should_count_and_does_not_is_blind(
    fra_bp: int, rps: int, is_blind: bool
) -> None:
    watch = Watch(estate())
    shows(watch, 0, fra_bp)
    stands_still(watch, 15_000, rps)
    assert bool(seen(watch, 15_000).fault) is is_blind
    assert not seen(watch, 15_000, "ber").fault


def test_the_silence_of_the_drained_time_does_not_count() -> None:
    watch = Watch(estate())
    shows(watch, 0, 0)
    stands_still(watch, 60_000)
    shows(watch, 60_000, 5_000)
    assert not seen(watch, 60_100).fault
    assert seen(watch, 61_000).fault


def test_users_who_are_still_on_their_way_are_waited_for() -> None:
    watch = Watch(estate())
    watch.feeding.settles_ms = {"entry": 60_000}
    shows(watch, 0, 5_000)
    stands_still(watch, 60_000)
    assert not seen(watch, 60_000).fault
    assert seen(watch, 62_000).fault


def test_a_dial_that_cannot_be_read_accuses_no_meter() -> None:
    watch = Watch(estate())
    shows(watch, 0, 5_000)
    watch.dial_failed("entry", at(1_000), "no answer in time")
    stands_still(watch, 15_000)
    assert not seen(watch, 15_000).fault


@pytest.mark.parametrize("silent", [False, True])
def test_who_has_all_users_is_measured_by_its_own_past(silent: bool) -> None:
    """Nobody else is there to compare with, and the other's counter breathes (found by
    a rehearsal, short 3823)."""
    watch = Watch(estate())
    shows(watch, 0, 10_000)
    for ms in range(0, 40_001, STEP_MS):
        until_ms = min(ms, 20_000) if silent else ms
        counts(watch, "fra", ms, RPS * until_ms // 1_000)
        breath = MeterReading(at(ms), 7, 0, 0, 16 + ms // 1_000 % 5, {}, {})
        watch.meter(("shop", "entry", "ber"), breath)
    assert bool(seen(watch, 40_000).fault) is silent
    assert not seen(watch, 40_000, "ber").fault
