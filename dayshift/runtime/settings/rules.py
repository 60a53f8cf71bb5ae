"""What a well-formed estate or change must also mean. Every rule notes its faults on
the source and goes on, so that all of them are shown at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from dayshift.limits import FULL_BP
from dayshift.model.estate import Disposition, Estate
from dayshift.model.evidence import Side
from dayshift.runtime.settings.estate_file import (
    ChangeFile,
    EstateFile,
    MeterFile,
    PolicyFile,
    ProbeFile,
    RegionWorkFile,
    ResidueFile,
    ServiceFile,
)
from dayshift.runtime.settings.yaml_source import Path_, Source


def estate_rules(file: EstateFile, source: Source) -> None:
    """Note every fault of meaning in an estate."""
    regions = set(file.regions)
    need = file.policy.serving + 1
    if len(regions) < need:
        source.fault(
            "TOO-FEW-REGIONS",
            ("regions",),
            f"{len(regions)} regions; policy.serving {file.policy.serving} needs "
            f"{need}",
            "name more regions or lower policy.serving",
        )
    for name, service in file.services.items():
        _service(service, ("services", name), regions, source)
    _unique(
        [
            (dial.name, ("services", name, "dials", number, "name"))
            for name, service in file.services.items()
            for number, dial in enumerate(service.dials)
        ],
        source,
    )
    for name, duty in file.duties.items():
        known = duty.regions if duty.regions is not None else sorted(regions)
        _regions(known, regions, ("duties", name, "regions"), source, least=2)
    _unique(
        [(n.name, ("notify", i, "name")) for i, n in enumerate(file.notify)], source
    )
    _policy(file.policy, source)


def _service(
    service: ServiceFile, path: Path_, regions: set[str], source: Source
) -> None:
    for key in ("shares", "capacity_rps"):
        named = set(getattr(service, key))
        for name in sorted(named - regions):
            _unknown(name, regions, (*path, key, name), source)
        for name in sorted(regions - named):
            source.fault(
                "REGION-MISSING",
                (*path, key),
                f"says nothing about region {name}",
                f"add {name}",
            )
    total = sum(service.shares.values())
    if total != FULL_BP:
        source.fault(
            "SHARES-INVALID",
            (*path, "shares"),
            f"sum to {total / 100:.2f} %, not 100.00 %",
            "make them sum to 100 %",
        )
    for side in Side:
        if not any(one.side is side for one in service.meters):
            source.fault(
                "METER-MISSING",
                (*path, "meters"),
                f"has none on the {side.value} side, so a region could not be proven "
                "empty",
                f"add a meter with `side: {side.value}`",
            )
    kinds: tuple[tuple[str, Sequence[MeterFile | ProbeFile]], ...] = (
        ("meters", service.meters),
        ("probes", service.probes),
    )
    for kind, ones in kinds:
        named_at: list[tuple[str, Path_]] = []
        for number, one in enumerate(ones):
            here = (*path, kind, number)
            named_at.append((one.name, (*here, "name")))
            if one.regions is not None:
                _regions(one.regions, regions, (*here, "regions"), source)
        _unique(named_at, source)
    for number, residue in enumerate(service.residue):
        _residue(residue, (*path, "residue", number), source)
    _unique(
        [(r.class_, (*path, "residue", i)) for i, r in enumerate(service.residue)],
        source,
    )


def _residue(residue: ResidueFile, path: Path_, source: Source) -> None:
    missing: list[str] = []
    match residue.disposition:
        case Disposition.EXPECTED:
            missing = [k for k in ("source", "ceiling_rpm") if not getattr(residue, k)]
        case Disposition.CUT:
            missing = [] if residue.cut_after else ["cut_after"]
        case Disposition.ACCEPTED:
            wanted = ("accepted_by", "second", "expires", "ceiling_rpm")
            missing = [k for k in wanted if not getattr(residue, k)]
            if residue.second and residue.second == residue.accepted_by:
                source.fault(
                    "RESIDUE-INVALID",
                    (*path, "second"),
                    f"{residue.second} cannot be the second person of their own",
                    "name somebody else",
                )
        case Disposition.FORWARD:
            pass
    for key in missing:
        source.fault(
            "RESIDUE-INVALID",
            path,
            f"disposition {residue.disposition.value} needs {key}",
            f"add {key}",
        )
    if residue.expires and expires_wall_ms(residue.expires) is None:
        source.fault(
            "RESIDUE-INVALID",
            (*path, "expires"),
            f"`{residue.expires[:40]}` is no time with a zone",
            "write it like 2026-12-31T18:00:00+01:00",
        )


def expires_wall_ms(text: str) -> int | None:
    """Milliseconds since the epoch of an ISO 8601 time with its zone, or None."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if moment.tzinfo is None else int(moment.timestamp() * 1000)


def _policy(policy: PolicyFile, source: Source) -> None:
    drain, ramp = list(policy.drain), list(policy.ramp)
    if drain != sorted(set(drain), reverse=True) or drain[-1] != 0:
        source.fault(
            "DRAIN-INVALID",
            ("policy", "drain"),
            "does not fall step by step to 0 %",
            "write it like [25 %, 0 %]",
        )
    if ramp != sorted(set(ramp)) or ramp[0] == 0:
        source.fault(
            "RAMP-INVALID",
            ("policy", "ramp"),
            "does not rise from above 0 %",
            "write it like [1 %, 5 %, 25 %, 50 %]",
        )
    if policy.quiet < policy.fresh // 2 or not policy.quiet:
        source.fault(
            "QUIET-INVALID",
            ("policy", "quiet"),
            f"{policy.quiet} ms of silence with readings up to {policy.fresh} ms old "
            "would prove nothing",
            "make quiet at least as long as fresh",
        )
    if policy.fresh < 500:
        source.fault(
            "FRESH-INVALID",
            ("policy", "fresh"),
            f"{policy.fresh} ms is shorter than two looks (least 500 ms)",
            "make it longer",
        )
    slow = list(policy.gate.slow)
    if slow != sorted(set(slow)) or (slow and not slow[0]):
        source.fault(
            "SLOW-INVALID", ("policy", "gate", "slow"), "does not rise", "sort it"
        )


def _unique(named: Iterable[tuple[str, Path_]], source: Source) -> None:
    seen: set[str] = set()
    for name, path in named:
        if name in seen:
            source.fault("NAME-TWICE", path, f"{name} is taken", "choose another name")
        seen.add(name)


def _regions(
    named: Iterable[str],
    regions: set[str],
    path: Path_,
    source: Source,
    least: int = 1,
) -> None:
    names = list(named)
    for name in sorted(set(names) - regions):
        _unknown(name, regions, path, source)
    if len(set(names)) < least or len(set(names)) != len(names):
        source.fault(
            "REGIONS-INVALID",
            path,
            f"names {len(set(names))} different regions of {len(names)} "
            f"(least {least}); empty means none, never all",
            "name each region once",
        )


def _unknown(name: str, regions: set[str], path: Path_, source: Source) -> None:
    source.fault(
        "REGION-UNKNOWN",
        path,
        f"there is no region {name}",
        f"use one of {', '.join(sorted(regions)) or 'the regions above'}",
    )


def change_rules(file: ChangeFile, estate: Estate, source: Source) -> None:
    """Note every fault of meaning in a change."""
    regions = set(estate.region_names())
    seen: set[str] = set()
    for number, one in enumerate(file.regions):
        own = isinstance(one, RegionWorkFile)
        name = one.region if isinstance(one, RegionWorkFile) else one
        path: Path_ = ("regions", number, "region") if own else ("regions", number)
        if name not in regions:
            _unknown(name, regions, path, source)
        if name in seen:
            source.fault("REGION-TWICE", path, f"{name} a second time", "name it once")
        seen.add(name)
        if isinstance(one, RegionWorkFile) and one.steps is not None:
            steps = ("regions", number, "steps")
            _unique([(s.name, (*steps, i)) for i, s in enumerate(one.steps)], source)
    _unique([(s.name, ("steps", i)) for i, s in enumerate(file.steps)], source)
