"""Many rehearsals of one plan, in as many processes as there are cores.

Each is its own seed, so that any of them can be played again alone. What was counted
when somebody pressed Ctrl-C is still a result.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

import msgspec

from dayshift.model.plan import Plan
from dayshift.rehearsal.play import Result, play

AHEAD = 4
"""So many rehearsals are handed to each process at a time."""
SWEPT_AFTER = 200_000
"""So many objects more than before: more than one rehearsal makes."""
_plan: Plan | None = None
_only: tuple[str, ...] = ()


class Progress(msgspec.Struct, frozen=True):
    """How far the campaign is."""

    done: int
    runs: int
    left_s: int
    violations: int


def campaign(
    plan: Plan,
    seeds: Sequence[int],
    now_ms: Callable[[], int],
    only: Sequence[str] = (),
    jobs: int = 0,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> list[Result]:
    """Play every seed; results in the order of seeds. Ctrl-C returns what there is.

    Args:
        now_ms: a steady clock, for the time left.
        jobs: processes; 0 is one for each core.
    """
    count = max(1, min(jobs or os.cpu_count() or 1, len(seeds) or 1))
    results: list[Result] = []
    begun = now_ms()

    def tell() -> None:
        passed = now_ms() - begun
        rest = len(seeds) - len(results)
        left = passed * rest // (len(results) * 1000) if results else 0
        bad = sum(1 for one in results if one.violations)
        on_progress(Progress(len(results), len(seeds), left, bad))

    tell()
    try:
        for one in _played(plan, seeds, tuple(only), count):
            results.append(one)
            tell()
    except KeyboardInterrupt:
        pass
    return sorted(results, key=lambda one: one.seed)


def _played(
    plan: Plan, seeds: Sequence[int], only: tuple[str, ...], jobs: int
) -> Iterator[Result]:
    if jobs == 1:
        for seed in seeds:
            yield play(plan, seed, only).result
        return
    context = multiprocessing.get_context("spawn")
    data = msgspec.json.encode(plan)
    pool = ProcessPoolExecutor(jobs, context, _prepare, (data, only))
    waiting = list(seeds)[::-1]
    under_way: set[Future[Result]] = set()
    try:
        while waiting or under_way:
            while waiting and len(under_way) < AHEAD * jobs:
                under_way.add(pool.submit(_one, waiting.pop()))
            done, under_way = wait(under_way, timeout=1, return_when=FIRST_COMPLETED)
            yield from (one.result() for one in done)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def settle_in() -> None:
    """For a process that only rehearses: look for circles in memory rarely, and not in
    what was there from the beginning."""
    gc.freeze()
    gc.set_threshold(SWEPT_AFTER)


def _prepare(data: bytes, only: tuple[str, ...]) -> None:
    """In the worker: Ctrl-C is the parent's to answer."""
    global _plan, _only
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settle_in()
    _plan, _only = msgspec.json.decode(data, type=Plan), only


def _one(seed: int) -> Result:
    assert _plan is not None
    return play(_plan, seed, _only).result


def keep(result: Result, folder: Path) -> Path:
    """Write one result beside the others of its campaign."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"seed-{result.seed}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result)))
    return path
