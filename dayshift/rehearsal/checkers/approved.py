"""Invariant 5: what was done is what the plan lists, and the plan was approved."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from dayshift.rehearsal.checkers.seeing import Case, Json, Violation

NAME = "executed-approved"


def check(case: Case) -> list[Violation]:
    planned = next(case.kinds("planned"), None)
    if planned is None:
        return []
    plan: Json = planned["body"]["plan"]
    return [
        *_digest(case, plan),
        *_settings(case, plan),
        *_steps(case, plan),
        *_people(case, plan),
    ]


def _digest(case: Case, plan: Json) -> list[Violation]:
    bare = {**plan, "digest": "", "measured": None}
    encoded = msgspec.json.encode(bare, order="sorted")
    digest = hashlib.sha256(b"dayshift:plan:v1\0" + encoded).hexdigest()
    opened = [one["body"]["digest"] for one in case.kinds("run-opened")]
    if all(one == digest == case.plan["digest"] for one in opened):
        return []
    return [Violation(NAME, 0, f"the run is of {opened}, the plan is {digest}")]


def _settings(case: Case, plan: Json) -> list[Violation]:
    allowed: dict[str, list[Any]] = {d: [s] for d, s in plan["baseline"].items()}
    for one in plan["passes"]:
        for stage in (*one["drain"], *one["ramp"]):
            for move in stage["moves"]:
                allowed[move["dial"]].append(move["setting"])
    for one in case.kinds("adopted"):
        allowed[one["body"]["dial"]].append(one["body"]["setting"])
    found = []
    for write, action in case.obeyed():
        if action and msgspec.to_builtins(write.setting) not in allowed[write.dial]:
            what = f"dial {write.dial} was told {write.setting.rows}; no stage says so"
            found.append(Violation(NAME, write.at_ms, what, (action["key"],)))
    return found


def _steps(case: Case, plan: Json) -> list[Violation]:
    steps = {
        (work["region"], step["name"])
        for work in plan["change"]["regions"]
        for step in work["steps"]
    }
    return [
        Violation(NAME, one.at_ms, f"step {one.what} in {one.who} is not in the plan")
        for one in case.history.of("start")
        if (one.who, one.what) not in steps
    ]


def _people(case: Case, plan: Json) -> list[Violation]:
    """Enough others approved this digest before anything moved."""
    need = int(plan["estate"]["policy"]["approvals"])
    opener = next((o["body"]["person"] for o in case.kinds("run-opened")), "")
    not_they = {opener, plan["change"]["author"]}
    people: set[str] = set()
    for one in case.kinds("approved", "intent"):
        body = one["body"]
        if body["kind"] == "approved":
            if body["digest"] == plan["digest"] and body["person"] not in not_they:
                people.add(body["person"])
        elif body["action"]["kind"] == "set-dial":
            if len(people) < need and not body["action"].get("override"):
                what = f"{len(people)} of {need} people had approved it"
                return [Violation(NAME, one["at"]["mono_ms"], what)]
            return []
    return []
