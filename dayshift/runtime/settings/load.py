"""Files → frozen estate and change. The only two functions that others call."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace
from pydantic import BaseModel, ValidationError

from dayshift.model import estate as m
from dayshift.model.estate import Change, DriverRef, Estate
from dayshift.runtime.settings import rules
from dayshift.runtime.settings.estate_file import (
    ChangeFile,
    Driven,
    EstateFile,
    GateFile,
    PolicyFile,
    RegionWorkFile,
    ServiceFile,
    StepFile,
)
from dayshift.runtime.settings.yaml_source import Path_, Source, read

OptionsOf = Callable[[str, str], type[BaseModel] | None]
Model = TypeVar("Model", bound=BaseModel)
INJECTED = {"duties": ("regions",)}
"""Options that wiring gives and people do not write."""


def load_estate(path: Path, options_of: OptionsOf) -> Estate:
    """Read `dayshift.yaml`.

    Raises:
        SettingsInvalid: all that is wrong with it.
    """
    source = read(path)
    file = _shape(EstateFile, source)
    rules.estate_rules(file, source)
    for kind, where, driven in _driven(file):
        _options(kind, driven.driver, driven.options, where, source, options_of)
    source.check()
    estate = _estate(file)
    return replace(estate, fingerprint=_fingerprint(estate))


def load_change(path: Path, estate: Estate, options_of: OptionsOf) -> Change:
    """Read `change.yaml` for `estate`.

    Raises:
        SettingsInvalid: all that is wrong with it.
    """
    source = read(path)
    file = _shape(ChangeFile, source)
    rules.change_rules(file, estate, source)
    for where, step in _steps(file):
        worker = step.worker
        _options("workers", worker, step.options, where, source, options_of, "worker")
    source.check()
    change = _change(file)
    return replace(change, fingerprint=_fingerprint(change))


def _fingerprint(thing: msgspec.Struct) -> str:
    return hashlib.sha256(msgspec.json.encode(thing, order="sorted")).hexdigest()


def _shape(model: type[Model], source: Source) -> Model:
    """The file's own shape, or every fault of it at once."""
    try:
        return model.model_validate(source.data)
    except ValidationError as error:
        _note(error, (), source, model)
    source.check()
    raise AssertionError("a validation error without a reason")


def _note(
    error: ValidationError, base: Path_, source: Source, model: type[BaseModel]
) -> None:
    for fault in error.errors(include_url=False):
        path = _in_file((*base, *fault["loc"]), source)
        kind, key = fault["type"], str(fault["loc"][-1]) if fault["loc"] else ""
        if kind == "extra_forbidden":
            known = _keys_at(model, fault["loc"][:-1])
            close = get_close_matches(key, known, 1)
            hint = f"did you mean `{close[0]}`? " if close else ""
            source.fault(
                "KEY-UNKNOWN",
                path,
                "is not a key that belongs here",
                f"{hint}known here: {', '.join(sorted(known)) or 'nothing'}",
            )
        elif kind == "missing":
            source.fault("KEY-MISSING", path, "is missing", f"add `{key}:`")
        else:
            text = fault["msg"].removeprefix("Value error, ")
            source.fault("VALUE-INVALID", path, text, "mend the value")


def _in_file(loc: tuple[int | str, ...], source: Source) -> Path_:
    """The part of a location that is the file's (unions and keys add words)."""
    path: Path_ = ()
    for part in loc:
        if (*path, part) in source.lines:
            path = (*path, part)
    last = loc[-1] if loc else ""
    if isinstance(last, str) and last != "[key]" and path[-1:] != (last,):
        return (*path, last)
    return path


def _keys_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Names of the keys that the model knows at `loc`."""
    found: Any = model
    for part in loc:
        fields = getattr(found, "model_fields", None)
        if fields is None:
            break
        by_name = {(f.alias or name): f.annotation for name, f in fields.items()}
        if part in by_name:
            found = _inner(by_name[str(part)])
    fields = getattr(found, "model_fields", {})
    return [field.alias or name for name, field in fields.items()]


def _inner(annotation: Any) -> Any:
    """The model inside `list[…]`, `dict[…, …]` and `… | None`."""
    while not hasattr(annotation, "model_fields"):
        inside = [a for a in getattr(annotation, "__args__", ()) if a is not type(None)]
        if not inside:
            return annotation
        annotation = inside[-1]
    return annotation


def _driven(file: EstateFile) -> list[tuple[str, Path_, Driven]]:
    """Everything with a driver: kind, where it stands, what it says."""
    out: list[tuple[str, Path_, Driven]] = []
    for name, service in file.services.items():
        here: Path_ = ("services", name)
        for kind, ones in (
            ("dials", service.dials),
            ("meters", service.meters),
            ("probes", service.probes),
        ):
            out += [(kind, (*here, kind, i), one) for i, one in enumerate(ones)]
    out += [("duties", ("duties", n), one) for n, one in file.duties.items()]
    out += [("brackets", ("brackets", n), one) for n, one in file.brackets.items()]
    out += [("notify", ("notify", i), one) for i, one in enumerate(file.notify)]
    return out


def _steps(file: ChangeFile) -> list[tuple[Path_, StepFile]]:
    out: list[tuple[Path_, StepFile]] = [
        (("steps", number), step) for number, step in enumerate(file.steps)
    ]
    for number, one in enumerate(file.regions):
        if isinstance(one, RegionWorkFile):
            for i, step in enumerate(one.steps or []):
                out.append((("regions", number, "steps", i), step))
    return out


def _options(
    kind: str,
    driver: str,
    options: dict[str, Any],
    where: Path_,
    source: Source,
    options_of: OptionsOf,
    key: str = "driver",
) -> None:
    model = options_of(kind, driver)
    if model is None:
        source.fault(
            "DRIVER-UNKNOWN",
            (*where, key),
            f"there is no driver {driver} among {kind}",
            "install it, or see `dayshift check --drivers` for those that are here",
        )
        return
    given = {**options}
    for name in INJECTED.get(kind, ()):
        if name in model.model_fields:
            given.setdefault(name, ["a", "b"])
    try:
        model.model_validate(given)
    except ValidationError as error:
        _note(error, (*where, "options"), source, model)


def _estate(file: EstateFile) -> Estate:
    regions = tuple(
        m.Region(name, one.title if one else "") for name, one in file.regions.items()
    )
    names = tuple(file.regions)
    return Estate(
        name=file.estate,
        regions=regions,
        services=tuple(_service(n, one, names) for n, one in file.services.items()),
        duties=tuple(
            m.Duty(name, _ref(one), tuple(one.regions or names))
            for name, one in file.duties.items()
        ),
        brackets=tuple(m.Bracket(n, _ref(one)) for n, one in file.brackets.items()),
        notify=tuple(
            m.NotifySpec(one.name, _ref(one), one.escalate) for one in file.notify
        ),
        policy=_policy(file.policy),
    )


def _ref(one: Driven) -> DriverRef:
    return DriverRef(one.driver, one.options)


def _service(name: str, file: ServiceFile, names: tuple[str, ...]) -> m.Service:
    return m.Service(
        name=name,
        shares=dict(file.shares),
        capacity_rps=dict(file.capacity_rps),
        dials=tuple(m.DialSpec(d.name, d.kind, _ref(d)) for d in file.dials),
        meters=tuple(
            m.MeterSpec(
                one.name, one.side, _ref(one), tuple(one.regions or names), one.gate
            )
            for one in file.meters
        ),
        probes=tuple(
            m.ProbeSpec(one.name, _ref(one), tuple(one.regions or names))
            for one in file.probes
        ),
        residue=tuple(
            m.ResidueClass(
                kind=one.class_,
                disposition=one.disposition,
                source=one.source,
                ceiling_rpm=one.ceiling_rpm,
                cut_after_ms=one.cut_after,
                accepted_by=one.accepted_by,
                second=one.second,
                expires_wall_ms=rules.expires_wall_ms(one.expires) or 0,
            )
            for one in file.residue
        ),
        stays=file.stays,
    )


def _policy(file: PolicyFile) -> m.Policy:
    return m.Policy(
        serving=file.serving,
        headroom_bp=file.headroom,
        drain_bp=tuple(file.drain),
        drain_dwell_ms=file.drain_dwell,
        ramp_bp=tuple(file.ramp),
        soak_ms=file.soak,
        quiet_ms=file.quiet,
        fresh_ms=file.fresh,
        empty_limit_ms=file.empty_limit,
        probe_streak=file.probe_streak,
        blind_limit_ms=file.blind_limit,
        absence_ms=file.absence_limit,
        return_time_ms=file.return_time,
        lease_ms=file.lease,
        approvals=file.approvals,
        override_second_person=file.override_second_person,
        gate=_gate(file.gate),
    )


def _gate(file: GateFile) -> m.GatePolicy:
    return m.GatePolicy(
        blast_bp=file.blast_radius,
        slow_blast_bp=file.slow_blast_radius,
        absolute_error_bp=file.absolute_errors,
        rollback_odds=file.rollback_odds,
        promote_odds=file.promote_odds,
        dwell_ms_min=file.dwell,
        horizon_ms=file.horizon,
        harm_requests=file.harm_requests,
        tolerated_ratio_ppm=round(file.tolerated_ratio * 1_000_000),
        dispersion_ppm=round(file.calibration.dispersion * 1_000_000),
        variation_ppm=round(file.calibration.variation * 1_000_000),
        trusted=file.calibration.trusted,
        slow_us=tuple(ms * 1000 for ms in file.slow),
    )


def _change(file: ChangeFile) -> Change:
    works = []
    for one in file.regions:
        if isinstance(one, RegionWorkFile):
            steps = file.steps if one.steps is None else one.steps
            works.append(_work(one.region, steps, one.expect_version))
        else:
            works.append(_work(one, file.steps, ""))
    return Change(
        name=file.change,
        reason=file.reason,
        regions=tuple(works),
        ticket=file.ticket,
        author=file.author,
    )


def _work(region: str, steps: list[StepFile], version: str) -> m.RegionWork:
    return m.RegionWork(
        region,
        tuple(
            m.WorkStep(
                name=step.name,
                ref=DriverRef(step.worker, step.options),
                interrupt=m.Interrupt(step.interrupt),
                limit_ms=step.limit,
                undo=bool(step.options.get("undo")),
            )
            for step in steps
        ),
        version,
    )
