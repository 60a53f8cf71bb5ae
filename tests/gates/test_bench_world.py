"""The benchmark's worlds have the rates they claim, and its peers their own rules."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

from gate_bench.catalogue import EVERY, HEALTHY, REGRESSED, named
from gate_bench.knobs import BOUNDS_US, CANARY, OTHER, Harm, Noise, Scenario
from gate_bench.measures import MEASURES
from gate_bench.ranks import shift_interval, standardised
from gate_bench.runs import Outcome, roll_out
from gate_bench.scenarios import World
from gate_bench.steps import Known, State, p99_s
from gate_bench.table import BEGIN, END, row_of, wilson, write
from gate_bench.thresholds import Flagger
from gate_bench.traffic import slow_part, spill

from dayshift.model.evidence import BEYOND_US, Counts

SLOW_US = 500_000


def played(scenario: Scenario, seed: int, share: float) -> tuple[dict, Harm]:
    """Sums of an hour's run at one share."""
    world = World(scenario, seed)
    sums = {region: np.zeros(3) for region in (CANARY, OTHER)}
    harm = Harm()
    for _ in range(round(3600 / scenario.look_s)):
        found, harmed = world.look(share)
        harm = harm + harmed
        for region, one in found.items():
            slow = one.requests - one.buckets[SLOW_US]
            sums[region] += (one.requests, one.errors, slow)
    return sums, harm


def test_the_same_seed_is_the_same_world() -> None:
    scenario = named("H23")
    one, two, three = World(scenario, 7), World(scenario, 7), World(scenario, 8)
    two.history(0.1)
    first = [one.look(0.05)[0] for _ in range(20)]
    assert first == [two.look(0.05)[0] for _ in range(20)]
    assert first != [three.look(0.05)[0] for _ in range(20)]


@pytest.mark.parametrize("scenario", EVERY, ids=lambda one: one.name)
def test_every_world_counts_soundly(scenario: Scenario) -> None:
    world = World(scenario, 3)
    sights = [found for _, found in world.history(0.05)]
    sights += [world.look(0.05)[0] for _ in range(10)]
    for sight in sights:
        for counts in sight.values():
            assert tuple(counts.buckets) == BOUNDS_US
            into = list(counts.buckets.values())
            assert into == sorted(into)
            assert into[-1] == counts.requests
            assert 0 <= counts.errors <= counts.requests


def test_the_simulator_knows_no_judge() -> None:
    bench = Path(__file__).resolve().parents[2] / "bench"
    seen = "[name for name in sys.modules if name.startswith('dayshift.gates')]"
    code = f"import sys, gate_bench.catalogue; sys.exit(str({seen} or ''))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": f"{bench}{os.pathsep}{bench.parent}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.strip() == ""


def test_history_is_healthy_and_halved() -> None:
    past = World(named("R4"), 1).history()
    assert past[-1][0] == 4 * 3600
    for region in (CANARY, OTHER):
        requests = sum(found[region].requests for _, found in past)
        errors = sum(found[region].errors for _, found in past)
        assert requests == pytest.approx(250 * 4 * 3600, rel=0.01)
        assert errors / requests == pytest.approx(0.001, rel=0.06)


def test_a_regression_harms_what_it_is_expected_to() -> None:
    sums, harm = played(named("R4"), 5, 0.25)
    assert sums[CANARY][0] == pytest.approx(125 * 3600, rel=0.02)
    assert sums[CANARY][1] / sums[CANARY][0] == pytest.approx(0.01, rel=0.05)
    assert sums[OTHER][1] / sums[OTHER][0] == pytest.approx(0.001, rel=0.1)
    assert harm.errors == pytest.approx(sums[CANARY][0] * 0.009, rel=1e-6)
    assert harm.slow == 0.0


@pytest.mark.parametrize("name", ["R7", "R7t"])
def test_a_slower_release_has_a_p99_half_again_as_long(name: str) -> None:
    scenario = named(name)
    tail = slow_part(scenario, scenario.slow_x * 350 / 525, scenario.tail_x)
    if name == "R7":
        assert slow_part(scenario, 1.0) == pytest.approx(0.01, abs=1e-6)
        assert tail == pytest.approx(0.01, abs=1e-6)
    sums, harm = played(scenario, 5, 0.5)
    here, there = (sums[region][2] / sums[region][0] for region in (CANARY, OTHER))
    assert here > 1.8 * there
    late = slow_part(scenario, scenario.slow_x, scenario.tail_x) - 0.01
    assert harm.slow == pytest.approx(sums[CANARY][0] * late, rel=1e-3)
    assert harm.errors == 0.0


def test_clusters_disperse_as_geometric_ones_do() -> None:
    scenario = replace(named("H1"), noise=Noise(cluster=8.0))
    past = World(scenario, 2).history(24.0)
    errors = np.array([found[OTHER].errors for _, found in past])
    assert errors.mean() == pytest.approx(3.75, rel=0.06)
    assert errors.var() / errors.mean() == pytest.approx(15.0, rel=0.12)


def test_wandering_has_its_sd_and_its_memory() -> None:
    noise = Noise(sd=0.3, tau_s=300.0)
    scenario = replace(named("H1"), noise=noise, rps=50_000.0, base=0.05)
    past = World(scenario, 2).history(48.0)
    logs = np.log([found[OTHER].errors / found[OTHER].requests for _, found in past])
    logs -= math.log(0.05)
    assert logs.std() == pytest.approx(0.3, rel=0.1)
    after = np.corrcoef(logs[:-20], logs[20:])[0, 1]
    assert after == pytest.approx(math.exp(-1.0), abs=0.12)


def test_shared_bursts_are_shared() -> None:
    past = World(named("H4"), 4).history()
    here, there = (
        np.array([found[region].errors for _, found in past], dtype=float)
        for region in (CANARY, OTHER)
    )
    assert here.max() > 5 * np.median(here) > 0
    assert np.corrcoef(here, there)[0, 1] > 0.8


def test_cold_caches_warm_up() -> None:
    scenario = replace(named("H7"), rps=50_000.0, look_s=1.0)
    world = World(scenario, 1)

    def slow(share: float, looks: int) -> float:
        found = [world.look(share)[0][CANARY] for _ in range(looks)]
        total = sum(one.requests for one in found)
        return 1 - sum(one.buckets[SLOW_US] for one in found) / total

    first, warm = slow(0.25, 5), [slow(0.25, 200), slow(0.25, 5)][1]
    assert first > 4 * warm
    assert slow(0.5, 5) > 4 * warm
    assert slow(0.5, 200) < first / 2


def test_a_cluster_spilling_over_loses_nothing() -> None:
    for look_s, spread_s in ((15.0, 3.0), (1.0, 5.0), (1.0, 0.4), (15.0, 15.0)):
        scenario = replace(named("H1"), look_s=look_s, spread_s=spread_s)
        parts = spill(scenario)
        assert parts.sum() == pytest.approx(1.0)
        assert (parts > 0).all()
    rng = np.random.default_rng(1)
    begun = rng.uniform(0, 1, 200_000) + rng.uniform(0, 5, 200_000)
    drawn = np.bincount(begun.astype(int)) / 200_000
    spread = spill(replace(named("H1"), look_s=1.0, spread_s=5.0))
    assert drawn == pytest.approx(spread, abs=0.004)


def test_services_add_up() -> None:
    world, same = World(named("R17"), 3), World(named("R17"), 3)
    found, harm = world.look_streams(0.25)
    assert len(found) == 3
    total, again = same.look(0.25)
    assert harm == again
    assert total[CANARY].requests == sum(one[CANARY].requests for one in found.values())


def test_kayentas_interval_is_that_of_the_ranks() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(1.0, 1.0, 50), rng.normal(0.0, 1.0, 50)
    found = shift_interval(x, y, 0.98)
    assert found is not None
    low, estimate, high = found
    naive = float(np.median(np.subtract.outer(x, y)))
    assert estimate == pytest.approx(naive, abs=0.02)
    assert low < naive < high
    for end, z in ((low, 2.3263), (high, -2.3263)):
        assert (
            standardised(x, y, end - 0.02, z)
            >= 0.0
            >= standardised(x, y, end + 0.02, z)
        )
    assert shift_interval(np.ones(5), np.ones(5), 0.98) is None


def test_the_quantile_is_promqls() -> None:
    buckets = dict.fromkeys(BOUNDS_US, 1000)
    buckets |= {us: 0 for us in BOUNDS_US if us < 100_000}
    buckets |= {100_000: 900, 250_000: 980}
    assert p99_s(Counts(1000, 0, buckets)) == pytest.approx(0.25 + 0.25 * 10 / 20)
    assert math.isnan(p99_s(Counts(0, 0, dict.fromkeys(BOUNDS_US, 0))))
    assert Known.of(named("H1")).p99_s == pytest.approx(0.404, abs=0.005)


def test_flagger_never_forgives() -> None:
    bad = Counts(100, 50, {**dict.fromkeys(BOUNDS_US, 100), BEYOND_US: 100})
    good = without_errors(bad)
    flagger = Flagger(0.99, 0.5, passes=100)
    minutes = [bad, good, bad, good, bad, bad, good, bad, good]
    for number, counts in enumerate(minutes, 1):
        flagger.observe(60.0 * number, {"service": {CANARY: counts}})
        failed = minutes[:number].count(bad)
        due = failed == 5 and counts is good
        assert (flagger.state is State.ROLLED_BACK) is due


def without_errors(counts: Counts) -> Counts:
    return Counts(counts.requests, 0, counts.buckets)


def test_an_outage_ends_netflix_at_once_and_argo_late() -> None:
    fast = roll_out("netflix-seq", named("R13"), 1, 0)
    slow = roll_out("argo", named("R13"), 1, 0)
    assert fast.rolled_back_s == 15.0
    assert slow.rolled_back_s == 1200.0
    assert slow.harm.errors > 100 * fast.harm.errors


def test_an_early_rollback_is_false_not_detected() -> None:
    early = Outcome("R15", "x", 0, None, 60.0, None, Harm())
    found = Outcome("R15", "x", 1, 1200.0, 1500.0, 700.0, Harm(10.0, 2.0))
    missed = Outcome("R15", "x", 2, 1200.0, None, 700.0, Harm(80.0, 1.0))
    row = row_of([early, found, missed])
    assert (row.runs, row.false, row.detected, row.soon) == (3, 1, 1, 1)
    assert row.minutes == 5.0
    assert row.harmed == pytest.approx(31.0)
    assert row.finished == 2


def test_wilson_is_the_textbook_interval() -> None:
    assert wilson(0, 500) == pytest.approx((0.0, 0.7624), abs=1e-3)
    assert wilson(5, 500) == pytest.approx((0.428, 2.319), abs=2e-3)


def test_the_page_changes_between_its_markers_only(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write(page, "| new |")
    write(page, "| new |")
    assert page.read_text() == f"before\n{BEGIN}\n\n| new |\n\n{END}\nafter\n"


def test_every_measure_is_about_a_scenario() -> None:
    names = {one.name for one in EVERY}
    assert len(names) == len(EVERY)
    assert {one.scenario for one in MEASURES} <= names
    assert all(one.healthy for one in HEALTHY)
    assert not any(one.healthy for one in REGRESSED)
