"""The tail of an access log: growing, torn, rotated, foreign, huge."""

from __future__ import annotations

import json
from pathlib import Path

from dayshift.drivers.meters.access_log import TAIL_BYTES, AccessLog
from dayshift.model.evidence import Residue

CLASSES = {"app": "", "app_probe": "probe"}


def line(client: str, cluster: str = "app") -> str:
    return json.dumps({"client": client, "cluster": cluster}) + "\n"


def grow(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def watched(path: Path) -> AccessLog:
    log = AccessLog(path, CLASSES)
    assert log.since_last() == ()
    return log


def test_only_what_came_since_is_told_by_client_and_class(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(line("192.0.2.9") * 5)
    log = watched(path)
    grow(path, line("192.0.2.1") * 2 + line("192.0.2.2", "app_probe") + line("x", "b"))
    assert set(log.since_last()) == {
        Residue("192.0.2.1", "user", 2),
        Residue("192.0.2.2", "probe", 1),
        Residue("x", "b", 1),
    }
    assert log.since_last() == ()


def test_a_torn_line_is_told_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()
    log = watched(path)
    text = line("192.0.2.1")
    grow(path, text[:9])
    assert log.since_last() == ()
    grow(path, text[9:])
    assert log.since_last() == (Residue("192.0.2.1", "user", 1),)


def test_a_rotated_and_a_late_log_are_read_from_their_start(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = watched(path)
    grow(path, line("a"))
    assert log.since_last() == (Residue("a", "user", 1),)
    path.rename(tmp_path / "log.1")
    grow(path, line("b") * 3)
    assert log.since_last() == (Residue("b", "user", 3),)
    path.write_text(line("c"))
    assert log.since_last() == (Residue("c", "user", 1),)


def test_lines_of_another_kind_are_counted_not_skipped(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()
    log = watched(path)
    grow(path, "GET / 200\n[]\n3\n{}\n")
    assert log.since_last() == (Residue("", "unread", 4),)


def test_a_flood_is_bounded_to_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()
    log = watched(path)
    one = line("192.0.2.1")
    grow(path, one * (2 * TAIL_BYTES // len(one)))
    (residue,) = log.since_last()
    assert (residue.client, residue.kind) == ("192.0.2.1", "user")
    assert TAIL_BYTES // len(one) - 1 <= residue.requests <= TAIL_BYTES // len(one)
