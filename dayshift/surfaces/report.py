"""One run as a document: who, what, when, on which evidence, and what users felt.

Built from the journal's records, the plan, the side log's samples and, if there is one,
the users' own count, which is kept as it came. `to_json` is this document; `page` draws
it. Units as in `nouns`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from dayshift.errors import Reason
from dayshift.model import records as r
from dayshift.model.estate import Policy
from dayshift.model.plan import Capacity, Plan
from dayshift.model.records import OutcomeKind, Record
from dayshift.model.units import elapsed_ms
from dayshift.surfaces import gate_points
from dayshift.surfaces.events import event_of
from dayshift.surfaces.evidence import DecisionReport, tell_decisions
from dayshift.surfaces.nouns import Event
from dayshift.surfaces.passes import PassReport, tell_passes

REPORT_FORMAT = 1
BINS_MAX = 600
"""Points in time that a chart can show; a run of days has many more samples."""
EXITS = frozenset(
    {"resume", "retry", "abort", "adopt", "done-by-hand", "accept", "return", "close"}
)


class SamplePoint(msgspec.Struct, frozen=True):
    """One service in one region in one second, from the side log."""

    wall_ms: int
    service: str
    region: str
    share_bp: int = 0
    mrps: int = 0
    error_ppm: int = 0
    p50_us: int = 0
    p99_us: int = 0


class PersonReport(msgspec.Struct, frozen=True):
    name: str
    roles: tuple[str, ...]


class ApprovalReport(msgspec.Struct, frozen=True):
    wall_ms: int
    person: str
    reason: str = ""
    expires_wall_ms: int = 0


class HoldReport(msgspec.Struct, frozen=True):
    """A hold and the way out of it; `exit` is empty while nobody has chosen one."""

    wall_ms: int
    region: str
    reason: Reason
    exit: str = ""
    person: str = ""
    held_ms: int | None = None


class RequestReport(msgspec.Struct, frozen=True):
    """What a person asked; `granted` is None where it needed no answer."""

    wall_ms: int
    person: str
    verb: str
    args: dict[str, str]
    granted: bool | None = None
    reason: Reason | None = None


class OverrideReport(msgspec.Struct, frozen=True):
    """A guard that a person or an emergency verb overrode."""

    wall_ms: int
    what: str
    person: str
    reason: str = ""


class RefusalReport(msgspec.Struct, frozen=True):
    wall_ms: int
    what: str
    reason: str


class FileReport(msgspec.Struct, frozen=True):
    """A closed file of the side log."""

    name: str
    length: int
    sha256: str


class RunReport(msgspec.Struct, frozen=True):
    """The whole document. `result` is `open` or `held` while it is not closed."""

    format: int
    estate: str
    run: str
    digest: str
    verb: str
    change: str
    reason: str
    ticket: str
    result: str
    why: str
    opened_wall_ms: int
    until_wall_ms: int
    took_ms: int
    seq_first: int
    seq_last: int
    head: str
    regions: tuple[str, ...]
    policy: Policy
    capacity: tuple[Capacity, ...]
    persons: tuple[PersonReport, ...]
    approvals: tuple[ApprovalReport, ...]
    passes: tuple[PassReport, ...]
    holds: tuple[HoldReport, ...]
    requests: tuple[RequestReport, ...]
    overrides: tuple[OverrideReport, ...]
    refusals: tuple[RefusalReport, ...]
    decisions: tuple[DecisionReport, ...]
    timeline: tuple[Event, ...]
    files: tuple[FileReport, ...]
    series: tuple[SamplePoint, ...]
    users: dict[str, Any] | None = None
    gate: tuple[gate_points.GatePoint, ...] = ()


def build(
    records: Iterable[Record],
    plan: Plan,
    samples: Iterable[SamplePoint] = (),
    users: Mapping[str, Any] | None = None,
    gate: Iterable[gate_points.GatePoint] = (),
) -> RunReport:
    """The report of the last run of `plan` among `records`, with its approvals.

    Raises:
        ValueError: no run of this plan was opened.
    """
    mine = _mine(list(records), plan.digest)
    opened, ended = _span(mine)
    result, why = _ending(mine, ended)
    asked = _requests(mine)
    return RunReport(
        format=REPORT_FORMAT,
        estate=plan.estate.name,
        run=opened.run,
        digest=plan.digest,
        verb=plan.verb.value,
        change=plan.change.name,
        reason=plan.change.reason,
        ticket=plan.change.ticket,
        result=result,
        why=why,
        opened_wall_ms=opened.at.wall_ms,
        until_wall_ms=ended.at.wall_ms,
        took_ms=elapsed_ms(opened.at, ended.at),
        seq_first=mine[0].seq,
        seq_last=mine[-1].seq,
        head=mine[-1].hash,
        regions=plan.estate.region_names(),
        policy=plan.estate.policy,
        capacity=plan.measured.capacity if plan.measured else (),
        persons=_persons(mine, plan),
        approvals=_approvals(mine),
        passes=tell_passes(mine, plan),
        holds=_holds(mine),
        requests=asked,
        overrides=_overrides(mine, asked),
        refusals=_refusals(mine, asked),
        decisions=tell_decisions(mine),
        timeline=tuple(filter(None, map(event_of, mine))),
        files=_files(mine),
        series=thin(samples),
        users=dict(users) if users is not None else None,
        gate=gate_points.thin(gate),
    )


def _span(records: Sequence[Record]) -> tuple[Record, Record]:
    """The record that opened the run, and its last."""
    opened = next(one for one in records if isinstance(one.body, r.RunOpened))
    closed = (one for one in records if isinstance(one.body, r.RunClosed))
    return opened, next(closed, records[-1])


def _ending(records: Sequence[Record], last: Record) -> tuple[str, str]:
    """How it ended and why, or how it stands."""
    if isinstance(last.body, r.RunClosed):
        return last.body.result.value, last.body.why
    holds = _holds(records)
    return "held" if holds and not holds[-1].exit else "open", ""


def _mine(records: Sequence[Record], digest: str) -> list[Record]:
    runs = [
        one.run
        for one in records
        if isinstance(one.body, r.RunOpened) and one.body.digest == digest
    ]
    if not runs:
        raise ValueError(f"no run of plan {digest[:12]} was opened")
    run = runs[-1]
    return [one for one in records if one.run == run or _concerns(one, digest)]


def _concerns(record: Record, digest: str) -> bool:
    return isinstance(record.body, r.Approved) and record.body.digest == digest


def _persons(records: Sequence[Record], plan: Plan) -> tuple[PersonReport, ...]:
    roles: dict[str, list[str]] = {}

    def add(name: str, role: str) -> None:
        known = roles.setdefault(name, [])
        if name and role not in known:
            known.append(role)

    add(plan.change.author, "wrote the change")
    for record in records:
        body = record.body
        if isinstance(body, r.Approved):
            add(body.person, "approved the plan")
        elif isinstance(body, r.RunOpened):
            add(body.person, "began the run")
        elif isinstance(body, r.Requested):
            add(body.person, f"asked: {body.verb}")
            if body.args.get("second"):
                add(body.args["second"], f"second person: {body.verb}")
    return tuple(
        PersonReport(name, tuple(what)) for name, what in sorted(roles.items()) if name
    )


def _approvals(records: Sequence[Record]) -> tuple[ApprovalReport, ...]:
    return tuple(
        ApprovalReport(
            one.at.wall_ms, one.body.person, one.body.reason, one.body.expires_wall_ms
        )
        for one in records
        if isinstance(one.body, r.Approved)
    )


def _files(records: Sequence[Record]) -> tuple[FileReport, ...]:
    return tuple(
        FileReport(one.body.name, one.body.length, one.body.sha256)
        for one in records
        if isinstance(one.body, r.SideLog)
    )


def _requests(records: Sequence[Record]) -> tuple[RequestReport, ...]:
    answers = {
        one.body.token: one.body for one in records if isinstance(one.body, r.Answered)
    }
    out = []
    for record in records:
        body = record.body
        if isinstance(body, r.Requested):
            answer = answers.get(body.token) if body.token else None
            out.append(
                RequestReport(
                    record.at.wall_ms,
                    body.person,
                    body.verb,
                    body.args,
                    answer.accepted if answer else None,
                    answer.reason if answer else None,
                )
            )
    return tuple(out)


def _holds(records: Sequence[Record]) -> tuple[HoldReport, ...]:
    out: list[HoldReport] = []
    asked: dict[str, r.Requested] = {}
    since = None
    for record in records:
        body = record.body
        if isinstance(body, r.Requested):
            asked[body.token] = body
        elif isinstance(body, r.Held):
            out.append(HoldReport(record.at.wall_ms, body.region, body.reason))
            since = record.at
        elif isinstance(body, r.Answered) and since is not None:
            chosen = asked.get(body.token)
            if body.accepted and chosen is not None and chosen.verb in EXITS:
                out[-1] = msgspec.structs.replace(
                    out[-1],
                    exit=chosen.verb,
                    person=chosen.person,
                    held_ms=elapsed_ms(since, record.at),
                )
                since = None
    return tuple(out)


def _overrides(
    records: Sequence[Record], requests: Sequence[RequestReport]
) -> tuple[OverrideReport, ...]:
    """Guards accepted by name, and each emergency verb with its first action."""
    out = [
        OverrideReport(
            one.wall_ms,
            f"guard {one.args.get('code', '')} accepted",
            " and ".join(filter(None, (one.person, one.args.get("second", "")))),
            one.args.get("reason", ""),
        )
        for one in requests
        if one.verb == "accept" and one.granted
    ]
    person = ""
    seen: set[str] = set()
    for record in records:
        body = record.body
        if isinstance(body, r.RunOpened | r.Requested):
            person = body.person
        elif isinstance(body, r.Intent) and body.action.override not in {"", *seen}:
            seen.add(body.action.override)
            out.append(OverrideReport(record.at.wall_ms, body.action.override, person))
    return tuple(sorted(out, key=lambda one: one.wall_ms))


def _refusals(
    records: Sequence[Record], requests: Sequence[RequestReport]
) -> tuple[RefusalReport, ...]:
    out = [
        RefusalReport(one.wall_ms, f"{one.person} asked: {one.verb}", str(one.reason))
        for one in requests
        if one.granted is False
    ]
    for record in records:
        body, wall_ms = record.body, record.at.wall_ms
        if isinstance(body, r.Outcome) and body.result is OutcomeKind.REFUSED:
            why = str(body.reason) if body.reason else body.detail
            out.append(RefusalReport(wall_ms, f"action {body.key}", why))
        elif isinstance(body, r.RunClosed) and body.result is r.RunResult.REFUSED:
            out.append(RefusalReport(wall_ms, "the run", body.why))
    return tuple(sorted(out, key=lambda one: one.wall_ms))


def thin(
    samples: Iterable[SamplePoint], most: int = BINS_MAX
) -> tuple[SamplePoint, ...]:
    """At most `most` instants for each place, the worst of each bin kept.

    Why: a mean would hide the second in which users were hurt.
    """
    points = sorted(samples, key=lambda one: (one.wall_ms, one.service, one.region))
    if not points:
        return ()
    first, last = points[0].wall_ms, points[-1].wall_ms
    width = max(1, -(-(last - first + 1) // most))
    bins: dict[tuple[int, str, str], SamplePoint] = {}
    for one in points:
        key = ((one.wall_ms - first) // width, one.service, one.region)
        known = bins.get(key)
        bins[key] = one if known is None else _worse(known, one)
    return tuple(bins[key] for key in sorted(bins))


def _worse(left: SamplePoint, right: SamplePoint) -> SamplePoint:
    return msgspec.structs.replace(
        right,
        error_ppm=max(left.error_ppm, right.error_ppm),
        p50_us=max(left.p50_us, right.p50_us),
        p99_us=max(left.p99_us, right.p99_us),
    )


def read_samples(data: bytes) -> list[SamplePoint]:
    """Points from `samples.jsonl`; a line torn by a crash is left out."""
    decoder = msgspec.json.Decoder(SamplePoint)
    points = []
    for line in data.split(b"\n"):
        try:
            points.append(decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return points


def to_json(report: RunReport) -> bytes:
    """The report, indented, fields in the order in which they are declared."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2)
