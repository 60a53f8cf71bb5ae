"""Which plans their dials could not carry out, whatever drives them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dayshift.core import planner, steps
from dayshift.model.dial import ALL, Abilities, DialKind, Fence, Setting
from dayshift.model.plan import Plan, Verb
from tests.conformance.test_dial_pages import estate_with
from tests.kit.writing import estate_of

DIAL = "dns"


def plan(verb: Verb, place: Path) -> Plan:
    estate = estate_of(estate_with("rfc2136"), place)
    return planner.make(estate, planner.simple_change("x", ("fra",), "y"), verb)


def only_half(dial: str, setting: Setting) -> str | None:
    fine = setting.rows[ALL]["fra"] in (0, 5_000, 10_000)
    return None if fine else "is too fine"


@pytest.mark.parametrize(
    ("verb", "keys"),
    [
        (Verb.MAINTAIN, ["policy.drain", "policy.ramp"]),
        (Verb.DRAIN, ["policy.drain"]),
        (Verb.RETURN, ["policy.ramp"]),
        (Verb.EVACUATE, []),
    ],
)
def test_each_verb_is_asked_for_the_ways_that_it_goes(
    verb: Verb, keys: list[str], tmp_path: Path
) -> None:
    found = steps.faults(plan(verb, tmp_path), {}, only_half)
    assert [one.key for one in found] == keys
    assert {one.reason.code for one in found} <= {"STEP-TOO-FINE"}


def test_what_can_be_held_or_is_not_known_is_no_fault(tmp_path: Path) -> None:
    assert steps.faults(plan(Verb.MAINTAIN, tmp_path), {}, lambda d, s: None) == []


@pytest.mark.parametrize("kind", DialKind)
def test_only_the_kind_that_the_estate_says_will_do(
    kind: DialKind, tmp_path: Path
) -> None:
    able = {DIAL: Abilities(kind, 1, False, Fence.DEVICE, 0)}
    found = steps.faults(plan(Verb.DRAIN, tmp_path), able, lambda d, s: None)
    assert [one.key for one in found] == (
        [] if kind is DialKind.SPLIT else ["services.shop.dials.0.kind"]
    )
