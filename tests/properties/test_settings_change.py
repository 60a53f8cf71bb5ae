"""Every rule of a change, one wrong edit of the good file each."""

from __future__ import annotations

from pathlib import Path

import pytest

from dayshift.errors import SettingsInvalid
from tests.kit.writing import CHANGE, change_of, edited, told

CHANGE_CASES = {
    "an unknown region": ("region: ber", "region: muc", "REGION-UNKNOWN", "fra or ber"),
    "a region twice": ("region: ber", "region: fra", "REGION-TWICE", "line 5"),
    "a wildcard": ("region: ber", 'region: "*"', "TARGETS-EMPTY", "wildcard"),
    "an empty region": ("region: ber", 'region: ""', "TARGETS-EMPTY", "no region"),
    "a null region": ("region: ber", "region:", "VALUE-INVALID", "never means all"),
    "a version that is a number": (
        'expect_version: "2"', "expect_version: 2", "VALUE-INVALID", "quotes"
    ),
    "an unknown worker": (
        "worker: command", "worker: comand", "DRIVER-UNKNOWN", "`command`"
    ),
    "a worker's unknown key": ("check:", "chekc:", "KEY-UNKNOWN", "`check`"),
    "a step without argv": ('argv: [./upgrade, "2"]', "", "KEY-MISSING", "argv"),
    "an interrupt": ("interrupt: never", "interrupt: nevr", "VALUE-INVALID", "`never`"),
    "no reason": (
        "reason: upgrade the shop to version 2", 'reason: ""', "REASON-EMPTY", "say why"
    ),
    "no limit's unit": ("limit: 1 min", "limit: 60", "VALUE-INVALID", "`60 s`"),
    "a step twice": (
        "  - name: upgrade\n",
        "  - {name: upgrade, worker: command, options: {argv: [./x]}}\n"
        "  - name: upgrade\n",
        "NAME-TWICE", "taken in line",
    ),
    "own steps that are empty": (
        'expect_version: "2"', "steps: []", "STEPS-EMPTY", "nothing to do in fra"
    ),
    "a change's name": ("change: shop-2", "change: shop 2", "NAME-INVALID", "no name"),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGE_CASES)
def test_a_wrong_change_is_told_at_its_line(case: str, tmp_path: Path) -> None:
    old, new, code, words = CHANGE_CASES[case]
    text, _ = edited(CHANGE, old, new)
    with pytest.raises(SettingsInvalid) as caught:
        change_of(text, tmp_path)
    reason = told(caught.value, code)
    assert words in f"{reason.what} {reason.next}", str(reason)
    assert reason.what.startswith("change.yaml:")


def test_common_steps_are_for_regions_without_their_own(tmp_path: Path) -> None:
    own = "steps: [{name: reboot, worker: command, options: {argv: [./reboot]}}]"
    text, _ = edited(CHANGE, 'expect_version: "2"', own)
    fra, ber = change_of(text, tmp_path).regions
    assert [step.name for step in fra.steps] == ["reboot"] and not fra.steps[0].undo
    assert [step.name for step in ber.steps] == ["upgrade"] and ber.steps[0].undo


def test_a_region_alone_is_short_for_its_mapping(tmp_path: Path) -> None:
    text = CHANGE.replace('- region: fra\n    expect_version: "2"', "- fra")
    short, long = change_of(text, tmp_path), change_of(CHANGE, tmp_path)
    assert short.regions[0].steps == long.regions[0].steps
