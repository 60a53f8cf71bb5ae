"""What the watch makes of meters that are scraped: rates, silence, one sample twice."""

from __future__ import annotations

from msgspec.structs import replace

from dayshift.core.state import JournalState
from dayshift.core.tracks import RATE_WINDOW_MS, MeterTrack
from dayshift.core.watch import Watch
from dayshift.model.evidence import MeterReading, gauges_of
from dayshift.model.units import Instant
from tests.kit.play import estate

EVERY_MS = 15_000
FRESH_MS = 2 * EVERY_MS
RPS = 40


def reading(ms: int, sample_ms: int, told: bool = True) -> MeterReading:
    """What a Prometheus answers at `ms`: the sample that it took at `sample_ms`."""
    at = Instant(ms, ms, "b")
    count = RPS * sample_ms // 1_000
    tick = sample_ms if told else 0
    return MeterReading(at, count, 0, 0, 0, {}, {}, tick=tick)


def watched(until_ms: int, told: bool, window_ms: int) -> MeterTrack:
    track = MeterTrack(window_ms)
    for ms in range(EVERY_MS, until_ms, 200):
        track.take(reading(ms, ms - ms % EVERY_MS, told), FRESH_MS)
    return track


def test_a_scraped_rate_is_exact_between_its_samples() -> None:
    for until_ms in range(6 * EVERY_MS, 7 * EVERY_MS, 1_700):
        counts, span_ms = watched(until_ms, True, 3 * EVERY_MS).counts()
        assert counts.requests * 1_000 // span_ms == RPS
        assert span_ms >= 2 * EVERY_MS


def test_without_their_times_a_rate_is_never_far_off() -> None:
    for until_ms in range(6 * EVERY_MS, 7 * EVERY_MS, 1_700):
        counts, span_ms = watched(until_ms, False, 3 * EVERY_MS).counts()
        assert 0.6 * RPS <= counts.requests * 1_000 / span_ms <= 1.4 * RPS


def test_one_sample_read_again_is_kept_once() -> None:
    track = watched(6 * EVERY_MS, True, 3 * EVERY_MS)
    assert len(track.window) == len({one.tick for one in track.window}) <= 5
    assert track.window[-1].at.mono_ms == 6 * EVERY_MS - 200
    assert track.grown == RPS * 4 * EVERY_MS // 1_000


def test_a_gap_breaks_the_silence_also_within_one_sample() -> None:
    track = MeterTrack(3 * EVERY_MS)
    track.take(reading(EVERY_MS, EVERY_MS), FRESH_MS)
    track.take(reading(EVERY_MS + FRESH_MS + 1, EVERY_MS), FRESH_MS)
    assert track.quiet_since is not None
    assert track.quiet_since.mono_ms == EVERY_MS + FRESH_MS + 1


def test_the_window_follows_the_meter() -> None:
    usual = estate(fresh_ms=FRESH_MS)
    entry, edge = usual.services[0].meters
    slow = replace(entry, every_ms=EVERY_MS)
    service = replace(usual.services[0], meters=(slow, edge))
    watch = Watch(replace(usual, services=(service,)))
    for name in (slow.name, edge.name):
        watch.meter(("shop", name, "fra"), reading(EVERY_MS, EVERY_MS))
    assert watch.meters["shop", slow.name, "fra"].window_ms == 3 * EVERY_MS
    assert watch.meters["shop", edge.name, "fra"].window_ms == RATE_WINDOW_MS


def test_the_gauges_of_a_region_are_those_of_all_its_meters() -> None:
    plain = reading(1, 1)
    latest = {
        ("shop", "entry", "fra"): replace(plain, gauges={"lag": 3, "queue": 7}),
        ("shop", "edge", "fra"): replace(plain, gauges={"lag": -5}),
        ("mail", "entry", "fra"): replace(plain, gauges={"lag": 4, "disk": -1}),
        ("shop", "entry", "ber"): replace(plain, gauges={"lag": 99}),
        ("shop", "blind", "fra"): plain,
    }
    assert gauges_of(latest, "fra") == {"lag": 4, "queue": 7, "disk": -1}
    assert gauges_of(latest, "muc") == {}


def test_one_reading_is_no_rate() -> None:
    """After a silence the first count comes with nothing to compare it to: a load of
    nobody must not be read from it (found by a rehearsal, short 1856)."""
    one = estate(fresh_ms=3_000)
    watch, key = Watch(one), ("shop", one.services[0].meters[0].name, "fra")

    def age_ms(ms: int) -> int | None:
        at = Instant(ms, ms, "b")
        watch.meter(key, MeterReading(at, ms, 0, 0, 0, {}, {}))
        place = watch.sight(JournalState(), at).place("shop", "fra")
        return place.meters[0].age_ms

    ages = {ms: age_ms(ms) for ms in (1_000, 2_000, 20_000, 21_000)}
    assert ages == {1_000: None, 2_000: 0, 20_000: 18_000, 21_000: 0}
