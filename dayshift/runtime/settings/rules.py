"""What a well-formed estate must also mean: the rules between its keys.

Every rule notes its faults on the source and goes on, so that all are told at once. The
policy's own rules are in `policy_rules`, those of a change in `change_rules`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dayshift.limits import (
    DIALS_MAX,
    FULL_BP,
    PLACES_MAX,
    REGIONS_MAX,
    SERVICES_MAX,
)
from dayshift.model.estate import Disposition
from dayshift.model.evidence import Side
from dayshift.model.units import percent
from dayshift.runtime.settings.estate_file import (
    EstateFile,
    MeterFile,
    ProbeFile,
    ResidueFile,
    ServiceFile,
)
from dayshift.runtime.settings.place_rules import place_rules
from dayshift.runtime.settings.policy_rules import pace_rules, policy_rules
from dayshift.runtime.settings.units import WILDCARD, name_fault
from dayshift.runtime.settings.yaml_source import Path_, Source, short

REGION_MAPS = ("addresses", "clusters", "regions", "urls")
"""Options that map each region to something, in every driver of traffic."""
EXPLICIT = "targets are explicit: empty, null and wildcard never mean all"
EMPTY_NEEDS = "a region is proven empty only by meters of both sides"


def estate_rules(file: EstateFile, source: Source) -> None:
    """Note every fault of meaning in an estate."""
    written = source.data.get("regions")
    regions = list(written) if isinstance(written, dict) else []
    names(_estate_names(file), source)
    _sizes(file, regions, source)
    for name, service in file.services.items():
        _service(service, ("services", name), regions, source)
    dials = [
        (dial.name, ("services", name, "dials", number, "name"))
        for name, service in file.services.items()
        for number, dial in enumerate(service.dials)
    ]
    unique(dials, source, "claims and records name dials by it")
    for name, duty in file.duties.items():
        path = ("duties", name, "regions")
        if "regions" in duty.model_fields_set:
            named_regions(duty.regions, regions, path, source)
            if len(duty.regions) == 1:
                what, because = "names one region", "then no other could take the duty"
                source.fault("REGIONS-INVALID", path, what, "name two or more", because)
    channels = [(one.name, ("notify", i, "name")) for i, one in enumerate(file.notify)]
    unique(channels, source, "acknowledgements name the channel by it")
    policy_rules(file.policy, source)
    place_rules(file, source)
    paced = (
        (("services", name, "meters", number), meter)
        for name, service in file.services.items()
        for number, meter in enumerate(service.meters)
        if not service.stays
    )
    pace_rules(file.policy, paced, source)


def _estate_names(file: EstateFile) -> Iterator[tuple[str, Path_]]:
    yield file.estate, ("estate",)
    for key in ("regions", "services", "duties", "brackets", "agents", "controllers"):
        for name in getattr(file, key):
            yield name, (key, name)
    for service, one in file.services.items():
        for key in ("dials", "meters", "probes"):
            for number, part in enumerate(getattr(one, key)):
                at = ("services", service, key, number)
                yield part.name, (*at, "name")
                if key == "meters" and part.users:
                    yield part.users, (*at, "users")
        for number, residue in enumerate(one.residue):
            yield residue.class_, ("services", service, "residue", number, "class")
    for number, channel in enumerate(file.notify):
        yield channel.name, ("notify", number, "name")


def _sizes(file: EstateFile, regions: list[str], source: Source) -> None:
    need = file.policy.serving + 1
    if not regions:
        because = "an estate without regions has nothing to maintain"
        source.fault("ESTATE-EMPTY", ("regions",), "is empty", "name two", because)
    elif len(regions) < need:
        because = "while one region is out, that many others must keep serving"
        next_step = "name more regions, or lower policy.serving"
        what = f"has {len(regions)}, policy.serving {file.policy.serving} needs {need}"
        source.fault("TOO-FEW-REGIONS", ("regions",), what, next_step, because)
    moving = [name for name, one in file.services.items() if not one.stays]
    if not moving:
        what = "is empty" if not file.services else "has none that moves (all `stays`)"
        because = "an estate without services has no traffic to move"
        source.fault("ESTATE-EMPTY", ("services",), what, "describe one", because)
    for count, most, key in (
        (len(regions), REGIONS_MAX, "regions"),
        (len(file.services), SERVICES_MAX, "services"),
        (sum(len(one.dials) for one in file.services.values()), DIALS_MAX, "dials"),
        (sum(len(one.shares) for one in file.services.values()), PLACES_MAX, "places"),
    ):
        if count > most:
            path: Path_ = (key,) if key == "regions" else ("services",)
            what = f"has {count} {key} (limit {most})"
            source.fault("ESTATE-TOO-LARGE", path, what, "split the estate")


def _service(
    service: ServiceFile, path: Path_, regions: list[str], source: Source
) -> None:
    _shares(service, path, regions, source)
    if not service.stays:
        _instruments(service, path, regions, source)
    _measured("meters", service.meters, path, regions, source)
    _measured("probes", service.probes, path, regions, source)
    for number, dial in enumerate(service.dials):
        at = (*path, "dials", number, "options")
        _option_maps(dial.options, regions, regions, at, source)
    for number, residue in enumerate(service.residue):
        _residue(residue, (*path, "residue", number), source)
    classes = [
        (one.class_, (*path, "residue", i, "class"))
        for i, one in enumerate(service.residue)
    ]
    unique(classes, source, "one class has one disposition")


def _shares(
    service: ServiceFile, path: Path_, regions: list[str], source: Source
) -> None:
    region_map(service.shares, regions, (*path, "shares"), source)
    region_map(service.capacity_rps, regions, (*path, "capacity_rps"), source)
    total = sum(service.shares.values())
    if total != FULL_BP:
        what = f"sums to {percent(total)}, not 100.00 %"
        because = "every request must have a region"
        verb = "add" if total < FULL_BP else "take away"
        next_step = f"{verb} {percent(abs(FULL_BP - total))}"
        source.fault("SHARES-INVALID", (*path, "shares"), what, next_step, because)
    for name, rps in service.capacity_rps.items():
        if rps < 1:
            what = f"is {rps} requests per second (least 1)"
            because = "a region without capacity can never take over"
            at = (*path, "capacity_rps", name)
            source.fault("CAPACITY-INVALID", at, what, "measure it", because)


def _measured(
    key: str,
    ones: Sequence[MeterFile | ProbeFile],
    path: Path_,
    regions: list[str],
    source: Source,
) -> None:
    """Names, regions and targets of meters or probes."""
    named = [(one.name, (*path, key, i, "name")) for i, one in enumerate(ones)]
    unique(named, source, "readings are told apart by it")
    for number, one in enumerate(ones):
        at = (*path, key, number)
        if "regions" in one.model_fields_set:
            named_regions(one.regions, regions, (*at, "regions"), source)
        wanted = one.regions or regions
        _option_maps(one.options, wanted, regions, (*at, "options"), source)


def _instruments(
    service: ServiceFile, path: Path_, regions: list[str], source: Source
) -> None:
    """What a service that moves must have: a dial, meters of both sides, a probe."""
    if not service.dials:
        because = "without a dial no traffic can be moved"
        next_step = "add one, or say under `stays:` why the service stays"
        what = "has no dial"
        source.fault("DIAL-MISSING", (*path, "dials"), what, next_step, because)
    for side in Side:
        sided = [one for one in service.meters if one.side is side]
        next_step = f"add a meter with `side: {side.value}`"
        bare = _uncovered(sided, regions)
        if bare is not None:
            what = f"has no {side.value}-side meter{bare}"
            at = (*path, "meters")
            source.fault("METER-MISSING", at, what, next_step, EMPTY_NEEDS)
    bare = _uncovered(service.probes, regions)
    if bare is not None:
        because = "a region is asked directly before users return to it"
        what = f"has no probe{bare}"
        source.fault("PROBE-MISSING", (*path, "probes"), what, "add one", because)


def _uncovered(ones: Sequence[MeterFile | ProbeFile], regions: list[str]) -> str | None:
    """Which regions none of these speaks about, in words; None if all are covered."""
    covered = {name for one in ones for name in (one.regions or regions)}
    bare = [name for name in regions if name not in covered]
    if not ones:
        return ""
    return f" for {', '.join(bare)}" if bare else None


def _residue(residue: ResidueFile, path: Path_, source: Source) -> None:
    kind = residue.disposition
    needed = {
        Disposition.EXPECTED: ("source", "ceiling_rpm"),
        Disposition.FORWARD: (),
        Disposition.CUT: ("cut_after",),
        Disposition.ACCEPTED: ("accepted_by", "second", "expires", "ceiling_rpm"),
    }
    owners = {"cut_after": Disposition.CUT}
    owners |= dict.fromkeys(("accepted_by", "second", "expires"), Disposition.ACCEPTED)
    because = "what still reaches a drained region needs an answer by somebody"
    for key in needed[kind]:
        if not getattr(residue, key):
            what = f"is missing, disposition {kind.value} needs it"
            at = (*path, key)
            source.fault("RESIDUE-INVALID", at, what, f"add `{key}:`", because)
    for key, owner in owners.items():
        if key in residue.model_fields_set and kind is not owner:
            what = f"belongs to disposition {owner.value}, this one is {kind.value}"
            next_step = "remove it, or change the disposition"
            source.fault("RESIDUE-INVALID", (*path, key), what, next_step, because)
    if residue.second and residue.second.strip() == residue.accepted_by.strip():
        what = f"{short(residue.second)} cannot be the second person of their own"
        because = "an accepted loss takes two people"
        at = (*path, "second")
        source.fault("RESIDUE-INVALID", at, what, "name somebody else", because)


def _option_maps(
    options: Mapping[str, Any],
    wanted: Iterable[str],
    regions: list[str],
    path: Path_,
    source: Source,
) -> None:
    """Options that map regions name each one, and give each one a target."""
    for key in REGION_MAPS:
        if key not in options:
            continue
        here, value = (*path, key), options[key]
        if value in (None, "", WILDCARD, [], {}):
            what = "names no region" if value != WILDCARD else "is a wildcard"
            source.fault("TARGETS-EMPTY", here, what, "name each region", EXPLICIT)
        elif isinstance(value, dict):
            region_map(value, regions, here, source, wanted)
            for name, target in value.items():
                if target in (None, "", WILDCARD, [], {}):
                    what, at = "has no explicit target", (*here, name)
                    source.fault("TARGETS-EMPTY", at, what, "name one", EXPLICIT)


def region_map(
    named: Iterable[str],
    regions: list[str],
    path: Path_,
    source: Source,
    wanted: Iterable[str] | None = None,
) -> None:
    """Note regions that a mapping names wrongly or leaves out."""
    found, there = list(named), set(regions)
    for name in found:
        if name not in there:
            unknown_region(name, regions, (*path, name), source)
    missing = there.difference(found)
    for name in regions if wanted is None else wanted:
        if name in missing:
            what = f"says nothing about region {short(name)}"
            source.fault("REGION-MISSING", path, what, f"add {short(name)}", EXPLICIT)


def named_regions(
    named: list[str], regions: list[str], path: Path_, source: Source
) -> None:
    """Note what is wrong with a list of regions."""
    if not named:
        next_step = "name the regions, or remove the key"
        source.fault("TARGETS-EMPTY", path, "names no region", next_step, EXPLICIT)
    there, before = set(regions), set()
    for number, name in enumerate(named):
        if name not in there:
            unknown_region(name, regions, (*path, number), source)
        elif name in before:
            what = f"names {short(name)} a second time"
            source.fault("REGION-TWICE", (*path, number), what, "name it once")
        before.add(name)


def unknown_region(name: str, regions: list[str], path: Path_, source: Source) -> None:
    """Note a region that the estate does not have."""
    if not regions:
        return
    listed = f"use {' or '.join(regions[:8])}"
    if name == WILDCARD or not name:
        what = "is a wildcard" if name else "names no region"
        source.fault("TARGETS-EMPTY", path, what, listed, EXPLICIT)
        return
    what = f"names region {short(name)}, which the estate does not have"
    source.fault("REGION-UNKNOWN", path, what, listed)


def names(found: Iterable[tuple[str, Path_]], source: Source) -> None:
    """Note every name that cannot be one."""
    because = "names stand in claims at devices, in records and in file names"
    for name, path in found:
        fault = name_fault(name)
        if fault:
            source.fault("NAME-INVALID", path, fault, "choose another name", because)


def unique(
    named: Iterable[tuple[str, Path_]], source: Source, because: str = ""
) -> None:
    """Note every name that is taken already."""
    seen: dict[str, Path_] = {}
    for name, path in named:
        if name and name in seen:
            what = f"{short(name)} is taken in line {source.line(seen[name])}"
            source.fault("NAME-TWICE", path, what, "choose another name", because)
        seen.setdefault(name, path)
