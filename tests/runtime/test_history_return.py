"""The share, the returning region and its history are found, never guessed; and what a
replay counts is what was recorded."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from dayshift.errors import SettingsInvalid
from dayshift.gates import Look
from dayshift.model.estate import GatePolicy
from dayshift.model.evidence import Counts, VerdictKind
from dayshift.runtime.history import learn, moments, returning, shares
from dayshift.runtime.history.file import read_file
from dayshift.runtime.history.replay import Replay, Summary, excess
from dayshift.runtime.history.rows import Recording
from dayshift.runtime.settings.yaml_source import Source
from tests.kit import recorded

RAMP = (100, 500, 2500, 5000)


def recording(tmp_path: Path, text: str) -> Recording:
    path = tmp_path / "rows.csv"
    path.write_text(text)
    return read_file(path)


def test_a_measured_share_is_steady_and_steps_where_it_stepped() -> None:
    rng = random.Random(7)
    truth = [5000] * 60 + [0] * 10 + [100] * 16 + [500] * 16 + [2500] * 16 + [5000] * 9
    pairs = [(recorded.draw(rng, 7500, share / 10_000), 7500) for share in truth]
    found = shares.steady([None if n == 30 else p for n, p in enumerate(pairs)])
    steps = [n for n in range(1, len(found)) if found[n] != found[n - 1]]
    assert steps == [60, 70, 86, 102, 118]
    for share, wanted in zip(found, truth, strict=True):
        assert abs(share - wanted) <= max(12, wanted * 0.05)


def test_one_freak_moves_no_share() -> None:
    pairs: list[tuple[int, int] | None] = [(500, 1000)] * 5 + [(900, 1000)]
    assert shares.steady(pairs + [(500, 1000)] * 5) == [5000] * 11
    assert shares.steady([]) == []
    assert shares.steady([None, (0, 0), None]) == [0, 0, 0]


def test_rows_of_one_instant_must_agree_about_the_share(tmp_path: Path) -> None:
    text = "time,region,requests,errors,share\n15,fra,5,0,5 %\n15,ber,95,0,95 %\n"
    source = Source("x")
    assert shares.written(moments.moments(recording(tmp_path, text).rows), source)
    with pytest.raises(SettingsInvalid, match="SHARE-CONTRADICTS") as caught:
        source.check()
    assert "the returning region's" in str(caught.value)


def test_the_region_whose_requests_are_the_share_returns(tmp_path: Path) -> None:
    found = recording(tmp_path, recorded.text(history_min=5))
    them = moments.moments(found.rows)
    said = shares.written(them, Source("x"))
    assert returning.region_of(found, them, said)[0] == "fra"


def test_where_the_file_leaves_two_answers_the_person_is_asked(tmp_path: Path) -> None:
    text = "time,region,requests,errors\n15,fra,50,0\n15,ber,50,0\n"
    found = recording(tmp_path, text)
    with pytest.raises(SettingsInvalid, match="ber, fra"):
        returning.region_of(found, moments.moments(found.rows), None)
    named = text.replace("errors\n", "errors,canary\n").replace(",0\n", ",0,ber\n")
    found = recording(tmp_path, named)
    assert returning.region_of(found, moments.moments(found.rows), None)[0] == "ber"
    with pytest.raises(SettingsInvalid, match="no rows of region par"):
        returning.check_regions(found, "par")


SHARES = {
    "history, drain in stops, zero, return": (
        [50, 50, 25, 0, 0, 1, 5, 50], (2, 5),
    ),
    "straight to one per cent": ([50, 50, 50, 1, 1, 5, 50], (3, 3)),
    "begins low": ([1, 1, 5, 50], (0, 0)),
    "begins drained": ([0, 0, 1, 5], (0, 2)),
    "rises, then turned back": ([1, 5, 0, 0], (0, 0)),
    "never drops": ([50, 50, 50], (0, 0)),
    "drained and no more": ([50, 50, 0, 0], (2, 4)),
}  # fmt: skip


@pytest.mark.parametrize("case", SHARES)
def test_history_is_what_lies_before_the_first_drop(case: str) -> None:
    percents, wanted = SHARES[case]
    rows = Counts(100, 0)
    found = [
        moments.Moment(
            15_000 * n,
            15_000,
            "",
            {
                name: recording_row(name, 15_000 * n, rows)
                for name in ("ber", "fra")
            },
        )
        for n in range(len(percents))
    ]  # fmt: skip
    parts = returning.parts(found, [p * 100 for p in percents], {"ber", "fra"})
    assert (parts.history, parts.begin) == wanted


def recording_row(region: str, at_ms: int, counts: Counts) -> moments.Row:
    return moments.Row(at_ms, region, "", counts)


def played(tmp_path: Path, trusted: bool = True, **how: float) -> Summary:
    found = recording(tmp_path, recorded.text(**how))
    them = moments.moments(found.rows)
    said = shares.written(them, Source("x"))
    assert said
    parts = returning.parts(them, said, set(found.regions()))
    looks = moments.looks(them, "fra", found.regions(), said)
    known = learn.learn(learn.before_return(found), 1).calibrations if trusted else ()
    mine = tuple(one for one in known if one.region == "fra")
    player = Replay(GatePolicy(), mine, "fra", RAMP)
    assert len(list(player.play(looks[parts.begin :]))) == len(looks) - parts.begin
    return player.summary()


def test_a_bad_release_is_turned_back_and_a_good_one_promoted(tmp_path: Path) -> None:
    bad = played(tmp_path, factor=20)
    assert bad.failed and bad.failed.bad == "errors"
    assert bad.failed.returning_ms <= 8 * 60_000
    assert 0 < bad.failed.excess < 200
    good = played(tmp_path, rung_min=6)
    assert good.failed is None and good.last is VerdictKind.PASS
    assert [one.share_bp for one in good.passed] == list(RAMP)
    assert not good.moved_early


def test_without_history_it_holds_and_says_that_shares_moved_early(
    tmp_path: Path,
) -> None:
    found = played(tmp_path, trusted=False, factor=20)
    assert found.failed is None
    assert found.moved_early[0].share_bp == 100 and found.moved_early[0].to_bp == 500


def test_excess_is_what_the_others_rate_does_not_explain() -> None:
    def look(mine: Counts | None, *others: Counts | None) -> Look:
        named = {f"r{n}": one for n, one in enumerate(others)}
        return Look(1, 1, 100, {"fra": mine, **named})

    looks = [
        look(Counts(100, 11), Counts(500, 5), Counts(500, 5)),
        look(Counts(100, 50), Counts(1000, 500)),  # a shared incident
        look(None, Counts(1000, 999)),
        look(Counts(100, 43), None),  # the others blind: their usual rate
    ]

    def errors(counts: Counts) -> int:
        return counts.errors

    usual = (10 + 500 + 0) / 2000
    assert excess(looks, "fra", errors) == pytest.approx(10 + 0 + (43 - 100 * usual))
    assert excess([look(Counts(10, 0), Counts(10, 9))], "fra", errors) == 0


def test_what_is_learned_leaves_out_what_was_not_usual(tmp_path: Path) -> None:
    whole = recording(tmp_path, recorded.text(history_min=60, factor=50))
    kept = learn.before_return(whole)
    assert len(kept.rows) == 2 * 60 * 60 // recorded.STEP_S
    assert "left out" in kept.notes[-1]
    found = learn.learn(kept, 7, stream="shop")
    assert {(one.stream, one.region) for one in found.calibrations} == {
        ("shop", "ber"),
        ("shop", "fra"),
    }
    fra = next(one for one in found.calibrations if one.region == "fra")
    assert fra.learned_wall_ms == 7 and not fra.trusted and "120" in fra.why
    assert 500_000 < fra.signals[0].usual_ppb < 2_000_000
    # The drain and the ramp of a longer recording are no habit either.
    without = learn.learn(
        Recording("x", tuple(moments.msgspec.structs.replace(row, share_bp=None)
                             for row in whole.rows)), 7
    )  # fmt: skip
    assert "left out: a region had not its usual share" in without.notes[-1]
