"""Three controllers over one journal: one leads, the others take over, and a leader
that was stopped and goes on again changes nothing any more."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from dayshift.model import records as r
from dayshift.model.records import RunResult
from dayshift.rehearsal.shared import TTL_MS
from dayshift.runtime import leading, serving
from dayshift.runtime.serving import Role
from tests.kit.clock import VirtualClock, run_virtual
from tests.kit.several import Several, stale_writes

Deed = Callable[[Several], Awaitable[None]]
TAKEOVER_MS = 5_000
SWEEP = bool(os.environ.get("DAYSHIFT_SWEEP"))
"""Every place and moment, as `script/soak` does, or one of a few."""


def play(folder: Path, deed: Deed) -> Several:
    async def program(clock: VirtualClock) -> Several:
        several = Several(clock, folder)
        try:
            await several.until_led()
            await several.until(lambda: len(several.followers()) == 2)
            await deed(several)
        finally:
            await several.close()
        return several

    return run_virtual(program)


def result(several: Several) -> RunResult | None:
    closed = [o.body for o in several.records() if isinstance(o.body, r.RunClosed)]
    return closed[-1].result if closed else None


def good(several: Several) -> None:
    """The run ended as if nothing had been, and no stale write was accepted."""
    assert result(several) is RunResult.DONE, several.tail()
    assert several.rig.world.shares() == {"fra": 5_000, "ber": 5_000}
    assert stale_writes(several) == []
    assert all(len(one.began) == 1 for one in several.rig.workers.values())
    assert not any(one.open for one in several.rig.brackets.values())
    intents = {
        (one.epoch, one.seq)
        for one in several.records()
        if isinstance(one.body, r.Intent)
    }
    claims = [token.claim for _, token in several.rig.dial.writes]
    assert {(one.epoch, one.seq) for one in claims} <= intents


def test_a_run_is_opened_at_a_follower_and_done_by_the_leader(tmp_path: Path) -> None:
    async def deed(several: Several) -> None:
        at = several.followers()[0]
        answered = await several.open(at)
        assert answered.accepted, answered.reason
        await several.until(several.ended)

    several = play(tmp_path, deed)
    good(several)
    assert len(several.led) == 1
    bodies = [one.body for one in several.records()]
    asked = next(one for one in bodies if isinstance(one, r.Requested))
    answer = next(one for one in bodies if isinstance(one, r.Answered))
    assert (asked.verb, asked.person) == ("open", "ada") and "plan" not in asked.args
    assert answer.token == asked.token and answer.accepted
    assert sum(isinstance(one, r.RunOpened) for one in bodies) == 1


def test_requests_at_a_follower_reach_the_leader(tmp_path: Path) -> None:
    answers = {}

    async def deed(several: Several) -> None:
        at = several.followers()[0]
        for verb in ("pause", "nonsense"):
            refused = await several.serving[at].ask(verb, "eve", {"at": at})
            assert not refused.accepted and refused.reason.code == "NO-RUN"
        await several.open(at)
        await several.clock.sleep(3_000)
        for verb in ("pause", "resume", "retry", "abort"):
            args = {"at": at, "uid": "1000"}
            answers[verb] = await several.serving[at].ask(verb, "eve", args)
        await several.until(several.ended)

    several = play(tmp_path, deed)
    assert {verb: one.accepted for verb, one in answers.items()} == {
        "pause": True,
        "resume": True,
        "retry": False,
        "abort": True,
    }
    assert result(several) is RunResult.ABORTED
    asked = [o.body for o in several.records() if isinstance(o.body, r.Requested)]
    abort = next(one for one in asked if one.verb == "abort")
    assert (abort.person, abort.args["uid"]) == ("eve", "1000")
    assert abort.args["at"] in several.serving


def test_a_leader_of_an_older_copy_says_so_at_once(tmp_path: Path) -> None:
    """No run is open, so nothing else reads the dials: its log warns."""
    names: list[str] = []

    async def deed(several: Several) -> None:
        await several.open(several.followers()[0])
        await several.until(several.ended)
        assert not any("warns" in one for one in several.said)
        device = several.rig.world.devices[0]
        assert device.claim is not None
        device.claim = replace(device.claim, seq=10**6)
        names.append(several.leader)
        several.serving[names[0]].stop()
        await several.until(lambda: any("warns" in one for one in several.said))

    several = play(tmp_path, deed)
    warned = [one for one in several.said if "warns" in one]
    assert len(warned) == 1 and "JOURNAL-BEHIND" in warned[0]
    assert "1000000" in warned[0] and not warned[0].startswith(names[0])


def test_without_a_leader_a_request_is_withdrawn(tmp_path: Path) -> None:
    async def deed(several: Several) -> None:
        for ground in several.grounds.values():
            ground.freezer.freeze()
        await several.clock.sleep(TTL_MS + 1_000)
        several.shared.cut = set(several.serving)
        for ground in several.grounds.values():
            ground.freezer.thaw()
        await several.clock.sleep(500)
        name = next(iter(several.serving))
        with pytest.raises(Exception, match="does not answer"):
            await several.serving[name].ask("pause", "eve", {})
        assert all(o.role is Role.FOLLOWS for o in several.serving.values())
        several.shared.cut = set()
        await several.until_led()

    play(tmp_path, deed)


def test_terminating_hands_over_at_once(tmp_path: Path) -> None:
    took: list[int] = []

    async def deed(several: Several) -> None:
        await several.open(several.leader)
        for _ in range(2):
            await several.clock.sleep(4_000)
            old = several.leader
            before = several.clock.now().mono_ms
            several.serving[old].stop()
            await several.until(lambda o=old: several.leader not in ("", o))  # type: ignore[misc]
            took.append(several.clock.now().mono_ms - before)
            await several.until(several.tasks[old].done)
            several.start(old)
        await several.until(several.ended)

    several = play(tmp_path, deed)
    good(several)
    assert max(took) < TTL_MS / 3, took


def test_followers_show_themselves_and_are_missed(tmp_path: Path) -> None:
    async def deed(several: Several) -> None:
        await several.clock.sleep(7_000)
        silent = several.followers()[0]
        several.grounds[silent].freezer.freeze()
        await several.clock.sleep(leading.SILENT_MS + 2_000)
        several.grounds[silent].freezer.thaw()
        await several.clock.sleep(7_000)

    several = play(tmp_path, deed)
    stood = [o.body for o in several.records() if isinstance(o.body, r.StoodBy)]
    assert [one.alive for one in stood] == [True, True, False, True]


THAW = {
    "as soon as another leads": lambda several, before: len(several.led) > before,
    "once its fence stands": lambda several, before: (
        len(several.led) > before
        and any(t.claim.epoch > before for _, t in several.rig.dial.writes)
    ),
    "when all is over": lambda several, before: several.ended(),
}


STOPS = [
    (number, thaw)
    for shift, thaw in enumerate(THAW)
    for number in (range(1, 60) if SWEEP else range(1 + shift, 46, 4))
]


@pytest.mark.parametrize(("number", "thaw"), STOPS)
def test_a_leader_stopped_between_check_and_write(
    number: int, thaw: str, tmp_path: Path
) -> None:
    """At every place at which an action waits for the world: compared, applied, read
    back. Another takes over; then the first goes on with what it was about to do."""

    async def deed(several: Several) -> None:
        first = several.leader
        freezer = several.grounds[first].freezer
        freezer.stop_at = number
        await several.open(first)
        await several.until(lambda: freezer.frozen or several.ended())
        if not freezer.frozen:
            return
        stopped = several.clock.now().mono_ms
        await several.until(lambda: len(several.led) > 1)
        assert several.led[-1][1] - stopped <= TAKEOVER_MS
        await several.until(lambda: THAW[thaw](several, 1))
        freezer.thaw()
        await several.until(several.ended)
        await several.clock.sleep(2_000)
        assert several.serving[first].role is Role.FOLLOWS

    good(play(tmp_path, deed))


@pytest.mark.parametrize("at_ms", range(0, 30_000, 250 if SWEEP else 2_700))
def test_a_leader_stopped_at_any_moment(at_ms: int, tmp_path: Path) -> None:
    async def deed(several: Several) -> None:
        await several.open(several.leader)
        await several.clock.sleep(at_ms)
        for _ in range(3):
            first, count = several.leader, len(several.led)
            if not first or several.ended():
                break
            several.grounds[first].freezer.freeze()
            await several.until(lambda n=count: len(several.led) > n)  # type: ignore[misc]
            await several.clock.sleep(1_500)
            several.grounds[first].freezer.thaw()
            await several.clock.sleep(1_000)
        await several.until(several.ended)

    good(play(tmp_path, deed))


def test_a_step_that_another_machine_began_is_not_begun_again(tmp_path: Path) -> None:
    """The leader dies while its step runs; the next one cannot see it, and holds until
    the first leads again."""

    async def deed(several: Several) -> None:
        first = several.leader
        workers = several.rig.workers
        several.jobs = {name: name for name in several.jobs}
        several.serving[first].stop()
        await several.until(lambda: several.leader not in ("", first))
        first = several.leader
        await several.open(first)
        await several.until(lambda: any(one.began for one in workers.values()))
        several.grounds[first].freezer.freeze()
        for one in workers.values():
            one.hidden = True
        await several.until(lambda: several.held("WORK-ELSEWHERE"))
        for one in workers.values():
            one.hidden = False
        several.grounds[first].freezer.thaw()
        await several.until(lambda: several.serving[first].role is Role.FOLLOWS)
        for name in several.serving:
            if name != first:
                several.serving[name].stop()
        await several.until(lambda: several.leader == first)
        answered = await several.serving[first].ask("retry", "ada", {})
        assert answered.accepted, answered.reason
        await several.until(several.ended)

    good(play(tmp_path, deed))


def test_a_leader_without_the_store_steps_down(tmp_path: Path) -> None:
    async def deed(several: Several) -> None:
        await several.open(several.leader)
        await several.clock.sleep(6_000)
        first = several.leader
        several.shared.cut = {first}
        await several.until(lambda: several.leader not in ("", first))
        writes = len(several.rig.dial.writes)
        await several.until(lambda: several.serving[first].role is Role.FOLLOWS)
        several.shared.cut = set()
        await several.until(several.ended)
        assert len(several.rig.dial.writes) >= writes

    good(play(tmp_path, deed))


def test_why_nobody_leads_is_told_once_and_then_every_minute(tmp_path: Path) -> None:
    async def deed(several: Several) -> None:
        several.shared.cut = set(several.serving)
        await several.until(lambda: len(several.followers()) == 3)
        await several.clock.sleep(2_000)
        begun = len(several.said)
        await several.clock.sleep(serving.STILL_MS // 2)
        assert len(several.said) == begun, several.said[begun:]
        await several.clock.sleep(serving.STILL_MS)
        again = several.said[begun:]
        why = "still follows: the store does not answer"
        assert all(f"{name} {why}" in again for name in several.serving), again
        assert len(again) <= 2 * len(several.serving), again
        several.shared.cut = set()
        assert await several.until_led()

    play(tmp_path, deed)


def test_the_last_of_three_still_leads_while_the_store_answers(tmp_path: Path) -> None:
    async def deed(several: Several) -> None:
        await several.open(several.leader)
        for _ in range(2):
            await several.clock.sleep(2_000)
            old, count = several.leader, len(several.led)
            several.grounds[old].freezer.freeze()
            await several.until(lambda n=count: len(several.led) > n)  # type: ignore[misc]
        await several.until(several.ended)

    several = play(tmp_path, deed)
    good(several)
    assert len({name for name, _ in several.led}) == 3


def test_a_request_that_was_taken_up_is_not_taken_up_again(tmp_path: Path) -> None:
    """The leader dies between the answer and the removal of the message."""

    async def deed(several: Several) -> None:
        at = several.followers()[0]
        answered = await several.open(at)
        await several.until(several.ended)
        asked = next(o for o in several.records() if isinstance(o.body, r.Requested))
        assert isinstance(asked.body, r.Requested)
        data = several.shared.messages
        message = serving.messages.Posted(
            "open", "ada", {"plan": serving.messages.plan_text(several.rig.plan)}
        )
        data[asked.body.token] = serving.messages.encode(message)
        several.grounds[several.leader].freezer.freeze()
        await several.until(lambda: len(several.led) > 1)
        await several.until(lambda: asked.body.token not in data)  # type: ignore[union-attr]
        assert answered.accepted

    several = play(tmp_path, deed)
    opened = [o for o in several.records() if isinstance(o.body, r.RunOpened)]
    assert len(opened) == 1
