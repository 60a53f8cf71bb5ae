"""Checkers on histories made by hand: each finds its violation, and is silent on a good
one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from dayshift.model.dial import Claim, Setting, Token, split
from dayshift.rehearsal.checkers import INVARIANTS, Case
from dayshift.rehearsal.checkers.seeing import PARTS
from dayshift.rehearsal.history import History, Traffic, Write
from tests.planted import plans

HALF = {"fra": PARTS // 2, "ber": PARTS // 2}
AWAY = {"fra": 0, "ber": PARTS}


def record(seq: int, at_ms: int, kind: str, **body: Any) -> dict[str, Any]:
    at = {"wall_ms": at_ms, "mono_ms": at_ms, "boot_id": "b"}
    return {
        "seq": seq,
        "at": at,
        "epoch": 1,
        "run": "r",
        "body": {"kind": kind, **body},
    }


def intent(seq: int, at_ms: int, key: str, setting: Setting, **more: Any) -> Any:
    action = {
        "kind": "set-dial",
        "key": key,
        "target": "entry",
        "region": "fra",
        "setting": msgspec.to_builtins(setting),
        **more,
    }
    return record(seq, at_ms, "intent", action=action)


def write(at_ms: int, seq: int, setting: Setting, **more: Any) -> Write:
    token = Token(Claim("demo", "j", 1, seq), ("fra", "ber"), None)
    given: dict[str, Any] = {
        "revert_ms": 30_000,
        "before": HALF,
        "served": AWAY,
        "found": (None, None),
        **more,
    }
    return Write(at_ms, "entry", "set", "c1", setting, token, **given)


def good() -> History:
    """Opened, fenced, and drained out of one region."""
    drained = split({"fra": 0, "ber": 10_000})
    plan = msgspec.to_builtins(plans.short())
    history = History(plan=plan, status="running", ended_ms=60_000)
    hold = {"kind": "hold-dial", "key": "fra/fence/1/entry/0", "target": "entry"}
    history.records = [
        record(1, 0, "genesis", journal="j", estate="demo"),
        record(2, 0, "planned", plan=plan),
        record(3, 0, "run-opened", digest=plan["digest"], person="ada"),
        record(4, 1_000, "intent", action=hold),
        record(5, 1_000, "outcome", key=hold["key"], result="done"),
        intent(6, 2_000, "fra/drain/1/entry/0", drained),
    ]
    history.writes = [write(2_000, 6, drained)]
    history.traffic = [
        Traffic(-60_000, 60_000, "shop", name, 200_000_000, 24_000, 0, 0, "")
        for name in ("fra", "ber")
    ]
    return history


def dead(history: History) -> None:
    history.writes[0] = history.writes[0]._replace(at_ms=2_500)
    history.note(-60_000, "down", "ber")


def foreign(history: History) -> None:
    other = Claim("demo", "another", 9, 9)
    history.writes[0] = history.writes[0]._replace(found=(other, None))


def unfenced(history: History) -> None:
    history.records = [r for r in history.records if r["seq"] != 5]


def leaking(history: History) -> None:
    setting = split({"fra": 0, "ber": 9_000})
    history.writes[0] = history.writes[0]._replace(setting=setting)


def own_idea(history: History) -> None:
    setting = split({"fra": 300, "ber": 9_700})
    history.writes[0] = history.writes[0]._replace(setting=setting)


def forever(history: History) -> None:
    history.writes[0] = history.writes[0]._replace(revert_ms=0)


def with_users(history: History) -> None:
    history.note(20_000, "start", "upgrade", "fra", "k")


def unjudged(history: History) -> None:
    setting = split({"fra": 500, "ber": 9_500})
    history.records.append(intent(7, 9_000, "fra/rung/1/1/entry/0", setting))
    history.writes.append(write(9_000, 7, setting, revert_ms=0))


def full(history: History) -> None:
    history.traffic = [one._replace(urps=2_000_000_000) for one in history.traffic]


def posthumous(history: History) -> None:
    history.note(1_000, "crash", "c1")


def same_fate(history: History) -> None:
    members = {"a": "fra", "b": "fra", "c": "ber"}
    history.plan["estate"]["voting"] = [{"name": "etcd", "members": members}]


def gap(history: History) -> None:
    history.records[-1]["seq"] = 8


def unintended(history: History) -> None:
    history.records.pop()


def too_long(history: History) -> None:
    history.plan["estate"]["policy"]["absence_ms"] = 30_000
    history.note(20_000, "start", "upgrade", "fra", "k")


def endless(history: History) -> None:
    history.records += [
        record(7, 3_000, "requested", verb="abort", person="eve", token="t"),
        record(8, 3_000, "answered", token="t", accepted=True),
    ]
    history.ended_ms = 90_000_000


def written_over(history: History) -> None:
    history.note(-30_000, "drift", "entry")


def two_holders(history: History) -> None:
    history.note(3_000, "duty", "nightly", "ber", "take", "ber", "fra")


def twice(history: History) -> None:
    history.note(3_000, "start", "upgrade", "fra", "k1")
    history.note(4_000, "start", "upgrade", "fra", "k2")


def two_out(history: History) -> None:
    setting = split({"fra": 4_000, "ber": 4_000})
    history.writes[0] = history.writes[0]._replace(setting=setting)


def unclosed(history: History) -> None:
    history.records.append(record(7, 9_000, "run-closed", result="done"))
    usual = msgspec.to_builtins(split({"fra": 5_000, "ber": 5_000}))
    history.final = {
        "dials": {"entry": [usual]},
        "versions": {"fra": ["2"], "ber": ["2"]},
        "duties": {},
        "brackets": {"silence": True},
    }


CASES: list[tuple[str, Callable[[History], None]]] = [
    ("last-server", dead),
    ("one-region", two_out),
    ("fencing", foreign),
    ("fencing", unfenced),
    ("explicit-targets", leaking),
    ("executed-approved", own_idea),
    ("dead-man", forever),
    ("proven-empty", with_users),
    ("blind-is-not-green", unjudged),
    ("receiver-ready", full),
    ("fail-static", posthumous),
    ("shared-fate", same_fate),
    ("break-glass", gap),
    ("journal-before-act", unintended),
    ("reversible-first", too_long),
    ("abort-converges", endless),
    ("drift-refuses", written_over),
    ("never-two-holders", two_holders),
    ("once-at-a-time", twice),
    ("ending", unclosed),
]


def found(history: History, invariant: str) -> list[Any]:
    return INVARIANTS[invariant][1](Case.of(history))


@pytest.mark.parametrize(("invariant", "spoil"), CASES)
def test_a_checker_finds_its_violation(
    invariant: str, spoil: Callable[[History], None]
) -> None:
    history = good()
    assert not found(history, invariant)
    spoil(history)
    seen = found(history, invariant)
    assert seen and all(one.invariant == invariant for one in seen)


def test_every_checker_is_silent_on_a_good_history() -> None:
    for name in INVARIANTS:
        assert not found(good(), name), name


def test_every_checker_has_a_case() -> None:
    assert {name for name, _ in CASES} == set(INVARIANTS)
