"""Sealed bundles: what is believed, and what is refused, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dayshift.errors import Refused
from dayshift.journal.sealed import (
    BUNDLE,
    SealDamaged,
    SealFile,
    SealNote,
    install_bundle,
    pin,
    read_bundle,
    read_file,
    seal,
    trusted,
    unseal,
)
from dayshift.journal.signing import Signer
from dayshift.limits import (
    GLASS_MARKS,
    GLASS_SPAN,
    GLASS_STEP,
    SEAL_BYTES_MAX,
)
from dayshift.model.glass import break_epoch, is_glass, mark, mark_in, next_epoch

NOTE = SealNote(
    kind="bundle",
    estate="shop",
    journal="j" * 32,
    seq=7,
    hash="0" * 64,
    epoch=3,
    wall_ms=1_700_000_000_000,
    holder="ada@fra pid 1",
    machine="fra",
    sha256="",
)


def folder(place: Path, name: str) -> tuple[Path, Signer]:
    made = place / name
    made.mkdir()
    return made, Signer(made)


def test_what_was_sealed_here_is_read_back(tmp_path: Path) -> None:
    here, signer = folder(tmp_path, "here")
    install_bundle(here, seal(signer, NOTE, b"what is known"))
    found = read_bundle(here, "shop")
    assert found.payload == b"what is known"
    assert (found.note.seq, found.note.machine) == (7, "fra")
    assert found.key == signer.public_hex


def test_the_newest_of_two_counts_and_the_older_one_survives(tmp_path: Path) -> None:
    here, signer = folder(tmp_path, "here")
    file = SealFile(here)
    for text in (b"first", b"second", b"third"):
        assert file.write(seal(signer, NOTE, text))
    file.close()
    assert read_bundle(here).payload == b"third"
    whole = (here / BUNDLE).read_bytes()
    at = whole.index(b"third")
    torn = bytearray(whole)
    torn[at] ^= 1
    (here / BUNDLE).write_bytes(bytes(torn))
    assert read_bundle(here).payload == b"second"


def test_room_is_taken_once_and_never_asked_for_again(tmp_path: Path) -> None:
    here, signer = folder(tmp_path, "here")
    file = SealFile(here)
    before = (here / BUNDLE).stat().st_blocks
    assert file.write(seal(signer, NOTE, bytes(SEAL_BYTES_MAX // 2)))
    assert not file.write(seal(signer, NOTE, bytes(SEAL_BYTES_MAX)))
    file.close()
    assert (here / BUNDLE).stat().st_blocks == before


def code(work: object) -> str:
    with pytest.raises(Refused) as caught:
        work()  # type: ignore[operator]
    return caught.value.reason.code


def test_what_is_refused_and_why(tmp_path: Path) -> None:
    here, mine = folder(tmp_path, "here")
    _, other = folder(tmp_path, "other")
    assert code(lambda: read_bundle(here)) == "SEAL-ABSENT"
    install_bundle(here, seal(mine, NOTE, b"x"))
    assert code(lambda: read_bundle(here, "bank")) == "SEAL-OF-ANOTHER-ESTATE"
    forged = tmp_path / "forged"
    forged.write_bytes(seal(other, NOTE, b"x"))
    sealed = read_file(forged)
    assert code(lambda: trusted(here, sealed)) == "SEAL-UNTRUSTED"
    install_bundle(here, forged.read_bytes())
    assert code(lambda: read_bundle(here)) == "SEAL-UNTRUSTED"
    pin(here, other.public_hex)
    assert read_bundle(here).key == other.public_hex
    cut = tmp_path / "cut"
    cut.write_bytes(forged.read_bytes()[:-1])
    assert code(lambda: read_file(cut)) == "SEAL-DAMAGED"
    assert code(lambda: read_file(tmp_path / "absent")) == "SEAL-DAMAGED"


def test_every_bit_counts(tmp_path: Path) -> None:
    _, signer = folder(tmp_path, "here")
    data = seal(signer, NOTE, b"what is known")
    for at in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[at] ^= 1 << bit
            with pytest.raises(SealDamaged):
                unseal(bytes(flipped))
    for length in range(len(data)):
        with pytest.raises(SealDamaged):
            unseal(data[:length])


EPOCHS = st.integers(0, 1_000_000) | st.integers(0, 3).map(
    lambda one: one * GLASS_STEP + GLASS_STEP // 2
)


@given(known=EPOCHS, steps=st.integers(1, 1000), machine=st.text(max_size=20))
@settings(max_examples=300)
def test_a_break_glass_outranks_until_it_is_merged(
    known: int, steps: int, machine: str
) -> None:
    broken = break_epoch(known, machine)
    regular = known
    for _ in range(steps):
        regular = next_epoch(regular)
    assert broken > regular
    assert is_glass(broken)
    assert not is_glass(regular)
    assert mark_in(broken) == mark(machine)
    assert break_epoch(broken, machine) == broken + 1
    merged = next_epoch(broken)
    assert merged > broken
    assert not is_glass(merged)
    assert break_epoch(merged, machine) > merged
    assert merged > (broken // GLASS_STEP) * GLASS_STEP + GLASS_MARKS * GLASS_SPAN


def test_two_machines_never_break_under_one_epoch() -> None:
    names = [f"machine-{number}" for number in range(200)]
    assert len({break_epoch(5, name) // GLASS_SPAN for name in names}) == len(
        {mark(name) for name in names}
    )
    assert break_epoch(5, "fra-1") != break_epoch(5, "ber-1")
