"""`dayshift.calibration.json`: what the gate learned, beside `dayshift.yaml`.

Written by `dayshift gate calibrate --write`, read with the estate, so that it is part
of every plan. The form is the model's own; what people decide is in `dayshift.yaml`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from dayshift.errors import Reason, SettingsInvalid
from dayshift.limits import FILE_BYTES_MAX
from dayshift.model.calibration import Calibration, SignalNoise
from dayshift.model.estate import Estate
from dayshift.runtime.settings.yaml_source import Path_, Source, read

NAME = "dayshift.calibration.json"
FORMAT = 1
WAY_OUT = "`dayshift gate calibrate --write` learns it anew; or remove the file"
MAY_BE_NEGATIVE = frozenset({"bias_ppm"})
RATE_FULL = 10**9
_PLACE = re.compile(r"\.([a-z_]+)|\[(\d+)\]")


class Learned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. `format` changes when an older Dayshift could misread it."""

    format: int
    estate: str
    calibrations: tuple[Calibration, ...]


def beside(path: Path, estate: Estate) -> tuple[Calibration, ...]:
    """What was learned of an estate whose file is at `path`; nothing if nothing was.

    Raises:
        SettingsInvalid: there is a file, and it is not right, or of another estate.
    """
    place = path.with_name(NAME)
    return read_calibrations(place, estate) if place.exists() else ()


def read_calibrations(
    path: Path, estate: Estate | None = None
) -> tuple[Calibration, ...]:
    """Read one file.

    Args:
        estate: what it must be of; None: of any.

    Raises:
        SettingsInvalid: it is not right: what is wrong, with its line.
    """
    source = read(path)
    source.check()
    _unknown(source)
    try:
        found = msgspec.convert(source.data, Learned)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at ")
        source.fault("VALUE-INVALID", _path(place), f"is wrong: {what}", WAY_OUT)
        source.check()
        raise
    _rules(found, estate, source)
    source.check()
    return found.calibrations


def write_calibrations(
    path: Path, estate: str, calibrations: Iterable[Calibration]
) -> None:
    """Write one file, whole or not at all.

    Raises:
        SettingsInvalid: it cannot be written there.
    """
    learned = Learned(FORMAT, estate, tuple(calibrations))
    content = msgspec.to_builtins(learned)
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    half = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        if len(text.encode()) > FILE_BYTES_MAX:
            raise OSError(0, f"{len(text)} bytes, and {FILE_BYTES_MAX} can be read")
        with half.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
    except OSError as error:
        half.unlink(missing_ok=True)
        reason = Reason(
            "FILE-UNWRITABLE",
            f"{path} cannot be written: {error.strerror}",
            because="what was learned is kept beside the estate",
            so="nothing was changed",
            next="make room or mend the rights, then the same command again",
        )
        raise SettingsInvalid((reason,)) from None


def schema_text() -> str:
    """The file's JSON Schema, made from the model."""
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **msgspec.json.schema(Learned),
    }
    for name in ("Calibration", "SignalNoise"):
        schema["$defs"][name]["additionalProperties"] = False
    schema["title"] = f"What the gate learned ({NAME})"
    return json.dumps(schema, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def _unknown(source: Source) -> None:
    """Note keys that the model does not have: they would be lost in silence."""
    for path, one, kind in _places(source.data):
        for key in one.keys() - set(kind.__struct_fields__):
            source.fault("KEY-UNKNOWN", (*path, key), "is no key of it", WAY_OUT)


def _places(
    data: dict[str, Any],
) -> Iterator[tuple[Path_, dict[str, Any], type[msgspec.Struct]]]:
    yield (), data, Learned
    for number, one in _mappings(data.get("calibrations")):
        yield ("calibrations", number), one, Calibration
        for index, signal in _mappings(one.get("signals")):
            yield ("calibrations", number, "signals", index), signal, SignalNoise


def _mappings(value: object) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, one in enumerate(value if isinstance(value, list) else ()):
        if isinstance(one, dict):
            yield number, one


def _path(place: str) -> Path_:
    """`$.calibrations[0].trusted` as a path."""
    return tuple(
        name or int(number) for name, number in _PLACE.findall(place.strip("`"))
    )


def _rules(found: Learned, estate: Estate | None, source: Source) -> None:
    """What well-formed values must also mean."""
    if found.format != FORMAT:
        what = f"is {found.format}; this Dayshift reads {FORMAT}"
        source.fault("FORMAT-UNKNOWN", ("format",), what, WAY_OUT)
    if estate is not None and found.estate != estate.name:
        what = f"is `{found.estate}`, and this estate is `{estate.name}`"
        source.fault("OTHER-ESTATE", ("estate",), what, WAY_OUT)
    services = {one.name for one in estate.services} if estate else set()
    seen: set[tuple[str, str]] = set()
    for number, one in enumerate(found.calibrations):
        path: Path_ = ("calibrations", number)
        if estate is not None and one.region not in estate.region_names():
            what = f"is `{one.region}`, which is no region of this estate"
            source.fault("UNKNOWN-REGION", (*path, "region"), what, WAY_OUT)
        if estate is not None and one.stream.partition("/")[0] not in services:
            what = f"is `{one.stream}`, which is of no service of this estate"
            source.fault("UNKNOWN-SERVICE", (*path, "stream"), what, WAY_OUT)
        if (one.stream, one.region) in seen:
            what = f"stands twice: {one.stream} in {one.region}"
            source.fault("STREAM-TWICE", path, what, WAY_OUT)
        seen.add((one.stream, one.region))
        _numbers(one, path, source)
        for index, signal in enumerate(one.signals):
            _numbers(signal, (*path, "signals", index), source)


def _numbers(one: Calibration | SignalNoise, path: Path_, source: Source) -> None:
    """No count, rate or variance is below zero, and no rate above one."""
    for name in one.__struct_fields__:
        value = getattr(one, name)
        if isinstance(value, int) and value < 0 and name not in MAY_BE_NEGATIVE:
            what = f"is {value}, and is never below 0"
            source.fault("VALUE-INVALID", (*path, name), what, WAY_OUT)
        if name == "usual_ppb" and value > RATE_FULL:
            what = f"is {value}, above all of {RATE_FULL}"
            source.fault("VALUE-INVALID", (*path, name), what, WAY_OUT)
