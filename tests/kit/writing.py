"""Wrong edits of the good files, and what is told about them."""

from __future__ import annotations

from pathlib import Path

from dayshift.errors import Reason, SettingsInvalid
from dayshift.model.estate import Change, Estate
from dayshift.runtime import wiring
from dayshift.runtime.settings import load

KIT = Path(__file__).parent
ESTATE = (KIT / "dayshift.yaml").read_text()
CHANGE = (KIT / "change.yaml").read_text()


def estate_of(text: str, folder: Path) -> Estate:
    path = folder / "dayshift.yaml"
    path.write_text(text)
    return load.load_estate(path, wiring.options_of)


def change_of(text: str, folder: Path) -> Change:
    path = folder / "change.yaml"
    path.write_text(text)
    estate = load.load_estate(KIT / "dayshift.yaml", wiring.options_of)
    return load.load_change(path, estate, wiring.options_of)


def edited(text: str, old: str, new: str) -> tuple[str, set[int]]:
    """The text with one edit, and the numbers of the lines that it touched."""
    assert text.count(old) >= 1, f"{old!r} is not in the file"
    before, after = text.split(old, 1)
    first = before.count("\n") + 1
    return before + new + after, set(range(first, first + new.count("\n") + 1))


def told(error: SettingsInvalid, code: str) -> Reason:
    """The reason with this code; every reason has a cause and a way out."""
    for reason in error.reasons:
        assert reason.because and reason.next and reason.so, reason
    found = [reason for reason in error.reasons if reason.code == code]
    assert found, f"no {code} in:\n{error}"
    return found[0]
