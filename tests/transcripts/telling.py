"""A run of the real orchestrator as text: one line for each record, short enough to
read in a review. Instants, hashes and observations are left out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dayshift.model import records as r
from dayshift.model.dial import Setting
from dayshift.model.units import percent


def tell(records: Iterable[r.Record]) -> str:
    """The transcript of all records but observations."""
    lines = []
    for one in records:
        if not isinstance(one.body, r.Observed):
            kind = type(one.body).__struct_config__.tag
            lines.append(f"{kind:<12} {_text(one.body)}".rstrip())
    return "\n".join(lines) + "\n"


def _text(body: Any) -> str:
    match body:
        case r.Genesis():
            return body.estate
        case r.Lease():
            return f"epoch {body.epoch}"
        case r.Planned():
            return ", ".join(one.region for one in body.plan.passes)
        case r.RunOpened():
            return f"by {body.person}"
        case r.RunClosed():
            return f"{body.result.value} {body.why}"
        case r.Phased():
            return f"{body.region} {body.old.value} -> {body.new.value} {body.why}"
        case r.Staged():
            return f"{body.region} at {percent(body.share_bp)}"
        case r.Certified():
            return f"{body.region} empty, by {', '.join(body.meters)}"
        case r.Judged():
            return f"{body.region} rung {body.rung + 1}: {body.verdict.kind.value}"
        case r.Retreating():
            return f"{body.region} to {body.to}"
        case r.Intent():
            return _action(body.action)
        case r.Outcome():
            return f"{body.key}: {body.result.value}"
        case r.Worked():
            return f"{body.region} {body.step}: exit {body.exit_code}"
        case r.Held():
            return f"{body.region} {body.reason.code}"
        case r.Requested():
            return f"{body.verb} by {body.person}"
        case r.Answered():
            return "granted" if body.accepted else f"refused {body.reason.code}"
        case r.SideLog():
            return body.name
        case _:
            return ""


def _action(action: r.Action) -> str:
    shares = _shares(action.setting) if action.setting else ""
    return f"{action.key} {shares}"


def _shares(setting: Setting) -> str:
    return "; ".join(
        ", ".join(f"{name} {percent(share)}" for name, share in sorted(row.items()))
        for _, row in sorted(setting.rows.items())
    )
