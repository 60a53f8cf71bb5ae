"""One size, measured in a process of its own: times of each part, memory, bytes.

Times are those of the processor, the best of several: a busy machine must not show.
"""

from __future__ import annotations

import gc
import resource
from functools import partial

import msgspec
from msgspec.structs import replace

from dayshift.core import interlock, invariants, planner, review
from dayshift.core.decide import decide
from dayshift.core.fold import fold
from dayshift.core.keeping import kept
from dayshift.core.state import JournalState
from dayshift.core.watch import Watch
from dayshift.journal.base import ORIGIN
from dayshift.journal.chain import seal
from dayshift.limits import FRESH_MS_DEFAULT
from dayshift.model import records as r
from dayshift.model.estate import Estate
from dayshift.model.evidence import ProbeReading
from dayshift.model.plan import Plan, Verb
from dayshift.model.sight import Sight
from dayshift.model.units import Instant
from scale_bench import estates
from scale_bench.running import Moment, Running
from scale_bench.timing import ONCE, best_us

READINGS = 2


class Size(msgspec.Struct, frozen=True):
    """One row of the table. Times in microseconds, memory in KiB; `decide` includes
    the walk over all places, `step` is decide and fold of the slowest moment."""

    regions: int
    services: int
    places: int
    plan_us: int
    plan_bytes: int
    plan_record_bytes: int
    review_us: int
    seal_us: int
    decide_us: dict[str, int]
    fold_us: dict[str, int]
    interlock_us: dict[str, int]
    invariants_us: int
    kept_us: int
    kept_bytes: int
    asked: int
    memory_kib: int

    @property
    def step_us(self) -> int:
        """Decide and fold of the slowest moment."""
        return max(self.decide_us[one] + self.fold_us[one] for one in self.decide_us)


class Seeing(msgspec.Struct, frozen=True):
    """What the watch costs at one size, measured apart from the core."""

    regions: int
    sight_us: int
    memory_kib: int


class Loading(msgspec.Struct, frozen=True):
    """What a `dayshift.yaml` of one size costs, measured apart from the core."""

    regions: int
    load_us: int
    file_bytes: int
    memory_kib: int


def core(regions: int, services: int) -> Size:
    """Plan a change, run it, and measure the core in the middle of it."""
    estate = estates.estate(regions, services)
    change = estates.change(estate)
    plan_us, plan = best_us(lambda: planner.make(estate, change, Verb.MAINTAIN), ONCE)
    review_us, faults = best_us(lambda: review.faults(plan), ONCE)
    if faults:
        raise RuntimeError(str(faults[0]))
    world = Running(plan)
    found = {one.name: _moment(one) for one in world.moments()}
    memory_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    plan_bytes, record_bytes, seal_us = _sealed(plan)
    return Size(
        regions=regions,
        services=services,
        places=regions * services,
        plan_us=plan_us,
        plan_bytes=plan_bytes,
        plan_record_bytes=record_bytes,
        review_us=review_us,
        seal_us=seal_us,
        decide_us={name: one.decide_us for name, one in found.items()},
        fold_us={name: one.fold_us for name, one in found.items()},
        interlock_us={name: one.interlock_us for name, one in found.items()},
        invariants_us=max(one.invariants_us for one in found.values()),
        kept_us=max(one.kept_us for one in found.values()),
        kept_bytes=max(one.kept_bytes for one in found.values()),
        asked=len(world.run.asked),
        memory_kib=memory_kib,
    )


class _Found(msgspec.Struct, frozen=True):
    decide_us: int
    fold_us: int
    interlock_us: int
    invariants_us: int
    kept_us: int
    kept_bytes: int


def _moment(one: Moment) -> _Found:
    state = one.state
    # A sight that nobody has walked over yet, as in every step.
    decide_us, decision = best_us(lambda: decide(state, replace(one.sight)))
    bodies = [*decision.records, *map(r.Intent, decision.actions)]
    fold_us, after = best_us(lambda: _folded(state, one.sight.at, bodies))
    checked = [
        best_us(partial(interlock.reason, after, one.sight, action))
        for action in decision.actions
    ]
    kept_us, noted = best_us(lambda: msgspec.to_builtins(kept(state, one.sight)))
    return _Found(
        decide_us=decide_us,
        fold_us=fold_us,
        interlock_us=max((us for us, _ in checked), default=0),
        invariants_us=best_us(lambda: invariants.violations(after))[0],
        kept_us=kept_us,
        kept_bytes=len(msgspec.json.encode(noted)),
    )


def _folded(state: JournalState, at: Instant, bodies: list[r.AnyBody]) -> JournalState:
    for seq, body in enumerate(bodies, state.seq + 1):
        state = fold(state, r.Record(seq, "", at, state.epoch, "run", body))
    return state


def _sealed(plan: Plan) -> tuple[int, int, int]:
    plain = len(msgspec.json.encode(plan))
    at = Instant(1, 1, "boot")
    us, (row, _) = best_us(lambda: seal(ORIGIN, at, 1, "run", r.Planned(plan)), ONCE)
    return plain, len(row.data), us


def seeing(regions: int, services: int) -> Seeing:
    """Feed a watch with two readings of every source, then look."""
    estate = estates.estate(regions, services)
    change = estates.change(estate)
    state = Running(planner.make(estate, change, Verb.MAINTAIN)).state
    gc.collect()
    watch = Watch(estate)
    for number in range(READINGS):
        feed(watch, estate, number)
    now = Instant(1_000, 1_000, "boot")
    sight_us, _ = best_us(lambda: _looked(watch, estate, state, now), 3)
    memory_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Seeing(regions, sight_us, memory_kib)


def _looked(watch: Watch, estate: Estate, state: JournalState, now: Instant) -> Sight:
    sight = watch.sight(state, now)
    if not all(
        meter.age_ms is not None and meter.age_ms <= FRESH_MS_DEFAULT
        for meter in sight.places[-1].meters
    ):
        raise RuntimeError("the watch does not see what it was told")
    return sight


def feed(watch: Watch, estate: Estate, number: int) -> None:
    """Tell the watch the `number`th reading of every source."""
    at = Instant(200 * number, 200 * number, "boot")
    good = ProbeReading(at, True, "status 200", "1", 8)
    for service in estate.services:
        for spec in service.meters:
            for where, region in enumerate(spec.regions):
                reading = estates.meter_reading(at, 100_000 + where + 80 * number)
                watch.meter((service.name, spec.name, region), reading)
        for probe in service.probes:
            for region in probe.regions:
                watch.probe((service.name, probe.name, region), good)
