"""What was learned is kept whole, read strictly, and part of every plan."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from dayshift.errors import SettingsInvalid
from dayshift.model.calibration import Calibration, SignalNoise
from dayshift.model.estate import Estate
from dayshift.runtime import wiring
from dayshift.runtime.settings import calibration_file, load
from dayshift.runtime.settings.calibration_file import (
    NAME,
    read_calibrations,
    schema_text,
    write_calibrations,
)

ESTATE = Path(__file__).parent.parent / "kit" / "dayshift.yaml"
LEARNED = Calibration(
    "shop",
    "fra",
    (SignalNoise(0, 1_000_000, 15_000_000, bias_ppm=-20_000), SignalNoise(250_000, 5)),
    True,
    learned_wall_ms=1_700_000_000_000,
    span_ms=14_400_000,
    looks=960,
    requests=7_000_000,
)
VALIDATOR = jsonschema.Draft202012Validator(json.loads(schema_text()))


def estate_in(folder: Path) -> Estate:
    path = folder / "dayshift.yaml"
    path.write_text(ESTATE.read_text())
    return load.load_estate(path, wiring.options_of)


def test_what_stands_beside_the_estate_is_part_of_it(tmp_path: Path) -> None:
    before = estate_in(tmp_path)
    assert before.calibrations == ()
    write_calibrations(tmp_path / NAME, "demo", [LEARNED])
    after = estate_in(tmp_path)
    assert after.calibrations == (LEARNED,)
    assert after.fingerprint != before.fingerprint
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []


numbers = st.integers(0, 10**12)
signals = st.builds(SignalNoise, numbers, st.integers(0, 10**9), numbers,
                    bias_ppm=st.integers(-(10**7), 10**7))  # fmt: skip
calibrations = st.builds(
    Calibration,
    st.sampled_from(["shop", "shop/mobile"]),
    st.sampled_from(["fra", "ber"]),
    st.lists(signals, max_size=3).map(tuple),
    st.booleans(),
    st.text(st.characters(exclude_categories=["C", "Z"]), max_size=20),
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None,
    max_examples=40,
)  # fmt: skip
@given(st.lists(calibrations, unique_by=lambda one: (one.stream, one.region)))
def test_what_is_written_is_what_is_read(
    tmp_path: Path, found: list[Calibration]
) -> None:
    path = tmp_path / NAME
    write_calibrations(path, "demo", found)
    assert read_calibrations(path) == tuple(found)
    VALIDATOR.validate(json.loads(path.read_text()))


FAULTS = {
    "another type": ('"trusted": true', '"trusted": "yes"', "trusted is wrong"),
    "unknown key": ('"dispersion_ppm"', '"dispersal_ppm"', "is no key"),
    "below zero": ('"looks": 960', '"looks": -1', "never below 0"),
    "a rate above one": ('"usual_ppb": 5,', '"usual_ppb": 2000000000,', "above all"),
    "format": ('"format": 1', '"format": 2', "this Dayshift reads 1"),
    "other estate": ('"demo"', '"prod"', "this estate is `demo`"),
    "other region": ('"fra"', '"par"', "no region of this estate"),
    "other service": ('"shop"', '"cart"', "no service of this estate"),
    "torn": ('"looks": 960', '"looks" 960', ""),
    "no mapping": ("{", "[", ""),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_names_its_line_and_the_way_out(tmp_path: Path, fault: str) -> None:
    path = tmp_path / NAME
    write_calibrations(path, "demo", [LEARNED])
    was, becomes, said = FAULTS[fault]
    text = path.read_text()
    assert was in text
    path.write_text(text.replace(was, becomes, 1))
    with pytest.raises(SettingsInvalid) as caught:
        estate_in(tmp_path)
    first = caught.value.reasons[0]
    assert f"{NAME}:" in first.what and said in str(caught.value) and first.next


def test_one_stream_and_region_stand_once(tmp_path: Path) -> None:
    again = replace(LEARNED, trusted=False)
    write_calibrations(tmp_path / NAME, "demo", [LEARNED, again])
    with pytest.raises(SettingsInvalid, match="stands twice: shop in fra"):
        read_calibrations(tmp_path / NAME)


def test_where_nothing_can_be_written_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / NAME
    write_calibrations(path, "demo", [LEARNED])
    before = path.read_bytes()
    many = [replace(LEARNED, stream=f"shop/c{n}") for n in range(12_000)]
    with pytest.raises(SettingsInvalid, match="can be read") as caught:
        write_calibrations(path, "demo", many)
    assert caught.value.reason.next
    assert path.read_bytes() == before
    with pytest.raises(SettingsInvalid, match="cannot be written"):
        write_calibrations(tmp_path / "no" / calibration_file.NAME, "demo", [LEARNED])
