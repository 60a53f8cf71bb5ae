"""The gate's lines in the side log: real files, written by the runtime, read back."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from dayshift.journal.reader import JournalReader
from dayshift.journal.sidelog import SideFiles
from dayshift.model.evidence import Verdict, VerdictKind
from dayshift.model.records import SideLog
from dayshift.runtime.gate_samples import NAME, GateSamples
from dayshift.surfaces.gate_points import GatePoint, read_points
from tests.kit.rig import Rig
from tests.kit.story import BAD, RUN, THIN, Tale, run_until
from tests.simulation.test_virtual_time import go


def taken(
    tmp_path: Path, tale: Tale, *steps: tuple[int, Verdict | None]
) -> GateSamples:
    """Each step: wait so long, then the gate says that."""
    samples = GateSamples(SideFiles(tmp_path), RUN)
    for wait_ms, verdict in steps:
        tale.wait(wait_ms)
        tale.verdict = verdict
        samples.take(tale.state, tale.sight())
    return samples


def points(tmp_path: Path) -> list[GatePoint]:
    return read_points(SideFiles(tmp_path).still_open(RUN, NAME) or b"")


def grown(verdict: Verdict, requests: int) -> Verdict:
    return replace(verdict, requests=requests)


def test_one_line_a_second_and_none_for_nothing_new(tmp_path: Path) -> None:
    tale = run_until("returning")
    tale.ms -= tale.ms % 1000
    later = replace(THIN, why="another sentence", wait_ms=1)
    steps = [(0, THIN), (200, grown(THIN, 220)), (900, grown(THIN, 230))]
    taken(tmp_path, tale, *steps, (1_000, grown(THIN, 230)), (1_000, later))
    assert [one.wall_ms % 100_000 // 1000 for one in points(tmp_path)] == [16, 17, 19]


def test_a_turn_is_written_at_once(tmp_path: Path) -> None:
    tale = run_until("returning")
    tale.ms -= tale.ms % 1000
    taken(tmp_path, tale, (0, THIN), (200, BAD))
    hold, fail = points(tmp_path)
    assert (hold.kind, fail.kind) == ("hold", "fail")
    assert fail.wall_ms - hold.wall_ms == 200
    assert (fail.rollback_mlog10, fail.rollback_need) == (3150, 2000)
    assert (fail.region, fail.stream, fail.share_bp) == ("fra", "shop", 100)
    assert fail.signals == BAD.signals


def test_each_stream_has_a_line_with_its_own_evidence(tmp_path: Path) -> None:
    vip = tuple(replace(one, stream="shop/vip") for one in BAD.signals)
    both = replace(THIN, signals=(*THIN.signals, *vip))
    taken(tmp_path, run_until("returning"), (0, both))
    shop, other = points(tmp_path)
    assert (shop.stream, shop.rollback_mlog10, shop.promote_mlog10) == (
        "shop",
        115,
        800,
    )
    assert (other.stream, other.rollback_mlog10, other.promote_mlog10) == (
        "shop/vip",
        3410,
        -1900,
    )


def test_a_blind_gate_without_signals_has_a_line_too(tmp_path: Path) -> None:
    blind = Verdict(VerdictKind.BLIND, "no fresh counts")
    taken(tmp_path, run_until("returning"), (0, blind), (1_000, None), (1_000, blind))
    assert [(one.stream, one.kind) for one in points(tmp_path)] == [
        ("shop", "blind"),
        ("shop", "blind"),
    ]


def test_closing_names_the_file_also_for_a_later_controller(tmp_path: Path) -> None:
    tale = run_until("returning")
    taken(tmp_path, tale, (0, THIN))
    later = GateSamples(SideFiles(tmp_path), RUN)
    body = later.close()
    assert body is not None and body.name == f"{RUN}/{NAME}"
    data = SideFiles(tmp_path).get(body.sha256)
    assert data is not None and read_points(data)[0].kind == "hold"
    assert later.close() is None


def test_a_full_disk_stops_nothing(tmp_path: Path) -> None:
    samples = GateSamples(SideFiles(tmp_path), RUN)
    folder = tmp_path / "side" / "open"
    folder.rmdir()
    folder.write_bytes(b"in the way")
    tale = run_until("returning")
    samples.take(tale.state, tale.sight())
    assert samples.close() is None


@pytest.mark.parametrize("bad", [False, True], ids=["good release", "bad release"])
def test_a_whole_run_leaves_its_looks(tmp_path: Path, bad: bool) -> None:
    """The orchestrator itself, in virtual time, until it is done or held."""

    def prepare(rig: Rig) -> None:
        rig.bad_release = bad

    _, run = go(tmp_path, prepare)
    side = SideFiles(tmp_path / "journal")
    with JournalReader.open(tmp_path / "journal") as reader:
        kept = [
            side.get(one.body.sha256)
            for one in reader.records()
            if isinstance(one.body, SideLog) and one.body.name.endswith(NAME)
        ]
    looks = read_points((kept or [side.still_open(run.run, NAME)])[0] or b"")
    shares = [100, 500, 2500, 5000]
    if bad:
        assert kept == []
        assert (looks[-1].kind, looks[-1].share_bp) == ("fail", 100)
        assert looks[-1].rollback_mlog10 >= looks[-1].rollback_need
    else:
        assert len(kept) == 1
        assert sorted({one.share_bp for one in looks}) == shares
        assert {one.region for one in looks} == {"fra", "ber"}
