"""What the gate's signals are called, and what a person is told of them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from dayshift.model.evidence import SignalSight, Verdict, VerdictKind
from dayshift.surfaces import bars, gate_table, panels, plain, signals, words
from dayshift.surfaces.journey import gate_story
from dayshift.surfaces.nouns import GateStory, Story
from tests.kit.story import BAD, GOOD, THIN, Tale, run_until
from tests.surfaces.conftest import CEST

ERRORS, SLOW, LIMIT = THIN.signals


def story_with(*verdicts: tuple[str, Verdict]) -> Story:
    """The returning scene, as if these services had been judged."""
    story = run_until("returning").story()
    here = story.regions[0]
    assert here.journey is not None
    gates = tuple(gate_story(name, verdict) for name, verdict in verdicts)
    told = replace(here, journey=replace(here.journey, gate=gates))
    return replace(story, regions=(told, *story.regions[1:]))


def middle(story: Story, width: int = 80, height: int = 24) -> list[str]:
    """The lines from the ramp on, without the timeline."""
    drawn = panels.frame(story, width, height, bars.UNICODE, CEST)
    lines = [one.plain.rstrip() for one in drawn]
    first = next(n for n, line in enumerate(lines) if line.startswith("   ramp"))
    rule = [n for n, line in enumerate(lines) if line == "─" * width][-1]
    return lines[first:rule]


def test_names_and_counts() -> None:
    assert [signals.name(one) for one in THIN.signals] == [
        "errors",
        "slower than 250 ms",
        "errors against the absolute limit",
    ]
    assert [signals.short(one) for one in THIN.signals] == [
        "errors",
        "> 250 ms",
        "limit",
    ]
    assert signals.counts(ERRORS) == (
        "1 of 210 (0.48 %) here, 41 of 20,790 (0.2 %) elsewhere"
    )
    assert signals.counts(replace(SLOW, canary=0, canary_bad=0)) == (
        "none counted here, 160 of 20,790 (0.77 %) elsewhere"
    )
    assert signals.counts(LIMIT) == "1 of 210 (0.48 %) here, whatever the others do"


@pytest.mark.parametrize(
    ("ppm", "said"),
    [
        ((2_414_634, 120_000, 11_800_000), "2.4 (0.12–12)"),
        ((0, 0, 3_200_000), "0 (0–3.2)"),
        ((999_400, 990_000, 1_001_000), "1.0 (0.99–1.0)"),
        ((74_250_000, 14_200_000, 2_000_000_000), "74 (14–over 1,000)"),
        ((4_000, 500, 80_000), "<0.01 (<0.01–0.08)"),
        ((0, 0, 0), "–"),
    ],
)
def test_ratios(ppm: tuple[int, int, int], said: str) -> None:
    middle, low, high = ppm
    one = SignalSight(
        "shop", "errors", ratio_ppm=middle, ratio_low_ppm=low, ratio_high_ppm=high
    )
    assert signals.ratio(one) == said


def test_nothing_bad_elsewhere_gives_no_ratio_but_its_interval() -> None:
    one = SignalSight(
        "shop", "errors", canary_bad=3, ratio_low_ppm=1_300_000, ratio_high_ppm=10**10
    )
    assert signals.ratio(one) == "– (1.3–over 1,000)"


def test_the_gate_names_what_decides() -> None:
    slow = replace(THIN, decides="slower than 250 ms")
    assert signals.deciding(gate_story("shop", slow)) == SLOW
    assert signals.deciding(gate_story("shop", THIN)) == ERRORS
    unnamed = gate_story("shop", replace(THIN, decides="something new"))
    assert signals.deciding(unnamed) == ERRORS
    assert signals.deciding(GateStory("shop", "hold", "an old journal")) is None


def test_of_two_streams_the_nearer_to_its_limit_decides() -> None:
    vip = replace(ERRORS, stream="shop/vip", against_mlog10=900)
    both = replace(THIN, signals=(*THIN.signals, vip))
    assert signals.deciding(gate_story("shop", both)) == vip
    assert signals.explained(gate_story("shop", both))[0].startswith("shop/vip, errors")


@pytest.mark.parametrize(
    ("kind", "wait_ms", "requests", "said"),
    [
        (VerdictKind.HOLD, 38_000, 210, "about 40 s more at this traffic"),
        (VerdictKind.HOLD, 7_001, 210, "about 8 s more at this traffic"),
        (VerdictKind.HOLD, 0, 210, "any moment now"),
        (VerdictKind.HOLD, 2 * 86_400_000, 9, "about more than a day more"),
        (VerdictKind.HOLD, None, 210, signals.STUCK),
        (VerdictKind.HOLD, None, 0, signals.UNKNOWN_YET),
        (VerdictKind.BLIND, None, 210, signals.STUCK),
        (VerdictKind.PASS, 0, 210, ""),
    ],
)
def test_how_long(
    kind: VerdictKind, wait_ms: int | None, requests: int, said: str
) -> None:
    verdict = replace(THIN, kind=kind, wait_ms=wait_ms, requests=requests)
    told = signals.wait(gate_story("shop", verdict))
    assert told.startswith(said) if said else told == ""


def test_guesses_do_not_tick() -> None:
    seconds = range(60, 121)
    assert len({words.about(1000 * s) for s in seconds}) <= 14
    minutes = range(10 * 60, 90 * 60)
    assert len({words.about(1000 * s) for s in minutes}) <= 81


def test_where_time_is_all_the_reason_is_not_said_twice() -> None:
    lines = middle(story_with(("shop", THIN)))
    assert not any("waits for" in line for line in lines)
    assert any("about 40 s more at this traffic, for odds" in line for line in lines)
    stuck = replace(THIN, wait_ms=None, needs="the others to recover")
    told = middle(story_with(("shop", stuck)))
    assert any("waits for" in line for line in told)
    assert any(f"recover; {signals.STUCK}" in line for line in told)


def test_nothing_below_the_gate_moves_with_its_numbers() -> None:
    """Counts of a large estate and a small one take as many lines."""
    grown = tuple(
        replace(one, canary=12_345_678, canary_bad=123_456, others=98_765_432)
        for one in THIN.signals
    )
    for width in (80, 100, 120):
        short = middle(story_with(("shop", THIN)), width, 30)
        long = middle(story_with(("shop", replace(THIN, signals=grown))), width, 30)
        times = [
            next(n for n, line in enumerate(lines) if line.startswith("   times"))
            for lines in (short, long)
        ]
        assert times[0] == times[1]
        assert max(map(len, long)) <= width


def test_the_service_in_most_doubt_is_shown_in_full() -> None:
    calm = replace(GOOD, signals=())
    lines = middle(
        story_with(("shop", calm), ("pay", BAD), ("login", calm), ("search", calm)),
        100,
        40,
    )
    text = "\n".join(lines)
    assert "odds 1:1 of 20:1 needed  pay" in text
    assert "6 of 41 (14.6 %) here, 8 of 4,059 (0.2 %) elsewhere" in text
    assert "   shop       promote 24:1 of 20:1, rollback 1:1 of 100:1" in text
    assert "and 2 more services, in less doubt" in text


def test_an_old_journal_still_shows_what_it_had() -> None:
    old = Verdict(VerdictKind.HOLD, "thin", requests=210, promote_need=1301)
    lines = middle(story_with(("shop", old)))
    assert "   seen       shop: 210 requests, 0 errors, 0 slow" in lines
    page = plain.explain_page(story_with(("shop", old)), CEST)
    assert gate_table.TITLE not in page


def test_the_table_has_every_signal_of_every_stream() -> None:
    vip = tuple(replace(one, stream="shop/vip") for one in THIN.signals)
    both = replace(THIN, signals=(*THIN.signals, *vip))
    lines = gate_table.lines([gate_story("shop", both), gate_story("pay", BAD)])
    assert [line.strip() for line in lines if line.strip() in ("shop", "shop/vip")] == [
        "shop",
        "shop/vip",
        "shop",
    ]
    assert sum(line.startswith("  * ") for line in lines) == 2
    assert sum("> 250 ms" in line for line in lines) == 3
    assert "    wait      about 40 s more at this traffic" in lines


def test_blind_and_incident_are_words_on_every_screen() -> None:
    blind = replace(
        THIN,
        kind=VerdictKind.BLIND,
        why="no fresh counts of fra",
        needs="fresh counts",
        wait_ms=None,
    )
    story = replace(
        story_with(("shop", blind)),
        waiting=(
            replace(run_until("returning").waiting[0], what=f"shop: {blind.why}"),
        ),
    )
    for width in (80, 120):
        text = "\n".join(middle(story, width))
        assert "fresh counts; only a person" in text
        assert "waits for  shop: no fresh counts of fra" in text


def test_the_story_as_json_has_the_signals() -> None:
    tale: Tale = run_until("returning")
    here = tale.story().regions[0].journey
    assert here is not None
    assert [one.signal for one in here.gate[0].signals] == [
        "errors",
        "slow",
        "absolute",
    ]
    assert (here.gate[0].wait_ms, here.gate[0].decides) == (38_000, "errors")
