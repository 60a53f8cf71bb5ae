"""`dayshift journal` and `seal` as they are typed; the store in `status --json`."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from dayshift.cli.main import main
from dayshift.journal.audit import audit
from dayshift.journal.glass import GlassJournal
from dayshift.journal.reader import JournalReader
from dayshift.journal.sealed import read_bundle
from dayshift.model.records import GlassBroken, Merged
from dayshift.runtime.clock import RealClock
from dayshift.runtime.sealing import unpack
from dayshift.runtime.session import Session, Workspace
from tests.kit.writing import ESTATE, estate_of

Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Typed:
    def run(place: Path, *words: str) -> tuple[int, str, str]:
        code = main([*words, "-C", str(place)])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An estate with a journal; no controller runs."""
    monkeypatch.setenv("NO_COLOR", "1")
    place = new_place(tmp_path / "home")
    controller(place).close()
    return place


def new_place(place: Path) -> Path:
    place.mkdir()
    (place / "dayshift.yaml").write_text(ESTATE)
    return place


def controller(place: Path) -> Session:
    return Session.open(Workspace(place), estate_of(ESTATE, place))


def head_of(place: Path) -> tuple[str, int]:
    with JournalReader.open(Workspace(place).state_dir) as reader:
        return reader.journal_id, reader.head.seq


def test_out_to_a_file_and_in_elsewhere(home: Path, tmp_path: Path, typed: Typed):
    file = tmp_path / "copy.journal"
    code, out, _ = typed(home, "journal", "export", str(file))
    assert code == 0 and "up to record 2" in out
    code, _, err = typed(home, "journal", "export", str(file))
    assert code == 5 and str(file) in err

    away = new_place(tmp_path / "away")
    code, _, err = typed(away, "journal", "import", str(tmp_path / "none"))
    assert code == 5 and err.startswith("FILE-ABSENT")
    code, out, _ = typed(away, "journal", "import", str(file), "--json")
    found = json.loads(out)
    assert code == 0 and found["ok"] and found["head"]["seq"] == head_of(home)[1]
    assert head_of(away) == head_of(home)
    assert audit(Workspace(away).state_dir).ok
    controller(away).close()
    assert head_of(away)[1] == head_of(home)[1] + 1, "a controller goes on there"


def test_a_file_of_another_journal_is_not_mixed_in(
    home: Path, tmp_path: Path, typed: Typed
) -> None:
    other = new_place(tmp_path / "other")
    controller(other).close()
    before = head_of(other)
    file = tmp_path / "copy.journal"
    assert typed(home, "journal", "export", str(file))[0] == 0
    code, _, err = typed(other, "journal", "import", str(file))
    assert code != 0 and err
    assert head_of(other) == before


def test_a_journal_does_not_move_onto_itself(home: Path, typed: Typed) -> None:
    before = head_of(home)
    code, out, err = typed(home, "journal", "move", "--yes")
    assert code == 5 and not out and "next" in err
    assert head_of(home) == before


def test_a_wave_is_given_back_only_where_one_was_taken(
    home: Path, typed: Typed
) -> None:
    code, _, err = typed(home, "journal", "release-wave", "--yes")
    assert code == 5 and err.startswith("WAVE-FREE")
    session = controller(home)
    session.journal.take_wave("run-7", "ada")
    session.close()
    code, out, _ = typed(home, "journal", "release-wave", "--yes")
    assert code == 0 and "run-7" in out and "ada" in out
    assert typed(home, "journal", "release-wave", "--yes")[0] == 5


def test_a_bundle_is_shown_carried_and_trusted(
    home: Path, tmp_path: Path, typed: Typed
) -> None:
    empty = new_place(tmp_path / "empty")
    code, _, err = typed(empty, "seal", "show")
    assert code == 5 and err.startswith("SEAL-ABSENT")

    code, out, _ = typed(home, "seal", "show", "--json")
    shown = json.loads(out)
    assert code == 0 and shown["estate"] == "demo" and shown["waiting"] == 0
    code, out, _ = typed(home, "seal", "show")
    assert code == 0 and shown["key"] in out and "fra, ber can be evacuated" in out

    file = tmp_path / "demo.seal"
    code, out, _ = typed(home, "seal", "export", str(file), "--json")
    assert code == 0 and json.loads(out)["key"] == shown["key"]
    laptop = tmp_path / "laptop"
    laptop.mkdir()
    code, _, err = typed(laptop, "seal", "install", str(file))
    assert code == 5 and err.startswith("SEAL-UNTRUSTED") and shown["key"][:16] in err
    code, out, _ = typed(laptop, "seal", "install", str(file), "--trust", "f" * 64)
    assert code == 5
    trust = ("--trust", shown["key"])
    code, out, _ = typed(laptop, "seal", "install", str(file), *trust, "--json")
    assert code == 0 and json.loads(out)["seq"] == shown["seq"]
    assert typed(laptop, "seal", "show")[0] == 0
    damaged = file.read_bytes()[:-1]
    file.write_bytes(damaged)
    assert typed(laptop, "seal", "install", str(file), *trust)[0] == 5


def test_what_was_done_elsewhere_is_merged_once(
    home: Path, tmp_path: Path, typed: Typed
) -> None:
    laptop = tmp_path / "laptop"
    shutil.copytree(home, laptop)
    code, _, err = typed(laptop, "seal", "entries", str(tmp_path / "none"))
    assert code == 5 and err.startswith("NOTHING-SEALED")
    broken(laptop)

    file = tmp_path / "done.glass"
    code, out, _ = typed(laptop, "seal", "entries", str(file), "--json")
    assert code == 0 and json.loads(out)["entries"] == 1
    key = json.loads(typed(laptop, "seal", "show", "--json")[1])["key"]
    assert json.loads(typed(laptop, "seal", "show", "--json")[1])["waiting"] == 1
    code, out, _ = typed(home, "seal", "merge", str(file), "--trust", key)
    assert (code == 0 and "entries of laptop merged" in out) or "merged" in out
    with JournalReader.open(Workspace(home).state_dir) as reader:
        bodies = [one.body for one in reader.records()]
    assert [one.entries for one in bodies if isinstance(one, Merged)] == [1]
    assert sum(isinstance(one, GlassBroken) for one in bodies) == 1
    assert audit(Workspace(home).state_dir).ok


def test_now_merges_what_waits_here(home: Path, typed: Typed) -> None:
    code, out, _ = typed(home, "seal", "now")
    assert code == 0 and re.fullmatch(r"sealed at record \d+\n", out)
    broken(home)
    code, out, _ = typed(home, "seal", "now", "--json")
    assert code == 0 and json.loads(out)["merged"] == 1
    assert json.loads(typed(home, "seal", "now", "--json")[1])["merged"] == 0


def broken(place: Path) -> None:
    """Somebody breaks the glass here, and gets no further."""
    folder = Workspace(place).state_dir
    sealed = read_bundle(folder)
    state = msgspec.json.encode(unpack(sealed).state)
    glass = GlassJournal.break_open(
        folder, sealed, state, RealClock(), "ada", machine="laptop"
    )
    note = sealed.note
    glass.append(
        GlassBroken(glass.epoch, "laptop", "ada", "fire", note.seq, note.wall_ms)
    )
    glass.close()


def test_status_tells_programs_about_the_store(home: Path, typed: Typed) -> None:
    code, out, _ = typed(home, "status", "--json")
    store = json.loads(out)["store"]
    assert code == 0 and store["driver"] == "sqlite" and store["fault"] == ""
    assert [one["reachable"] for one in store["members"]] == [True]
    assert store["room_bytes"] > 0 and store["leader"] == ""
    session = controller(home)
    try:
        store = json.loads(typed(home, "status", "--json")[1])["store"]
    finally:
        session.close()
    assert store["leader"] and store["epoch"] == session.journal.epoch
    assert 0 <= store["leads_ms"] < 600_000
