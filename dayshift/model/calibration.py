"""What the gate learned about the noise of an estate, as integers, so that it can be
read, reviewed, journalled with the plan, and be the same everywhere.
"""

from __future__ import annotations

import msgspec


class SignalNoise(msgspec.Struct, frozen=True):
    """One signal's habits while the regions served together.

    `bound_us` is 0 for errors, else the latency bound above which an answer is slow.
    `usual_ppb` is the usual rate in the other regions (bad ones of 10⁹ requests).
    `dispersion_ppm` is the variance of a minute's count over that of independent events
    (10⁶: independent; geometric clusters of mean 8: 15·10⁶), judged by how bad answers
    split between the regions; `own_dispersion_ppm` the same of one region's counts
    against its own last half hour, with all that regions share in it. `variation_ppm`
    is the variance of the slow wandering of the log ratio between the regions, and
    `variation_high_ppm` its plausible upper end; `own_…` the same of this region's rate
    against the others' last half hour. `bias_ppm` is the lasting log ratio of this
    region to the others, shrunk, and `bias_sd_ppm` how unsure that is. `slope_ppm` is
    by how many times 1 % more answers exceed the bound if all are 1 % slower, in
    millionths; 0: not known."""

    bound_us: int
    usual_ppb: int
    dispersion_ppm: int = 1_000_000
    own_dispersion_ppm: int = 0
    variation_ppm: int = 0
    variation_high_ppm: int = 0
    own_variation_ppm: int = 0
    own_variation_high_ppm: int = 0
    bias_ppm: int = 0
    bias_sd_ppm: int = 0
    slope_ppm: int = 0


class Calibration(msgspec.Struct, frozen=True):
    """One stream of users, seen in one region against all others together.

    `stream` is `service` or `service/class`. `trusted` is whether there was enough of
    it to let the gate turn traffic back by comparison; `why` says so in words.
    `block_ms` is how long a clump of errors lasts at most: what falls into so long a
    time is one piece of evidence. `mrps` is the usual traffic of all regions in
    thousandths of a request per second."""

    stream: str
    region: str
    signals: tuple[SignalNoise, ...] = ()
    trusted: bool = False
    why: str = ""
    learned_wall_ms: int = 0
    span_ms: int = 0
    looks: int = 0
    look_ms: int = 0
    requests: int = 0
    errors: int = 0
    mrps: int = 0
    block_ms: int = 0
