"""Both clocks keep their promises: one is real, the other costs nothing."""

from __future__ import annotations

import asyncio
import time
import uuid

import pytest

from dayshift.model.units import elapsed_ms
from dayshift.runtime.clock import RealClock, SystemEntropy, uuid7
from tests.kit.clock import SeededEntropy, Stuck, VirtualClock, run_virtual


def test_ten_hours_of_sleep_take_less_than_a_second() -> None:
    async def doze(clock: VirtualClock) -> int:
        before = clock.now()
        for _ in range(3_600):
            await clock.sleep(10_000)
        return elapsed_ms(before, clock.now())

    began = time.monotonic()
    assert run_virtual(doze) == 36_000_000
    assert time.monotonic() - began < 1


def test_virtual_time_orders_tasks_as_real_time_would() -> None:
    async def race(clock: VirtualClock) -> list[tuple[str, int]]:
        seen: list[tuple[str, int]] = []
        began = clock.now().mono_ms

        async def runner(name: str, step: int, count: int) -> None:
            for _ in range(count):
                await clock.sleep(step)
                seen.append((name, clock.now().mono_ms - began))

        await asyncio.gather(runner("a", 300, 2), runner("b", 200, 2))
        return seen

    expected = [("b", 200), ("a", 300), ("b", 400), ("a", 600)]
    assert run_virtual(race) == expected == run_virtual(race)


def test_virtual_within_times_out_at_its_instant() -> None:
    async def wait(clock: VirtualClock) -> int:
        with pytest.raises(TimeoutError):
            await clock.within(5_000, clock.sleep(60_000))
        return clock.now().mono_ms

    assert run_virtual(wait) == 5_000


def test_thread_work_takes_no_virtual_time() -> None:
    async def mixed(clock: VirtualClock) -> tuple[int, bool]:
        timer = asyncio.create_task(clock.sleep(3_600_000))
        await asyncio.to_thread(time.sleep, 0.05)
        return clock.now().mono_ms, timer.cancel()

    assert run_virtual(mixed) == (0, True)


def test_a_program_that_waits_forever_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dayshift.rehearsal.loop.STUCK_S", 0.05)

    async def forever(clock: VirtualClock) -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stuck):
        run_virtual(forever)


def test_wall_jumps_and_reboots_are_seen() -> None:
    async def bend(clock: VirtualClock) -> None:
        first = clock.now()
        clock.jump_wall(-5_000)
        assert clock.now().wall_ms == first.wall_ms - 5_000
        assert clock.now().mono_ms == first.mono_ms
        clock.reboot()
        assert clock.now().boot_id != first.boot_id

    run_virtual(bend)


def test_the_real_clock_advances_and_times_out() -> None:
    async def use() -> None:
        clock = RealClock()
        first = clock.now()
        await clock.sleep(20)
        second = clock.now()
        assert second.mono_ms - first.mono_ms >= 19
        assert abs(second.wall_ms - time.time() * 1000) < 1_000
        assert second.boot_id == first.boot_id == RealClock().boot_id
        with pytest.raises(TimeoutError):
            await clock.within(20, clock.sleep(5_000))
        assert await clock.within(1_000, asyncio.sleep(0, "done")) == "done"

    asyncio.run(use())


def test_run_ids_are_uuid_version_7_and_sort_by_age() -> None:
    made = uuid.UUID(SystemEntropy().run_id())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert abs((made.int >> 80) - time.time() * 1000) < 5_000
    # The example of RFC 9562, appendix A.6.
    example = uuid7(0x017F22E279B0, 0xCC3 << 62 | 0x18C4DC0C0C07398F)
    assert str(example) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
    assert str(uuid7(1, (1 << 74) - 1)) < str(uuid7(2, 0))


def test_entropy_has_128_bits_and_the_seeded_one_repeats() -> None:
    assert len(SystemEntropy().token()) == 32
    assert SystemEntropy().token() != SystemEntropy().token()
    assert SeededEntropy(7).token() == SeededEntropy(7).token()
    assert SeededEntropy(7).run_id() != SeededEntropy(8).run_id()
