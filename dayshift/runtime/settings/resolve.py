"""From checked forms to the frozen model: names of files become names of the model."""

from __future__ import annotations

from msgspec import UNSET

from dayshift.model import estate as m
from dayshift.model.estate import Change, DriverRef, Estate
from dayshift.runtime.settings.change_file import ChangeFile, StepFile
from dayshift.runtime.settings.estate_file import (
    PPM,
    EstateFile,
    GateFile,
    PolicyFile,
    ServiceFile,
)
from dayshift.runtime.settings.forms import Driven
from dayshift.runtime.settings.places_form import JournalFile


def estate_of(file: EstateFile) -> Estate:
    """The estate that a file describes."""
    names = tuple(file.regions)
    return Estate(
        name=file.estate,
        regions=tuple(
            m.Region(name, one.title if one else "")
            for name, one in file.regions.items()
        ),
        services=tuple(_service(n, one, names) for n, one in file.services.items()),
        duties=tuple(
            m.Duty(name, _ref(one), tuple(one.regions) or names)
            for name, one in file.duties.items()
        ),
        brackets=tuple(m.Bracket(n, _ref(one)) for n, one in file.brackets.items()),
        notify=tuple(
            m.NotifySpec(one.name, _ref(one), one.escalate) for one in file.notify
        ),
        policy=_policy(file.policy),
        journal=store_of(file.journal),
        controllers=tuple(
            m.ControllerSpec(name, place) for name, place in file.controllers.items()
        ),
        agents=tuple(
            m.AgentSpec(
                name,
                one.place,
                one.url,
                one.ca,
                one.cert,
                one.key,
                one.revoked or UNSET,
            )
            for name, one in file.agents.items()
        ),
        voting=tuple(
            m.VotingSpec(name, dict(members)) for name, members in file.voting.items()
        ),
    )


def store_of(file: JournalFile) -> m.StoreSpec:
    """The store that a file describes."""
    return m.StoreSpec(file.driver, file.options, dict(file.members))


def _ref(one: Driven) -> DriverRef:
    return DriverRef(one.driver, one.options)


def _service(name: str, file: ServiceFile, names: tuple[str, ...]) -> m.Service:
    return m.Service(
        name=name,
        shares=dict(file.shares),
        capacity_rps=dict(file.capacity_rps),
        dials=tuple(
            m.DialSpec(one.name, one.kind, _ref(one), tuple(one.agents))
            for one in file.dials
        ),
        meters=tuple(
            m.MeterSpec(
                one.name,
                one.side,
                _ref(one),
                tuple(one.regions) or names,
                one.gate,
                one.users,
                one.every,
                one.place,
                one.connections,
            )
            for one in file.meters
        ),
        probes=tuple(
            m.ProbeSpec(one.name, _ref(one), tuple(one.regions) or names)
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
                expires_wall_ms=one.expires,
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
        connections_limit_ms=file.connections_limit,
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
        tolerated_ratio_ppm=round(file.tolerated_ratio * PPM),
        dispersion_ppm=round(file.calibration.dispersion * PPM),
        variation_ppm=round(file.calibration.variation * PPM),
        trusted=file.calibration.trusted,
        slow_us=tuple(ms * 1_000 for ms in file.slow),
        warmup_ms=file.warmup,
        gauges=tuple(
            m.GaugeRule(one.name, round(one.most * 1_000), one.trend)
            for one in file.gauges
        ),
    )


def change_of(file: ChangeFile) -> Change:
    """The change that a file describes; common steps written out for each region."""
    return Change(
        name=file.change,
        reason=file.reason,
        regions=tuple(
            m.RegionWork(
                one.region,
                tuple(_step(step) for step in one.steps or file.steps),
                one.expect_version,
            )
            for one in file.regions
        ),
        ticket=file.ticket,
        author=file.author,
    )


def _step(step: StepFile) -> m.WorkStep:
    return m.WorkStep(
        name=step.name,
        ref=DriverRef(step.worker, step.options),
        interrupt=m.Interrupt(step.interrupt),
        limit_ms=step.limit,
        undo=bool(step.options.get("undo")),
    )
