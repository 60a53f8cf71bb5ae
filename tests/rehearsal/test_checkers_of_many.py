"""Checkers of agents' leases, of several controllers and of what an abort leaves, on
histories made by hand: each finds its violation, and the same without it is clean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from dayshift.model.dial import split
from dayshift.rehearsal.checkers import INVARIANTS, Case
from dayshift.rehearsal.history import History
from tests.rehearsal.test_checkers import good, intent, record, write

USUAL = split({"fra": 5_000, "ber": 5_000})
DRAINED = split({"fra": 0, "ber": 10_000})
BACK = {"*": {"fra": 5_000, "ber": 5_000}}


def behind_an_agent() -> History:
    """A drain through an agent, armed for 30 s; the controller dies, it goes back."""
    history = good()
    history.records[-1] = intent(
        6, 2_000, "fra/drain/1/entry/0", DRAINED, revert_to=msgspec.to_builtins(USUAL)
    )
    history.writes = [write(2_000, 6, DRAINED, agent="a1", sent_ms=2_000)]
    history.note(0, "agent", "a1", "", "started")
    history.note(1_000, "lead", "c1", "", "1")
    kept(history, 2_000, "set", "1:6", 30_000)
    kept(history, 2_100, "renew", "1:6", 30_000)
    history.note(3_000, "crash", "c1", "", "killed")
    gone_back(history, 32_100)
    return history


def kept(
    history: History,
    at_ms: int,
    verb: str,
    claim: str,
    lease_ms: int,
    who: str = "c1",
    unwritten_ms: int = 0,
) -> None:
    more = verb, claim, str(at_ms), str(lease_ms), "done", str(unwritten_ms)
    history.note(at_ms, "kept", "entry", who, "a1", *more)


def gone_back(history: History, at_ms: int, rows: Any = BACK) -> None:
    text = msgspec.json.encode(rows).decode()
    history.note(at_ms, "revert", "entry", "a1", text, "1:6")


def without(history: History, *kinds: str) -> None:
    history.events = [one for one in history.events if one.kind not in kinds]


def too_early(history: History) -> None:
    without(history, "revert")
    gone_back(history, 20_000)


def never(history: History) -> None:
    without(history, "revert")


def elsewhere(history: History) -> None:
    without(history, "revert")
    gone_back(history, 32_100, {"*": {"fra": 10_000, "ber": 0}})


def under_a_living_controller(history: History) -> None:
    without(history, "crash")
    claim = {"epoch": 1, "seq": 6}
    read_back = record(7, 2_100, "outcome", key="k", result="done", claim=claim)
    history.records.append(read_back)


def never_read_back(history: History) -> None:
    """A write that stands for nothing may go back."""
    without(history, "crash")


def kept_in_vain(history: History) -> None:
    kept(history, 2_200, "renew", "1:6", 29_900, unwritten_ms=40_000)


def landed_late(history: History) -> None:
    history.note(4_000, "overtaken", "entry", "a1", "ds1:demo:j:2:9", "ds1:demo:j:1:6")


def renewed_by_the_old(history: History) -> None:
    kept(history, 2_200, "fence", "2:9", 0, "c2")
    kept(history, 2_300, "renew", "1:6", 29_800)


def renewed_by_a_follower(history: History) -> None:
    kept(history, 2_200, "renew", "1:6", 29_900, "c2")


def after_its_lease(history: History) -> None:
    history.note(1_500, "lapse", "c1", "", "1")
    history.note(1_600, "lead", "c2", "", "2")


def nobody_leads(history: History) -> None:
    history.note(0, "born", "c2")
    history.note(5_000, "lapse", "c1", "", "1")


def nobody_is_there(history: History) -> None:
    """All are dead: somebody leads soon after the first of them is back."""
    history.note(0, "born", "c2")
    history.note(5_000, "lapse", "c1", "", "1")
    history.note(5_000, "crash", "c2")
    history.note(50_000, "born", "c2")


def asked_twice(history: History) -> None:
    asked = {"verb": "pause", "person": "eve", "token": "t"}
    history.records += [
        record(7, 3_000, "requested", **asked),
        record(8, 3_000, "answered", token="t", accepted=True),
        record(9, 4_000, "requested", **asked),
    ]


def token_kept(history: History) -> None:
    history.records.append(record(7, 40_000, "run-closed", result="aborted"))
    usual = msgspec.to_builtins(USUAL)
    history.final = {"dials": {"entry": [usual]}, "brackets": {}, "duties": {}}
    history.final["wave"] = "run r of journal j"


def never_climbed(history: History) -> None:
    history.records.append(intent(7, 9_000, "fra/soak/entry/0", USUAL))
    served = {"fra": 5, "ber": 5}
    before = {"fra": 0, "ber": 10}
    history.writes.append(write(9_000, 7, USUAL, served=served, before=before))


def aborted(history: History, shown: dict[str, int], why: str) -> None:
    without(history, "revert", "kept")
    history.records += [
        record(7, 3_000, "requested", verb="abort", person="eve", token="t"),
        record(8, 3_000, "answered", token="t", accepted=True),
        record(9, 59_000, "run-closed", result="aborted", why=why),
    ]
    setting = msgspec.to_builtins(split(shown))
    history.final = {"dials": {"entry": [setting]}, "brackets": {}, "duties": {}}


NAMED = "aborted on request; not touched: dial entry shows"


def leaves_its_own(history: History) -> None:
    """What our own write left is taken back, whatever is said of it."""
    aborted(history, {"fra": 0, "ber": 10_000}, f"{NAMED} ber 100.00 %, fra 0.00 %")


def leaves_unnamed(history: History) -> None:
    history.note(9_000, "drift", "entry")
    aborted(history, {"fra": 4_300, "ber": 5_700}, "aborted on request")


def leaves_with_another_value(history: History) -> None:
    history.note(9_000, "drift", "entry")
    aborted(history, {"fra": 4_300, "ber": 5_700}, f"{NAMED} ber 60.00 %, fra 40.00 %")


def leaves_and_says_so(history: History) -> None:
    history.note(9_000, "drift", "entry")
    aborted(history, {"fra": 4_300, "ber": 5_700}, f"{NAMED} ber 57.00 %, fra 43.00 %")


CASES: list[tuple[str, Callable[[History], None]]] = [
    ("dead-man", too_early),
    ("dead-man", never),
    ("dead-man", elsewhere),
    ("dead-man", under_a_living_controller),
    ("dead-man", kept_in_vain),
    ("fencing", landed_late),
    ("fencing", renewed_by_the_old),
    ("fencing", renewed_by_a_follower),
    ("fencing", after_its_lease),
    ("fencing", nobody_leads),
    ("journal-before-act", asked_twice),
    ("ending", token_kept),
    ("blind-is-not-green", never_climbed),
    ("abort-converges", leaves_its_own),
    ("abort-converges", leaves_unnamed),
    ("abort-converges", leaves_with_another_value),
]


def found(invariant: str, history: History) -> list[Any]:
    return list(INVARIANTS[invariant][1](Case.of(history)))


@pytest.mark.parametrize(
    ("invariant", "spoil"), CASES, ids=lambda one: getattr(one, "__name__", one)
)
def test_a_checker_speaks(invariant: str, spoil: Callable[[History], None]) -> None:
    assert not found(invariant, behind_an_agent())
    history = behind_an_agent()
    spoil(history)
    assert found(invariant, history)


@pytest.mark.parametrize(
    ("invariant", "happens"),
    [
        ("dead-man", never_read_back),
        ("fencing", nobody_is_there),
        ("abort-converges", leaves_and_says_so),
    ],
    ids=lambda one: getattr(one, "__name__", one),
)
def test_a_checker_blames_nobody(
    invariant: str, happens: Callable[[History], None]
) -> None:
    history = behind_an_agent()
    happens(history)
    assert not found(invariant, history)
