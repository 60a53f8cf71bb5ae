"""What every dial must do, whatever it drives."""

from __future__ import annotations

import asyncio

import pytest

from dayshift.drivers.base import Dial
from dayshift.errors import DriverFault, DriverRetry, Refused
from dayshift.model.dial import (
    ALL,
    Claim,
    DialKind,
    DialReading,
    Setting,
    Token,
    split,
)
from tests.conformance.rigs import DialRig, claim, token, with_dial

NOT_SHARES = [
    Setting(DialKind.SPLIT, {}),
    split({}),
    split({"fra": 0, "ber": 0}),
    split({"fra": 5000, "ber": 4999}),
    split({"fra": -1, "ber": 10_001}),
    split({"fra": 10_000}),
    split({"fra": 5000, "par": 5000}),
    split({"fra": 5000, "ber": 5000, "par": 0}),
    *(
        Setting(DialKind.SWITCH, {ALL: dict(row)})
        for row in (
            {},
            {"fra": 0, "ber": 0},
            {"fra": 10_000, "ber": 5000},
            {"fra": 10_000, "ber": -1},
            {"fra": 10_000},
            {"fra": 10_000, "par": 10_000},
            {"fra": 10_000, "ber": 10_000, "par": 0},
        )
    ),
    Setting(DialKind.SWITCH, {"fra": {"fra": 10_000, "ber": 0}}),
    Setting(DialKind.FORWARD, {"fra": {"fra": 5000, "ber": 0}}),
]
MEANT = {
    DialKind.SPLIT: split({"fra": 0, "ber": 10_000}),
    DialKind.SWITCH: Setting(DialKind.SWITCH, {ALL: {"fra": 0, "ber": 10_000}}),
    DialKind.FORWARD: Setting(
        DialKind.FORWARD, {name: {"fra": 0, "ber": 10_000} for name in ("fra", "ber")}
    ),
}
"""Of each kind, a setting that a dial of this kind takes, and none of another kind."""


def claims(reading: DialReading) -> list[Claim | None]:
    return [one.claim for one in reading.instances]


async def now(dial: Dial) -> tuple[Setting | None, list[Claim | None], str]:
    reading = await dial.read()
    return reading.setting, claims(reading), reading.fault


def test_the_baseline_is_read_and_never_claimed(dial_rig: DialRig) -> None:
    assert with_dial(dial_rig, now) == (dial_rig.row(5000), [None, None], "")


@pytest.mark.parametrize("fra", [2500, 0, 10_000, 9999, 1])
def test_what_is_set_is_read_back(dial_rig: DialRig, fra: int) -> None:
    async def check(dial: Dial) -> None:
        assert dial.describe().granularity_bp == dial_rig.granularity_bp
        await dial.set(dial_rig.row(fra), token(claim(1)))
        assert await now(dial) == (dial_rig.row(fra), [claim(1)] * 2, "")

    with_dial(dial_rig, check)


def test_another_process_reads_the_same(dial_rig: DialRig) -> None:
    with_dial(
        dial_rig, lambda dial: dial.set(dial_rig.row(100), token(claim(7, epoch=3)))
    )
    expected = (dial_rig.row(100), [claim(7, epoch=3)] * 2, "")
    assert with_dial(dial_rig, now) == expected


@pytest.mark.parametrize(
    ("mine", "expected"),
    [
        (claim(9, journal="j2"), claim(5)),
        (claim(9, journal="j2"), None),
        (claim(9, estate="other"), None),
        (claim(4), None),
        (claim(9, epoch=0), claim(5)),
        (claim(9), claim(4)),
        (claim(9), None),
    ],
    ids=["foreign", "foreign-2", "estate", "newer", "epoch", "unexpected", "unseen"],
)
def test_a_claim_that_does_not_fit_refuses_and_nothing_moves(
    dial_rig: DialRig, mine: Claim, expected: Claim | None
) -> None:
    async def check(dial: Dial) -> None:
        await dial.set(dial_rig.row(2500), token(claim(5)))
        with pytest.raises(Refused):
            await dial.set(dial_rig.row(0), token(mine, expected))
        assert await now(dial) == (dial_rig.row(2500), [claim(5)] * 2, "")

    with_dial(dial_rig, check)


def test_an_instance_that_lags_behind_its_own_journal_is_caught_up(
    dial_rig: DialRig,
) -> None:
    async def check(dial: Dial) -> None:
        await dial.set(dial_rig.row(2500), token(claim(5)))
        await dial.set(dial_rig.row(0), token(claim(9), claim(8)))
        assert await now(dial) == (dial_rig.row(0), [claim(9)] * 2, "")

    with_dial(dial_rig, check)


def test_a_claim_that_is_gone_refuses(dial_rig: DialRig) -> None:
    async def check(dial: Dial) -> None:
        with pytest.raises(Refused):
            await dial.set(dial_rig.row(0), token(claim(2), claim(1)))
        assert await now(dial) == (dial_rig.row(5000), [None, None], "")

    with_dial(dial_rig, check)


@pytest.mark.parametrize("setting", NOT_SHARES, ids=lambda one: str(one.rows))
def test_what_is_no_row_of_its_regions_is_refused(
    dial_rig: DialRig, setting: Setting
) -> None:
    async def check(dial: Dial) -> None:
        with pytest.raises(Refused):
            await dial.set(setting, token(claim(1)))
        assert await now(dial) == (dial_rig.row(5000), [None, None], "")

    with_dial(dial_rig, check)


def test_what_is_meant_for_each_kind_of_dial_is_known() -> None:
    assert set(MEANT) == set(DialKind)


@pytest.mark.parametrize("kind", MEANT)
def test_a_dial_takes_settings_of_its_own_kind_alone(
    dial_rig: DialRig, kind: DialKind
) -> None:
    async def check(dial: Dial) -> None:
        assert (await dial.read()).setting == dial_rig.row(5000)
        if dial.describe().kind is kind:
            await dial.set(MEANT[kind], token(claim(1)))
            assert await now(dial) == (MEANT[kind], [claim(1)] * 2, "")
            return
        with pytest.raises(Refused):
            await dial.set(MEANT[kind], token(claim(1)))
        assert await now(dial) == (dial_rig.row(5000), [None, None], "")

    with_dial(dial_rig, check)


@pytest.mark.parametrize("serving", [(), ("fra",), ("par",)])
def test_a_region_that_is_not_proven_to_serve_gets_nothing(
    dial_rig: DialRig, serving: tuple[str, ...]
) -> None:
    async def check(dial: Dial) -> None:
        with pytest.raises(Refused):
            await dial.set(dial_rig.row(0), Token(claim(1), serving, None))
        assert await now(dial) == (dial_rig.row(5000), [None, None], "")

    with_dial(dial_rig, check)


def test_a_hold_asks_nobody_who_serves(dial_rig: DialRig) -> None:
    """Else a drained region could not come back once the other one is dead."""

    async def check(dial: Dial) -> None:
        await dial.set(dial_rig.row(0), token(claim(1)))
        await dial.hold(Token(claim(2), (), claim(1)))
        assert await now(dial) == (dial_rig.row(0), [claim(2)] * 2, "")

    with_dial(dial_rig, check)


def test_the_same_write_again_changes_nothing(dial_rig: DialRig) -> None:
    async def check(dial: Dial) -> None:
        for _ in range(2):
            await dial.set(dial_rig.row(2500), token(claim(1)))
            assert await now(dial) == (dial_rig.row(2500), [claim(1)] * 2, "")
        await dial.set(dial_rig.row(2500), token(claim(2), claim(1)))
        assert await now(dial) == (dial_rig.row(2500), [claim(2)] * 2, "")

    with_dial(dial_rig, check)


def test_instances_that_disagree_are_mixed(dial_rig: DialRig) -> None:
    async def check(dial: Dial) -> DialReading:
        await dial.set(dial_rig.row(2500), token(claim(1)))
        dial_rig.tamper(1, dial_rig.row(10_000))
        return await dial.read()

    reading = with_dial(dial_rig, check)
    assert reading.mixed and reading.setting is None
    assert [one.setting for one in reading.instances] == [
        dial_rig.row(2500),
        dial_rig.row(10_000),
    ]

    async def nothing_to_hold(dial: Dial) -> None:
        with pytest.raises(DriverFault):
            await dial.hold(token(claim(2), claim(1)))

    with_dial(dial_rig, nothing_to_hold)


def test_a_claimed_setting_survives_a_restart(dial_rig: DialRig) -> None:
    with_dial(dial_rig, lambda dial: dial.set(dial_rig.row(1), token(claim(1))))
    dial_rig.restart()
    assert with_dial(dial_rig, now) == (dial_rig.row(1), [claim(1)] * 2, "")


def test_hold_asserts_the_present_setting_anew(dial_rig: DialRig) -> None:
    async def check(dial: Dial) -> None:
        await dial.set(dial_rig.row(0), token(claim(1)))
        await dial.hold(token(claim(2), claim(1)))
        assert await now(dial) == (dial_rig.row(0), [claim(2)] * 2, "")
        with pytest.raises(Refused):
            await dial.hold(token(claim(1), claim(1)))

    with_dial(dial_rig, check)


@pytest.mark.parametrize("held", [False, True])
def test_a_lease_expires_just_where_the_dial_says_so(
    dial_rig: DialRig, held: bool
) -> None:
    async def check(dial: Dial) -> None:
        await dial.set(
            dial_rig.row(0),
            token(claim(1)),
            revert_to=dial_rig.row(5000),
            lease_ms=dial_rig.lease_ms,
        )
        assert (await dial.read()).setting == dial_rig.row(0)
        if held:
            await dial.hold(token(claim(2), claim(1)))
        reverts = dial.describe().lease and not held
        for _ in range((100 if reverts else 12) * dial_rig.lease_ms // 1_000):
            await asyncio.sleep(0.1)
            if reverts and (await dial.read()).setting == dial_rig.row(5000):
                return
        assert not reverts and (await dial.read()).setting == dial_rig.row(0)

    with_dial(dial_rig, check)


@pytest.mark.parametrize("after_ms", [0, 1, 2, 3, 5, 8])
def test_a_cancelled_write_leaves_the_old_or_the_new(
    dial_rig: DialRig, after_ms: int
) -> None:
    async def check(dial: Dial) -> None:
        await dial.set(dial_rig.row(2500), token(claim(1)))
        task = asyncio.create_task(dial.set(dial_rig.row(0), token(claim(2), claim(1))))
        await asyncio.sleep(after_ms / 1000)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        setting, stands, fault = await now(dial)
        assert (setting, stands, fault) in (
            (dial_rig.row(2500), [claim(1)] * 2, ""),
            (dial_rig.row(0), [claim(2)] * 2, ""),
        )
        await dial.set(dial_rig.row(0), token(claim(2), stands[0]))
        assert await now(dial) == (dial_rig.row(0), [claim(2)] * 2, "")

    with_dial(dial_rig, check)


def test_a_dial_that_does_not_answer_is_tried_again_and_says_so(
    dial_rig: DialRig,
) -> None:
    for instance in (0, 1):
        dial_rig.stop(instance)

    async def check(dial: Dial) -> None:
        with pytest.raises(DriverRetry):
            await dial.set(dial_rig.row(0), token(claim(1)))
        reading = await dial.read()
        assert reading.setting is None
        assert all(one.fault for one in reading.instances)

    with_dial(dial_rig, check)
    for instance in (0, 1):
        dial_rig.start(instance)
    assert with_dial(dial_rig, now) == (dial_rig.row(5000), [None, None], "")


def test_a_partly_applied_write_is_seen_and_can_be_completed(dial_rig: DialRig) -> None:
    dial_rig.stop(1)

    async def partly(dial: Dial) -> None:
        with pytest.raises(DriverRetry):
            await dial.set(dial_rig.row(0), token(claim(1)))
        reading = await dial.read()
        assert reading.mixed and reading.setting is None
        assert [bool(one.fault) for one in reading.instances] == [False, True]

    with_dial(dial_rig, partly)
    dial_rig.start(1)
    with_dial(dial_rig, lambda dial: dial.set(dial_rig.row(0), token(claim(1))))
    assert with_dial(dial_rig, now) == (dial_rig.row(0), [claim(1)] * 2, "")
