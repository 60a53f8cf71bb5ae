"""Twice the regions cost about twice the work: lines of our code that run are counted,
never time. And the benchmark of it runs, in a small size."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from msgspec.structs import replace

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

from scale_bench import estates, loading, measure
from scale_bench.running import Moment, Running
from scale_bench.table import BEGIN, END, write

from dayshift.core import interlock, invariants, planner, review
from dayshift.core.decide import decide
from dayshift.core.keeping import kept
from dayshift.core.watch import Watch
from dayshift.model.plan import Plan, Verb
from dayshift.model.units import Instant
from dayshift.runtime import wiring
from dayshift.runtime.settings import yaml_source
from dayshift.runtime.settings.load import load_estate

BENCH = Path(__file__).resolve().parents[2] / "bench"
SMALL, LARGE, SERVICES = 50, 100, 6
TWICE = 2.4
"""n log n from 50 to 100 is 2.35 times the work."""
NOW = Instant(1_000, 1_000, "boot")


def lines(work: Callable[[], Any]) -> int:
    """How many lines of Dayshift ran."""
    count = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        if "dayshift" not in frame.f_code.co_filename:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@lru_cache
def planned(regions: int) -> Plan:
    estate = estates.estate(regions, SERVICES)
    return planner.make(estate, estates.change(estate), Verb.MAINTAIN)


@lru_cache
def moments(regions: int) -> dict[str, Moment]:
    return {one.name: one for one in Running(planned(regions)).moments()}


@lru_cache
def watch(regions: int) -> Watch:
    made = Watch(planned(regions).estate)
    for number in range(2):
        measure.feed(made, made.estate, number)
    return made


def deciding(regions: int, name: str) -> int:
    one = moments(regions)[name]
    return lines(lambda: decide(one.state, replace(one.sight)))


def looking(regions: int, name: str) -> int:
    one = moments(regions)[name]
    return lines(lambda: watch(regions).sight(one.state, NOW))


def acting(regions: int, name: str) -> int:
    one = moments(regions)[name]
    action = decide(one.state, one.sight).actions[0]
    return lines(lambda: interlock.reason(one.state, replace(one.sight), action))


def checking(regions: int, name: str) -> int:
    one = moments(regions)[name]
    return lines(lambda: invariants.violations(one.state))


def keeping(regions: int, name: str) -> int:
    one = moments(regions)[name]
    return lines(lambda: kept(one.state, replace(one.sight)))


@pytest.mark.parametrize("work", [deciding, looking, acting, checking, keeping])
@pytest.mark.parametrize(
    "name", ["preflight", "draining", "holding", "working", "returning"]
)
def test_a_step_grows_with_the_estate(
    work: Callable[[int, str], int], name: str
) -> None:
    small, large = work(SMALL, name), work(LARGE, name)
    assert small and large <= TWICE * small, f"{large} lines after {small}"


def planning(regions: int) -> int:
    estate = planned(regions).estate
    change = estates.change(estate)
    return lines(lambda: planner.make(estate, change, Verb.MAINTAIN))


def reviewing(regions: int) -> int:
    return lines(lambda: review.faults(planned(regions)))


@pytest.mark.parametrize("work", [planning, reviewing])
def test_a_plan_grows_with_the_estate(work: Callable[[int], int]) -> None:
    small, large = work(SMALL), work(LARGE)
    assert small and large <= TWICE * small, f"{large} lines after {small}"


def test_the_count_itself_finds_a_walk_within_a_walk() -> None:
    def walking(regions: int) -> int:
        plan = planned(regions)
        setting = next(iter(plan.baseline.values()))
        names = plan.estate.region_names()
        return lines(lambda: [interlock.fed(setting) for _ in names])

    assert walking(LARGE) > 3 * walking(SMALL)


def test_the_benchmark_runs_and_finds_what_is_missed(tmp_path: Path) -> None:
    argv = [sys.executable, str(BENCH / "scale.py"), "--regions", "2", "4", "--json"]
    done = subprocess.run([*argv, "--services", "3"], capture_output=True, check=True)
    found = json.loads(done.stdout)
    assert [one["places"] for one in found["sizes"]] == [6, 12]
    assert [one["regions"] for one in found["seen"]] == [2, 4]
    assert [one["regions"] for one in found["loaded"]] == [2, 4]
    page = tmp_path / "scale.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write(page, "new\n")
    assert page.read_text() == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"


def test_what_aliases_repeat_is_counted_not_copied(tmp_path: Path) -> None:
    """A thousand regions times a hundred services: more than a million values."""
    path = tmp_path / "dayshift.yaml"
    path.write_text(loading.text(1_000, 100))
    source = yaml_source.read(path)
    services = list(source.data["services"].values())
    assert len(services) == 100
    assert len({id(one["shares"]) for one in services}) == 1
    assert source.line(("services", "s099", "shares", "r0999")) == 1_005
    estate = load_estate(path, wiring.options_of)
    assert (len(estate.regions), len(estate.services)) == (1_000, 100)
