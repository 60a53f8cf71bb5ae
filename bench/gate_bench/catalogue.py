"""The named worlds: healthy kinds, held-out healthy kinds, and regressions.

Values only; what they mean is in `scenarios.py`. The names follow the project's notes.
"""

from __future__ import annotations

from dataclasses import replace

from gate_bench.scenarios import Noise, Scenario

BASE = 0.001
CLUSTERED = Noise(cluster=4.0, sd=0.2, tau_s=120.0)
NOISIER = Noise(cluster=6.4, sd=0.32, tau_s=120.0)
WILD = Noise(cluster=8.0, sd=0.3, tau_s=300.0)
BURSTS = {"bursts": 3.0, "small_bursts": 3.0, "skew": True}


def _well(name: str, about: str, rps: float = 500.0, **knobs: object) -> Scenario:
    fine = Scenario(name, True, rps, BASE, about=about)
    return replace(fine, **knobs)  # type: ignore[arg-type]


def _bad(name: str, about: str, rps: float = 500.0, **knobs: object) -> Scenario:
    return replace(_well(name, about, rps, **knobs), healthy=False)


HEALTHY = (
    _well("H1", "500 rps"),
    _well("H2", "5000 rps", 5000.0),
    _well("H3", "5 rps", 5.0),
    _well("H4", "shared bursts", **BURSTS),
    _well("H5", "clustered, autocorrelated", noise=CLUSTERED),
    _well("H6", "region bias 1.3×", bias=1.3, slow_bias=1.3),
    _well("H7", "cold caches", cold_errors=2.0, cold_slow=3.0),
    _well("H8", "noise 1.6× its history", noise=CLUSTERED, run_noise=NOISIER),
)
"""The eight kinds the measures are about."""

NOISE = (_well("H9", "clusters of 8, AR(1) .3 over 300 s", noise=WILD),)
"""The clustered noise of the measures."""

HELD_OUT = (
    _well(
        "H10",
        "regional bursts, sd .5",
        noise=Noise(cluster=4.0, sd=0.5, tau_s=60.0),
    ),
    _well("H11", "50 rps, base .02 %", 50.0, base=0.0002),
    _well("H12", "20000 rps, base 1 %", 20_000.0, base=0.01),
    _well("H13", "clusters in history only", noise=WILD, run_noise=Noise()),
    _well("H14", "clusters of 3 in the run only", run_noise=Noise(cluster=3.0)),
    _well("H15", "10 s scrapes", look_s=10.0),
    _well("H16", "1 s scrapes", look_s=1.0),
    _well("H17", "shared trend, +30 % an hour", trend=1.3),
    _well("H18", "latency wanders, sd .05", noise=Noise(slow_sd=0.05)),
    _well("H19", "2 s stalls, 20 an hour", noise=Noise(stalls=20.0)),
    _well(
        "H20",
        "clusters of 8 over 5 s, 1 s scrapes",
        noise=WILD,
        look_s=1.0,
        spread_s=5.0,
    ),
    _well("H21", "three services", services=3),
    _well(
        "H22",
        "variance 2.6× its history",
        noise=CLUSTERED,
        run_noise=replace(NOISIER, cluster=9.5),
    ),
    _well("H23", "bursts, clusters and cold caches", noise=CLUSTERED, **BURSTS),
)

REGRESSED = (
    _bad("R1", "2× errors", errors_x=2.0),
    _bad("R2", "2× errors, 5000 rps", 5000.0, errors_x=2.0),
    _bad("R3", "2× errors, 5 rps", 5.0, errors_x=2.0),
    _bad("R4", "10× errors", errors_x=10.0),
    _bad("R5", "10× errors, 5000 rps", 5000.0, errors_x=10.0),
    _bad("R6", "10× errors, 5 rps", 5.0, errors_x=10.0),
    _bad("R7", "p99 +50 %", slow_x=1.5),
    _bad("R7t", "p99 +50 %, tail only", tail_x=1.5),
    _bad("R8", "p99 +50 %, 5000 rps", 5000.0, slow_x=1.5),
    _bad("R9", "p99 +50 %, 5 rps", 5.0, slow_x=1.5),
    _bad("R10", "leak: errors +20× per hour", leak_x=20.0),
    _bad("R10s", "leak: latency +100 % per hour", slow_leak_x=1.0),
    _bad("R11", "10× errors in bursts", errors_x=10.0, **BURSTS),
    _bad("R12", "10× errors in H5 noise", errors_x=10.0, noise=CLUSTERED),
    _bad("R13", "50 % outage", outage=0.5),
    _bad("R13m", "50 % outage at minute 10", outage=0.5, onset_s=600.0),
    _bad("R13s", "50 % outage, 1 s counters", outage=0.5, look_s=1.0),
    _bad(
        "R13ms",
        "50 % outage at minute 10, 1 s counters",
        outage=0.5,
        onset_s=600.0,
        look_s=1.0,
    ),
    _bad("R14", "5× errors in H9 noise", errors_x=5.0, noise=WILD),
    _bad("R15", "2× errors from minute 20", errors_x=2.0, onset_s=1200.0),
    _bad("R16", "10× errors from 25 % share", errors_x=10.0, from_share=0.25),
    _bad("R17", "3× errors in one of three services", errors_x=3.0, services=3),
    _bad("R18", "1.5× of 1 % errors", errors_x=1.5, base=0.01),
    _bad("R19", "10× errors, 50 rps, base .02 %", 50.0, base=0.0002, errors_x=10.0),
    _bad("R20", "p99 +25 %", slow_x=1.25),
)

EVERY = (*HEALTHY, *NOISE, *HELD_OUT, *REGRESSED)


def named(name: str) -> Scenario:
    """The scenario of that name."""
    return next(one for one in EVERY if one.name == name)
