"""What a held screen lists is granted, and what it does not list is refused."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from functools import lru_cache

import pytest
from msgspec.structs import replace

from dayshift.core.exits import exits
from dayshift.core.state import Status
from dayshift.model.dial import InstanceReading, split
from dayshift.model.evidence import Verdict, VerdictKind
from dayshift.model.plan import Verb
from dayshift.model.sight import Sight, WorkSight, WorkStatus
from tests.kit.play import PASSING, Play, change, estate

WAYS = ("resume", "retry", "adopt", "abort", "close", "done-by-hand")
SEEDS = 90
BAD = Verdict(VerdictKind.FAIL, "12 of 40 requests failed")


def unreadable(sight: Sight) -> Sight:
    def mute(one: InstanceReading) -> InstanceReading:
        return replace(one, setting=None, fault="no answer")

    return _each(sight, lambda all_: tuple(mute(one) for one in all_))


def mixed(sight: Sight) -> Sight:
    other = split({"fra": 1_000, "ber": 9_000})
    return _each(
        sight, lambda all_: (*all_, replace(all_[0], instance="b", setting=other))
    )


def never_read(sight: Sight) -> Sight:
    return replace(sight, dials={})


def empty_set(sight: Sight) -> Sight:
    nobody = split({"fra": 0, "ber": 0})
    return _each(sight, lambda all_: (replace(all_[0], setting=nobody),))


def _each(sight: Sight, change_all) -> Sight:
    dials = {
        name: replace(one, instances=change_all(one.instances))
        for name, one in sight.dials.items()
    }
    return replace(sight, dials=dials)


BENDS = (unreadable, mixed, never_read, empty_set)


def trouble(play: Play, draw: random.Random) -> None:
    """Something that makes a run hold, or that is there while it is held."""
    luck = draw.randrange(8)
    if luck == 0:
        play.bend = draw.choice(BENDS)
    elif luck == 1:
        fra = draw.choice([0, 2_000, 5_000, 10_000])
        play.dials["entry"] = split({"fra": fra, "ber": 10_000 - fra})
    elif luck == 2:
        play.verdict = lambda region: draw.choice([BAD, PASSING])
    elif luck == 3:
        play.holders["nightly"] = ()
    elif luck == 4:
        key = f"{play.here.region}-upgrade-{draw.randrange(2)}"
        status = draw.choice([WorkStatus.FAILED, WorkStatus.RUNNING])
        play.works[key] = WorkSight(key, status, 7)
    else:
        play.bend = lambda sight: sight
        play.verdict = lambda region: PASSING


@lru_cache(maxsize=SEEDS)
def stops(seed: int) -> tuple[Play, ...]:
    """Copies of a run wherever it was held or paused, in fair and foul weather."""
    draw = random.Random(seed)
    verb = draw.choice([Verb.MAINTAIN, Verb.MAINTAIN, Verb.DRAIN])
    play = Play(estate(), change("fra", undo=bool(draw.randrange(2))), verb)
    found: list[Play] = []
    for _ in range(draw.randrange(40, 300)):
        if play.run.status is Status.CLOSED or len(found) > 30:
            break
        if draw.random() < 0.06:
            trouble(play, draw)
        if play.run.status is not Status.RUNNING:
            for bend in (play.bend, *BENDS):
                found.append(copied(play, bend))
            play.ask(draw.choice(WAYS), **arguments(play))
        elif draw.random() < 0.02:
            play.ask("pause")
        play.step(draw.choice([50, 200, 1_000]))
    return tuple(found)


def copied(play: Play, bend) -> Play:
    other = copy.copy(play)
    for name in ("records", "dials", "claims", "holders", "open", "works", "armed"):
        setattr(other, name, copy.copy(getattr(play, name)))
    other.bend = bend
    return other


def arguments(play: Play) -> dict[str, str]:
    steps = [one.name for work in play.plan.change.regions for one in work.steps]
    return {"step": steps[0]} if steps else {}


def listed(play: Play) -> Iterator[str]:
    for one in exits(play.state, play.sight()):
        yield one.command.split()[1]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_listed_is_granted_and_unlisted_is_refused(seed: int) -> None:
    for play in stops(seed):
        shown = set(listed(play))
        for verb in WAYS:
            answered = copied(play, play.bend).ask(verb, **arguments(play))
            hold = play.run.hold.reason.code if play.run.hold else play.run.status
            where = f"{verb} at {play.here.phase.value}, {hold}: {answered.reason}"
            assert answered.accepted is (verb in shown), where


def test_the_runs_stop_in_many_ways() -> None:
    """Else the test above would say nothing."""
    every = [play for seed in range(SEEDS) for play in stops(seed)]
    shown = {verb for play in every for verb in listed(play)}
    assert shown == set(WAYS)
    codes = {play.run.hold.reason.code for play in every if play.run.hold}
    assert codes >= {"DRIFT", "GATE-FAILED"}
    drifts = [p for p in every if p.run.hold and p.run.hold.reason.code == "DRIFT"]
    assert {"adopt" in listed(one) for one in drifts} == {True, False}
