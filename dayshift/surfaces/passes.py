"""Records of one run → what happened in each region, measured. Part of the report.

Instants are wall milliseconds of the records; durations are taken monotonically where
the boot stayed the same. A figure that was never reached is None, not zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from dayshift.model import records as r
from dayshift.model.dial import ALL, DialKind, Setting
from dayshift.model.plan import Plan
from dayshift.model.records import ActionKind, OutcomeKind, Phase, Record
from dayshift.model.units import Instant, elapsed_ms
from dayshift.surfaces.journey import gate_story
from dayshift.surfaces.nouns import GateStory


class PhaseVisit(msgspec.Struct, frozen=True):
    """One stay in one phase; `took_ms` is None for the one it is still in."""

    phase: str
    entered_wall_ms: int
    took_ms: int | None = None
    why: str = ""


class ZeroReport(msgspec.Struct, frozen=True):
    """One write that took the region's share to zero.

    `decided_wall_ms` is the instant of the sight that it was decided on, before the
    intent was durable; `outcome_wall_ms` when it was read back, 0 if it never was.
    """

    dial: str
    phase: str
    decided_wall_ms: int
    intent_wall_ms: int
    outcome_wall_ms: int = 0
    result: str = ""


class JudgedReport(msgspec.Struct, frozen=True):
    wall_ms: int
    gate: GateStory


class RungReport(msgspec.Struct, frozen=True):
    """A rung that was reached and read back, and what the gate said on it.

    `smallest_bp` is the smallest regression that any of its verdicts could have seen.
    """

    attempt: int
    index: int
    share_bp: int
    reached_wall_ms: int
    judged: tuple[JudgedReport, ...] = ()
    smallest_bp: int = 0


class EmptyReport(msgspec.Struct, frozen=True):
    """A certificate of emptiness."""

    wall_ms: int
    quiet_ms: int
    meters: tuple[str, ...]
    residue: tuple[str, ...]


class WorkReport(msgspec.Struct, frozen=True):
    """One attempt at a step; `output` is the hash of its output in the side log."""

    step: str
    started_wall_ms: int
    ended_wall_ms: int = 0
    exit_code: int | None = None
    detail: str = ""
    output: str = ""
    undone_wall_ms: int = 0


class PassReport(msgspec.Struct, frozen=True):
    """One region's pass.

    `drain_ms`: from entering `draining` to zero read back. `empty_ms`: from the
    certificate to the first rung. `return_ms`: from entering `returning` (the attempt
    that succeeded) to the full share.
    """

    region: str
    phases: tuple[PhaseVisit, ...] = ()
    zeros: tuple[ZeroReport, ...] = ()
    certificates: tuple[EmptyReport, ...] = ()
    trips: tuple[str, ...] = ()
    work: tuple[WorkReport, ...] = ()
    rungs: tuple[RungReport, ...] = ()
    zero_decided_wall_ms: int | None = None
    zero_read_back_wall_ms: int | None = None
    drain_ms: int | None = None
    empty_ms: int | None = None
    return_ms: int | None = None


def tell_passes(records: Sequence[Record], plan: Plan) -> tuple[PassReport, ...]:
    """Every pass of the plan in its order, also those that never began."""
    return tuple(_pass(records, one.region) for one in plan.passes)


def _pass(records: Sequence[Record], region: str) -> PassReport:
    zeros = _zeros(records, region)
    drained = [one for one in zeros if one.phase == Phase.DRAINING.value]
    back = [one.outcome_wall_ms for one in drained if one.outcome_wall_ms]
    return PassReport(
        region=region,
        phases=_phases(records, region),
        zeros=zeros,
        certificates=tuple(
            EmptyReport(
                one.at.wall_ms, one.body.quiet_ms, one.body.meters, one.body.residue
            )
            for one in records
            if isinstance(one.body, r.Certified) and one.body.region == region
        ),
        trips=tuple(
            f"{one.body.requests} user requests, {one.body.detail}"
            for one in records
            if isinstance(one.body, r.Tripped) and one.body.region == region
        ),
        work=_work(records, region),
        rungs=_rungs(records, region),
        zero_decided_wall_ms=drained[0].decided_wall_ms if drained else None,
        zero_read_back_wall_ms=max(back) if back else None,
        drain_ms=_drain_ms(records, region),
        empty_ms=_empty_ms(records, region),
        return_ms=_return_ms(records, region),
    )


def _entered(records: Iterable[Record], region: str) -> list[tuple[Phase, Instant]]:
    return [
        (one.body.new, one.at)
        for one in records
        if isinstance(one.body, r.Phased) and one.body.region == region
    ]


def _phases(records: Sequence[Record], region: str) -> tuple[PhaseVisit, ...]:
    moves = [
        (one.at, one.body)
        for one in records
        if isinstance(one.body, r.Phased) and one.body.region == region
    ]
    out = []
    for number, (at, body) in enumerate(moves):
        after = moves[number + 1][0] if number + 1 < len(moves) else None
        took = elapsed_ms(at, after) if after else None
        out.append(PhaseVisit(body.new.value, at.wall_ms, took, body.why))
    return tuple(out)


def _zeros(records: Sequence[Record], region: str) -> tuple[ZeroReport, ...]:
    ends = outcomes(records)
    out: list[ZeroReport] = []
    phase, seen_ms = Phase.SERVING, 0
    for record in records:
        body = record.body
        if isinstance(body, r.Observed):
            seen_ms = observed_wall_ms(body)
        elif isinstance(body, r.Phased) and body.region == region:
            phase = body.new
        elif isinstance(body, r.Intent) and _is_zero(body.action, region):
            end = ends.get((body.action.key, record.seq))
            out.append(
                ZeroReport(
                    dial=body.action.target,
                    phase=phase.value,
                    decided_wall_ms=seen_ms or record.at.wall_ms,
                    intent_wall_ms=record.at.wall_ms,
                    outcome_wall_ms=end.at.wall_ms if end else 0,
                    result=_result(end),
                )
            )
    return tuple(out)


def _result(end: Record | None) -> str:
    body = end.body if end is not None else None
    return body.result.value if isinstance(body, r.Outcome) else ""


def outcomes(records: Iterable[Record]) -> dict[tuple[str, int], Record]:
    """The outcome of each intent, by key and the intent's sequence number."""
    last: dict[str, int] = {}
    out: dict[tuple[str, int], Record] = {}
    for record in records:
        if isinstance(record.body, r.Intent):
            last[record.body.action.key] = record.seq
        elif isinstance(record.body, r.Outcome) and record.body.key in last:
            out[record.body.key, last[record.body.key]] = record
    return out


def observed_wall_ms(body: r.Observed) -> int:
    """The instant of an observation; 0 if it does not say."""
    at = body.sight.get("at")
    wall_ms = at.get("wall_ms") if isinstance(at, dict) else None
    return wall_ms if isinstance(wall_ms, int) else 0


def _is_zero(action: r.Action, region: str) -> bool:
    if action.kind is not ActionKind.SET_DIAL or action.region != region:
        return False
    return action.setting is not None and _share(action.setting, region) == 0


def _share(setting: Setting, region: str) -> int | None:
    key = region if setting.kind is DialKind.FORWARD else ALL
    return setting.rows.get(key, {}).get(region)


def _work(records: Sequence[Record], region: str) -> tuple[WorkReport, ...]:
    ends = outcomes(records)
    out: list[WorkReport] = []
    for record in records:
        body, wall_ms = record.body, record.at.wall_ms
        if isinstance(body, r.Intent) and body.action.region == region:
            action = body.action
            if action.kind is ActionKind.START_WORK and not _running(out, action):
                out.append(WorkReport(action.target, wall_ms))
            elif action.kind is ActionKind.UNDO_WORK:
                end = ends.get((action.key, record.seq))
                if end and _result(end) == OutcomeKind.DONE.value:
                    _amend(out, action.target, undone_wall_ms=end.at.wall_ms)
        elif isinstance(body, r.Worked) and body.region == region:
            _amend(
                out,
                body.step,
                ended_wall_ms=wall_ms,
                exit_code=body.exit_code,
                detail=body.detail,
                output=body.output,
            )
    return tuple(out)


def _running(out: Sequence[WorkReport], action: r.Action) -> bool:
    """True for a start that is asked again: the same attempt goes on."""
    return any(
        one.step == action.target and one.exit_code is None and not one.undone_wall_ms
        for one in out
    )


def _amend(out: list[WorkReport], step: str, **fields: int | str) -> None:
    for number in range(len(out) - 1, -1, -1):
        if out[number].step == step:
            out[number] = msgspec.structs.replace(out[number], **fields)
            return


def _rungs(records: Sequence[Record], region: str) -> tuple[RungReport, ...]:
    phase, attempt = Phase.SERVING, 0
    out: list[RungReport] = []
    for record in records:
        body = record.body
        if isinstance(body, r.Phased) and body.region == region:
            phase = body.new
            attempt += phase is Phase.RETURNING
        elif isinstance(body, r.Staged) and body.region == region:
            if phase in (Phase.RETURNING, Phase.SOAKING):
                out.append(
                    RungReport(attempt, body.index, body.share_bp, record.at.wall_ms)
                )
        elif isinstance(body, r.Judged) and body.region == region and out:
            out[-1] = _judged(out[-1], record.at.wall_ms, body)
    return tuple(out)


def _judged(rung: RungReport, wall_ms: int, body: r.Judged) -> RungReport:
    told = JudgedReport(wall_ms, gate_story(body.service, body.verdict))
    judged = (*rung.judged, told)
    seen = [one.gate.smallest_bp for one in judged if one.gate.smallest_bp]
    return msgspec.structs.replace(
        rung, judged=judged, smallest_bp=min(seen, default=0)
    )


def _drain_ms(records: Sequence[Record], region: str) -> int | None:
    """From the first entry into `draining` to the last stage of zero."""
    begun = [at for phase, at in _entered(records, region) if phase is Phase.DRAINING]
    drained, phase = None, Phase.SERVING
    for record in records:
        body = record.body
        if isinstance(body, r.Phased) and body.region == region:
            phase = body.new
        zero = (
            isinstance(body, r.Staged) and body.region == region and not body.share_bp
        )
        if zero and phase is Phase.DRAINING:
            drained = record.at
    return elapsed_ms(begun[0], drained) if begun and drained else None


def _empty_ms(records: Sequence[Record], region: str) -> int | None:
    certified, phase = None, Phase.SERVING
    for record in records:
        body = record.body
        if isinstance(body, r.Certified) and body.region == region:
            certified = certified or record.at
        elif isinstance(body, r.Phased) and body.region == region:
            phase = body.new
        elif (
            isinstance(body, r.Staged)
            and body.region == region
            and phase is Phase.RETURNING
            and certified
        ):
            return elapsed_ms(certified, record.at)
    return None


def _return_ms(records: Sequence[Record], region: str) -> int | None:
    began, took = None, None
    for phase, at in _entered(records, region):
        if phase is Phase.RETURNING:
            began, took = at, None
        elif phase is Phase.SOAKING and began is not None:
            took = elapsed_ms(began, at)
    return took
