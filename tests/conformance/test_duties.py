"""Duty `exec` on real commands: every region is asked, and doubt is never a `no`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dayshift.drivers.duties.exec import ExecDuty
from dayshift.errors import DriverFault, DriverRetry
from tests.kit.driving import real_context, script

DUTY = """
case $1 in
  holder) echo "$DAYSHIFT_REGION" >> asked; test -e "held-$DAYSHIFT_REGION" ;;
  release) rm -f "held-$DAYSHIFT_REGION" ;;
  take) touch "held-$DAYSHIFT_REGION" ;;
esac
"""


def a_duty(place: Path, text: str = DUTY, **options: object) -> ExecDuty:
    word = script(place, "duty", text)
    given = {verb: [word, verb] for verb in ("holder", "release", "take")}
    regions = {"regions": ["fra", "ber", "ams"]}
    return ExecDuty("nightly", {**given, **regions, **options}, real_context(place))


def holders(duty: ExecDuty) -> tuple[str, ...]:
    return asyncio.run(duty.holders())


def test_a_duty_moves(tmp_path: Path) -> None:
    duty = a_duty(tmp_path)
    assert holders(duty) == ()
    asyncio.run(duty.take("fra"))
    assert holders(duty) == ("fra",)
    asyncio.run(duty.release("fra"))
    asyncio.run(duty.take("ber"))
    assert holders(duty) == ("ber",)


def test_two_holders_are_both_told_and_every_region_is_asked(tmp_path: Path) -> None:
    duty = a_duty(tmp_path)
    asyncio.run(duty.take("fra"))
    asyncio.run(duty.take("ams"))
    assert holders(duty) == ("fra", "ams")
    assert sorted((tmp_path / "asked").read_text().split()) == ["ams", "ber", "fra"]


def test_one_region_in_doubt_is_a_fault_though_all_were_asked(tmp_path: Path) -> None:
    text = "echo x >> asked; test $DAYSHIFT_REGION = fra && { echo away; exit 5; }"
    duty = a_duty(tmp_path, text)
    with pytest.raises(DriverFault, match="in fra ended with exit code 5") as fault:
        holders(duty)
    assert fault.value.reason.because == "away"
    assert len((tmp_path / "asked").read_text().split()) == 3


def test_a_region_that_hangs_is_asked_later(tmp_path: Path) -> None:
    duty = a_duty(tmp_path, "sleep 20", answer_limit=200)
    with pytest.raises(DriverRetry, match="within 200 ms"):
        holders(duty)


def test_a_holder_killed_by_a_signal_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(DriverFault, match="exit code -9"):
        holders(a_duty(tmp_path, "kill -9 $$"))


def test_a_failed_release_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(DriverFault, match="release of duty nightly in fra"):
        asyncio.run(a_duty(tmp_path, "exit 1").release("fra"))


def test_a_missing_command_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(DriverFault, match="COMMAND-MISSING"):
        holders(a_duty(tmp_path, holder=["./nowhere"]))


def test_no_region_at_all_is_not_nobody(tmp_path: Path) -> None:
    with pytest.raises(DriverFault, match="DUTY-NOWHERE"):
        holders(a_duty(tmp_path, regions=[]))


def test_a_take_that_leaves_a_daemon_behind_returns(tmp_path: Path) -> None:
    duty = a_duty(tmp_path, "sleep 3 & exit 0")
    asyncio.run(asyncio.wait_for(duty.take("fra"), 2))
