"""Files → frozen estate and change: the functions that others call.

A file is read, put into its form, checked for meaning and against the drivers that it
names; whatever is wrong is told at once.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from dayshift.drivers.base import GivesGauges
from dayshift.model.estate import Change, Estate, StoreSpec
from dayshift.runtime.settings import calibration_file
from dayshift.runtime.settings.change_file import ChangeFile
from dayshift.runtime.settings.change_rules import change_rules, step_lists
from dayshift.runtime.settings.estate_file import DialFile, EstateFile
from dayshift.runtime.settings.forms import Driven
from dayshift.runtime.settings.places_form import PLACE_KEYS, JournalFile, PlaceFile
from dayshift.runtime.settings.policy_rules import gauge_rules
from dayshift.runtime.settings.resolve import change_of, estate_of, store_of
from dayshift.runtime.settings.rules import estate_rules
from dayshift.runtime.settings.shape import (
    Drivers,
    Known,
    OptionsOf,
    form_of,
    installed,
)
from dayshift.runtime.settings.yaml_source import Path_, read


def load_estate(path: Path, options_of: OptionsOf, known: Known = installed) -> Estate:
    """Read `dayshift.yaml`, and what was learned of the estate, if it stands beside.

    Args:
        options_of: (kind, driver) → the model of its options, None if unknown.
        known: kind → the drivers that there are, for messages.

    Raises:
        SettingsInvalid: all that is wrong with it.
    """
    source = read(path)
    file = form_of(EstateFile, source)
    estate_rules(file, source)
    drivers = Drivers(source, options_of, known)
    gauges: set[str] = set()
    unread = False
    for kind, where, one in _driven(file):
        options: dict[str, Any] = one.options
        if kind == "duties":
            # Wiring tells a duty its regions; people write them beside the options.
            options = {**options, "regions": list(file.regions)}
        if isinstance(one, DialFile) and one.agents:
            # Which driver steers it, and how, stands in the agents' own files.
            continue
        read_as = drivers.check(kind, one.driver, options, (*where, "driver"))
        if isinstance(read_as, GivesGauges):
            gauges |= set(read_as.gauge_names())
        unread |= kind == "meters" and read_as is None
    _check_store(file.journal, drivers)
    if not unread:
        gauge_rules(file.policy, gauges, source)
    source.check()
    estate = estate_of(file)
    estate = replace(estate, calibrations=calibration_file.beside(path, estate))
    return replace(estate, fingerprint=_fingerprint("estate", estate))


def load_journal(
    path: Path, options_of: OptionsOf, known: Known = installed
) -> tuple[str, StoreSpec]:
    """The estate's name and where its journal lies, from `dayshift.yaml` alone.

    Why: whoever only looks at a run must not depend on the rest of the file.

    Raises:
        SettingsInvalid: these two parts cannot be read.
    """
    whole = read(path)
    parts = {key: whole.data[key] for key in PLACE_KEYS if key in whole.data}
    source = dataclasses.replace(whole, data=parts)
    file = form_of(PlaceFile, source)
    drivers = Drivers(source, options_of, known)
    _check_store(file.journal, drivers)
    source.check()
    return file.estate, store_of(file.journal)


def _check_store(journal: JournalFile, drivers: Drivers) -> None:
    drivers.check("stores", journal.driver, journal.options, ("journal", "driver"))


def load_change(
    path: Path, estate: Estate, options_of: OptionsOf, known: Known = installed
) -> Change:
    """Read `change.yaml` for `estate`.

    Raises:
        SettingsInvalid: all that is wrong with it.
    """
    source = read(path)
    file = form_of(ChangeFile, source)
    change_rules(file, estate, source)
    drivers = Drivers(source, options_of, known)
    for where, steps in step_lists(file):
        for number, step in enumerate(steps):
            at = (*where, number, "worker")
            drivers.check("workers", step.worker, step.options, at)
    source.check()
    change = change_of(file)
    return replace(change, fingerprint=_fingerprint("change", change))


def where(path: Path, dotted: str) -> str:
    """Where a value stands in a file: `policy.headroom` → `dayshift.yaml:41`.

    Raises:
        SettingsInvalid: the file is no YAML.
    """
    parts: Path_ = tuple(
        int(part) if part.isdecimal() else part for part in dotted.split(".")
    )
    return read(path).where(parts)


def _fingerprint(kind: str, thing: msgspec.Struct) -> str:
    """A hash over the meaning: comments and spelling do not count."""
    content = msgspec.json.encode(thing, order="sorted")
    return hashlib.sha256(f"dayshift {kind} 1\n".encode() + content).hexdigest()


def _driven(file: EstateFile) -> Iterator[tuple[str, Path_, Driven]]:
    """Everything with a driver: its kind, where it stands, what it says."""
    for name, service in file.services.items():
        for kind in ("dials", "meters", "probes"):
            for number, part in enumerate(getattr(service, kind)):
                yield kind, ("services", name, kind, number), part
    for name, duty in file.duties.items():
        yield "duties", ("duties", name), duty
    for name, bracket in file.brackets.items():
        yield "brackets", ("brackets", name), bracket
    for number, channel in enumerate(file.notify):
        yield "notify", ("notify", number), channel
