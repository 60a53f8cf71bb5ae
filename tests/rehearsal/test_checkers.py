"""Checkers on histories made by hand: each finds its violation, and is silent on a good
one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from dayshift.limits import FULL_BP
from dayshift.model.dial import ALL, Claim, DialKind, Setting, Token, split
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


def retreats_into_the_full(history: History) -> None:
    """The load was as great when it began: nothing grew that could excuse it."""
    full(history)
    back = "fra/retreat/1/entry/0"
    history.records[-1]["body"]["action"]["key"] = back


def full_with_a_lying_meter(history: History) -> None:
    """A meter that lies excuses nothing where another tells of the same users."""
    full(history)
    history.note(0, "fault", "meter-stale")


def full_with_half_a_meter(history: History) -> None:
    """One that sees one of two requests excuses twice the users, and no more."""
    full(history)
    history.note(0, "fault", "meter-half")


def accepted_for_the_one_before(history: History) -> None:
    """What was accepted of one region says nothing of the next."""
    full(history)
    args = {"code": "CAPACITY-EXCEEDED"}
    history.records[3:3] = [
        record(3, 0, "requested", verb="accept", person="eve", token="t", args=args),
        record(3, 0, "answered", token="t", accepted=True),
        record(3, 500, "phased", region="muc", old="soaking", new="done"),
    ]


def unmeasured(history: History) -> None:
    unseen = {"fra": 0, "ber": 40_000}
    history.writes[0] = history.writes[0]._replace(unseen_ms=unseen)


def short_of_users(history: History, fault_ms: int) -> None:
    """Done, with a dial that nobody else moved lately."""
    unclosed(history)
    history.final["brackets"] = {}
    less = msgspec.to_builtins(split({"fra": 2_500, "ber": 7_500}))
    history.final["dials"] = {"entry": [less]}
    history.note(fault_ms, "fault", "dial-self-reverts")
    history.note(fault_ms, "revert", "entry")


def short_after_a_fault(history: History) -> None:
    short_of_users(history, -30_000)


def aborted_short(history: History) -> None:
    short_of_users(history, -30_000)
    history.records[-1]["body"]["result"] = "aborted"
    history.records.append(record(8, 3_000, "requested", verb="abort", token="t"))
    history.records.append(record(9, 3_000, "answered", token="t", accepted=True))


def left_open_beside_a_twin(history: History) -> None:
    """A second laptop excuses a bracket only if it opened it."""
    unclosed(history)
    history.note(0, "lead", "t1")


def unmeant_beside_a_twin(history: History) -> None:
    """Neither journal wrote down that a bracket should be opened."""
    history.note(0, "lead", "t1")
    history.note(1_500, "bracket", "silence", "fra", "open")


def paged_without_pause(history: History) -> None:
    page = {"kind": "notify", "key": "page/1/on-call/0", "target": "on-call"}
    for number in range(40):
        at_ms = 3_000 + 100 * number
        history.records += [
            record(7 + 2 * number, at_ms, "intent", action=page),
            record(8 + 2 * number, at_ms, "outcome", key=page["key"], result="retry"),
        ]


def broken_long_ago(history: History) -> None:
    """Two hold it for half a minute, and it is given to a third all the same."""
    history.note(-30_000, "duty", "nightly", "", "weather", "fra", "muc")
    history.note(3_000, "duty", "nightly", "ber", "take", "ber", "fra", "muc")


def lost_after_it_was_mended(history: History) -> None:
    history.note(-30_000, "duty", "nightly", "", "weather", "fra")
    history.note(3_000, "duty", "nightly", "fra", "release")
    history.status, history.final = "closed", {"duties": {"nightly": []}}


def neighbour_out(history: History) -> None:
    setting = split({"fra": 10_000, "ber": 0})
    history.writes[0] = history.writes[0]._replace(setting=setting)


def adopted_unasked(history: History) -> None:
    history.records.append(record(7, 9_000, "adopted", dial="entry", setting={}))


def unheard(history: History) -> None:
    history.records += [
        record(7, 3_000, "requested", verb="abort", person="eve", token="t"),
        record(8, 3_000, "answered", token="t", accepted=True),
    ]
    history.note(40_000, "start", "upgrade", "fra", "k")


def emergency_refused(history: History) -> None:
    history.plan["verb"] = "evacuate"
    why = "CAPACITY-EXCEEDED: ber would be at 104.00 %\n  because  guard"
    history.records.append(record(7, 9_000, "run-closed", result="refused", why=why))


def unseeing(history: History) -> None:
    for one in history.plan["estate"]["services"][0]["meters"]:
        one["place"] = "fra"


def in_layers(history: History) -> None:
    """The same drain in an estate of three layers; only the innermost moved."""
    history.plan = msgspec.to_builtins(plans.layers())
    history.records[1]["body"]["plan"] = history.plan
    history.writes.clear()
    history.records = [r for r in history.records if r["body"]["kind"] != "intent"]


def moves(history: History, at_ms: int, dial: str, on: bool, **more: Any) -> None:
    """One write at a dial of three regions, which takes ber out or back."""
    kinds = {"dns": DialKind.SPLIT, "anycast": DialKind.SWITCH}
    kind = kinds.get(dial, DialKind.FORWARD)
    here = (FULL_BP if kind is DialKind.SWITCH else 3_000) if on else 0
    other = FULL_BP if kind is DialKind.SWITCH else FULL_BP - here
    row = {"fra": other, "ber": here, "muc": 0}
    setting = Setting(kind, {"ber" if kind is DialKind.FORWARD else ALL: row})
    seq = len(history.records) + 10
    key = f"ber/drain/1/{dial}/0"
    history.records.append(intent(seq, at_ms, key, setting, target=dial, region="ber"))
    given = {"before": {"ber": 0}, "served": {}, **more}
    history.writes.append(write(at_ms, seq, setting, **given)._replace(dial=dial))


def led_away_too_early(history: History) -> None:
    in_layers(history)
    moves(history, 2_000, "dns", False, before={"ber": 300_000_000_000})


def with_users_connected(history: History) -> None:
    in_layers(history)
    moves(history, 2_000, "edge", False)
    moves(history, 3_000, "dns", False)
    moves(history, 9_000, "anycast", False, connected={"ber": 12})


def served_where_nobody_is_led(history: History) -> None:
    in_layers(history)
    for number, dial in enumerate(("edge", "dns", "anycast")):
        moves(history, 2_000 + 90_000 * number, dial, False)
    moves(history, 300_000, "edge", True)


CASES: list[tuple[str, Callable[[History], None]]] = [
    ("last-server", dead),
    ("one-region", two_out),
    ("one-region", neighbour_out),
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
    ("shared-fate", unseeing),
    ("break-glass", gap),
    ("break-glass", emergency_refused),
    ("journal-before-act", unintended),
    ("reversible-first", too_long),
    ("abort-converges", endless),
    ("abort-converges", unheard),
    ("drift-refuses", written_over),
    ("drift-refuses", adopted_unasked),
    ("never-two-holders", two_holders),
    ("once-at-a-time", twice),
    ("ending", unclosed),
    ("receiver-ready", retreats_into_the_full),
    ("receiver-ready", full_with_a_lying_meter),
    ("receiver-ready", full_with_half_a_meter),
    ("receiver-ready", accepted_for_the_one_before),
    ("receiver-ready", unmeasured),
    ("ending", short_after_a_fault),
    ("ending", left_open_beside_a_twin),
    ("abort-converges", aborted_short),
    ("journal-before-act", unmeant_beside_a_twin),
    ("journal-before-act", paged_without_pause),
    ("never-two-holders", broken_long_ago),
    ("never-two-holders", lost_after_it_was_mended),
    ("inside-out", led_away_too_early),
    ("inside-out", with_users_connected),
    ("inside-out", served_where_nobody_is_led),
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


def twin_opens_it(history: History) -> None:
    unclosed(history)
    action = {"kind": "enter-bracket", "key": "k", "target": "silence"}
    history.others = [record(5, 2_000, "intent", action=action)]


def accepted_here(history: History) -> None:
    accepted_for_the_one_before(history)
    del history.records[5]


def surged_before_a_retreat(history: History) -> None:
    """Less came when it began: the retreat goes where users were carried then."""
    retreats_into_the_full(history)
    many = history.traffic
    few = [one._replace(urps=200_000_000, until_ms=1_000) for one in many]
    history.traffic = [*few, *(one._replace(from_ms=1_000) for one in many)]


def paged_with_pauses(history: History) -> None:
    paged_without_pause(history)
    for number, one in enumerate(history.records[6:]):
        one["at"]["mono_ms"] = 3_000 + 2_000 * (number // 2)


def reverted_just_now(history: History) -> None:
    short_of_users(history, 8_000)


def broken_just_now(history: History) -> None:
    broken_long_ago(history)
    history.events[-2] = history.events[-2]._replace(at_ms=2_900)


def left_in_order(history: History) -> None:
    """Connections have had their time to end; back it goes the other way."""
    in_layers(history)
    history.note(-90_000, "prepare", "dns", "", "5000")
    for number, dial in enumerate(("edge", "dns", "anycast")):
        moves(history, 2_000 + 90_000 * number, dial, False, connected={"ber": 3})
    for number, dial in enumerate(("anycast", "dns", "edge")):
        moves(history, 300_000 + 9_000 * number, dial, True)


NOBODYS_FAULT: list[tuple[str, Callable[[History], None]]] = [
    ("ending", twin_opens_it),
    ("ending", reverted_just_now),
    ("receiver-ready", accepted_here),
    ("receiver-ready", surged_before_a_retreat),
    ("journal-before-act", paged_with_pauses),
    ("never-two-holders", broken_just_now),
    ("inside-out", left_in_order),
]


@pytest.mark.parametrize(("invariant", "happens"), NOBODYS_FAULT)
def test_a_checker_blames_nobody_for_the_weather(
    invariant: str, happens: Callable[[History], None]
) -> None:
    history = good()
    happens(history)
    assert not found(history, invariant)


def test_every_checker_has_a_case() -> None:
    assert {name for name, _ in CASES} == set(INVARIANTS)


def test_a_merged_entry_is_known_by_the_number_that_its_claim_has() -> None:
    """The emergency journal went on from record 5; merging put one record before it."""
    history = good()
    merged = record(6, 9_000, "merged", entries=1, head="h", after=5)
    history.records[-1]["seq"] = 7
    history.records.insert(-1, merged)
    assert not found(history, "journal-before-act")
    merged["body"]["entries"] = 0
    assert found(history, "journal-before-act")
