"""Roll-outs: one judge in one world for an hour, and many of them over the cores."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np

from gate_bench.catalogue import named
from gate_bench.knobs import RUN_S, Harm, Scenario
from gate_bench.peers import PEERS
from gate_bench.scenarios import World
from gate_bench.steps import Rollout, State

OURS = "dayshift"
JUDGES = (*PEERS, OURS)
CHUNK = 10


@dataclass(frozen=True)
class Outcome:
    """How one roll-out went. Times are seconds since its start; None: it did not.

    `onset_s` is the start of the first scrape that the regression harmed. `harm` is up
    to the roll-back, or to the end of the hour.
    """

    scenario: str
    judge: str
    run: int
    onset_s: float | None
    rolled_back_s: float | None
    finished_s: float | None
    harm: Harm


@dataclass(frozen=True)
class Job:
    """Some runs of one judge in one scenario."""

    scenario: str
    judge: str
    seed: int
    first: int
    last: int


def seed_of(scenario: Scenario, seed: int, run: int) -> int:
    """Every judge meets the same worlds, every scenario and run its own."""
    entropy = [seed, zlib.crc32(scenario.name.encode()), run]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])


def start(judge: str, world: World) -> Rollout:
    """The judge at its first rung."""
    if judge != OURS:
        return PEERS[judge](world.scenario)
    # Only here: the peers and the simulator run without it.
    from gate_bench.ours import Dayshift

    return Dayshift(world)


def roll_out(judge: str, scenario: Scenario, seed: int, run: int) -> Outcome:
    """One hour, or less if nothing more can happen."""
    world = World(scenario, seed_of(scenario, seed, run))
    rollout = start(judge, world)
    onset = rolled_back = finished = None
    harm = Harm()
    for _ in range(math.ceil(RUN_S / scenario.look_s)):
        found, harmed = world.look_streams(rollout.share)
        harm = harm + harmed
        if onset is None and harmed.errors + harmed.slow > 0.0:
            onset = world.now_s - scenario.look_s
        if finished is None or rollout.armed:
            rollout.observe(world.now_s, found)
        if rollout.state is State.ROLLED_BACK:
            rolled_back = world.now_s
            break
        if finished is None and rollout.state is State.FINISHED:
            finished = world.now_s
            if scenario.healthy and not rollout.armed:
                break
    return Outcome(scenario.name, judge, run, onset, rolled_back, finished, harm)


def work(job: Job) -> list[Outcome]:
    """What one process does at a time."""
    scenario = named(job.scenario)
    runs = range(job.first, job.last)
    return [roll_out(job.judge, scenario, job.seed, run) for run in runs]


def jobs_of(judge: str, scenario: Scenario, seed: int, runs: int) -> list[Job]:
    """Chunks, so that the cores end at about the same time."""
    return [
        Job(scenario.name, judge, seed, first, min(first + CHUNK, runs))
        for first in range(0, runs, CHUNK)
    ]


def everything(jobs: Sequence[Job], processes: int) -> Iterator[list[Outcome]]:
    """Outcomes chunk by chunk, in no order."""
    if processes == 1:
        yield from map(work, jobs)
        return
    with ProcessPoolExecutor(processes) as pool:
        for done in as_completed([pool.submit(work, job) for job in jobs]):
            yield done.result()
