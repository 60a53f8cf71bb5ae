"""Naive twins: the gate's models written out, one number at a time.

Nothing here is fast and nothing is shared with `dayshift.gates`, except the numbers of
its contract (grid, stakes, beliefs). Densities are scipy's or direct sums.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, product

import numpy as np
from scipy import stats

from dayshift.gates.compare import MINUTE_STAKE, MINUTES_EASY, STAKED, STEP_STAKE
from dayshift.gates.filter import (
    CLUSTERS_FROM,
    DIFFUSE_SHAPE,
    DIFFUSE_TIMES,
    PART_MAX,
)
from dayshift.gates.noise import CLUMPED_FROM, NODES, WANDER_MS, Noise


@dataclass(frozen=True)
class Block:
    """What one block holds: (n_c, x, n_b, y), what was usual before it, its length."""

    counts: tuple[int, int, int, int]
    level: float
    requests: float
    elapsed_ms: int = 60_000
    stepped: bool = False


def negative_binomial(count: int, mean: float, spare: float) -> float:
    """Chance of a count of this mean whose variance is (1 + spare) times that."""
    return float(stats.nbinom.pmf(count, mean / spare, 1 / (1 + spare)))


def compound(count: int, mean: float, size: float, terms: int = 400) -> float:
    """A Poisson number of clusters of exponential size: no cluster, or the density."""
    clusters = mean / size
    if not count:
        return math.exp(-clusters)
    k = np.arange(1, terms)
    densities = stats.poisson.pmf(k, clusters) * stats.gamma.pdf(count, k, scale=size)
    return float(densities.sum())


def geometric_clusters(count: int, mean: float, size: float) -> float:
    """Pólya and Aeppli: a Poisson number of clusters of geometric size."""
    if not count:
        return math.exp(-mean / size)
    k = np.arange(1, count + 1)
    sizes = stats.nbinom.pmf(count - k, k, 1 / size)
    return float((stats.poisson.pmf(k, mean / size) * sizes).sum())


def split_chance(block: Block, ratio: float, clump: float) -> float:
    """How the bad ones fall, given how many there are."""
    here, bad, there, others_bad = block.counts
    theta = here * ratio / (here * ratio + there)
    total = bad + others_bad
    if clump < CLUMPED_FROM:
        return float(stats.binom.pmf(bad, total, theta))
    weight = block.level * block.requests / (clump - 1)
    mine, theirs = theta * weight, (1 - theta) * weight
    return float(stats.betabinom.pmf(bad, total, mine, theirs))


def one_side(count: int, exposed: int, rate: float, clump: float) -> float:
    if clump < CLUMPED_FROM:
        return float(stats.binom.pmf(count, exposed, min(rate, PART_MAX)))
    mean = exposed * rate
    if clump - 1 < CLUSTERS_FROM:
        return negative_binomial(count, mean, clump - 1)
    return compound(count, mean, (clump + 1) / 2)


@lru_cache(maxsize=100_000)
def emission(block: Block, ratio: float, clump: float, steadiness: float) -> float:
    """Likelihood of one block for one ratio of bad answers."""
    here, bad, there, others_bad = block.counts
    if not here or not there:
        return 1.0
    mean = DIFFUSE_TIMES * block.level * (here + there)
    part = DIFFUSE_SHAPE / (DIFFUSE_SHAPE + mean)
    strange = split_chance(block, ratio, clump)
    strange *= float(stats.nbinom.pmf(bad + others_bad, DIFFUSE_SHAPE, part))
    steady = one_side(bad, here, block.level * ratio, clump)
    steady *= one_side(others_bad, there, block.level, clump)
    likely = (1 - steadiness) * strange + steadiness * steady
    return float(likely ** (1 / clump if clump < CLUMPED_FROM else 1))


def stationary() -> list[float]:
    weights = [math.exp(-node * node / 2) for node in NODES]
    return [one / sum(weights) for one in weights]


def moved(elapsed_ms: float) -> list[list[float]]:
    kept = math.exp(-elapsed_ms / WANDER_MS)
    spread = math.sqrt(1 - kept * kept)
    rows = []
    for start in NODES:
        row = [math.exp(-(((end - kept * start) / spread) ** 2) / 2) for end in NODES]
        rows.append([one / sum(row) for one in row])
    return rows


@lru_cache
def path_chances(elapsed_ms: tuple[int, ...]) -> np.ndarray:
    """The chance of every latent path: one axis for each block."""
    first, steps = stationary(), [moved(one) for one in elapsed_ms[:-1]]
    chances = np.empty((len(NODES),) * len(elapsed_ms))
    for path in product(range(len(NODES)), repeat=len(elapsed_ms)):
        chance = first[path[0]]
        for step, (left, right) in zip(steps, pairwise(path), strict=True):
            chance *= step[left][right]
        chances[path] = chance
    return chances


def path_likelihood(
    tables: Sequence[Sequence[float]], blocks: Sequence[Block]
) -> float:
    """Sum over every latent path; `tables` is the likelihood by block and node."""
    found = path_chances(tuple(one.elapsed_ms for one in blocks))
    for table in reversed(tables):
        found = (found * np.array(table)).sum(axis=-1)
    return float(found)


def staked(blocks: Sequence[Block]) -> tuple[list[float], float]:
    """Weight of a change at the beginning of each block; and what waits in the last."""
    weights, waits, minutes = [STAKED], 1 - STAKED, float(MINUTES_EASY)
    for block in blocks[:-1]:
        took = block.elapsed_ms / 60_000
        minutes += took
        part = min(0.5, MINUTE_STAKE * took / minutes + STEP_STAKE * block.stepped)
        weights.append(part * waits)
        waits *= 1 - part
    return weights, waits


def evidence(noise: Noise, blocks: Sequence[Block]) -> float:
    """Evidence against the region from all blocks, the last one still open."""
    worse, nulls = 0.0, []
    weights, waits = staked(blocks)
    for belief in noise.beliefs:

        def table(block: Block, log: float, belief=belief) -> list[float]:
            return [
                emission(
                    block,
                    math.exp(log + belief.wander * node),
                    belief.clump,
                    noise.steadiness,
                )
                for node in NODES
            ]

        calm = [table(block, noise.tolerated_log) for block in blocks]
        null = path_likelihood(calm, blocks)
        nulls.append(math.exp(belief.log_prior) * null)
        found = waits * null
        for log in noise.ratio_logs:
            bad = [table(block, noise.tolerated_log + log) for block in blocks]
            for start, weight in enumerate(weights):
                mixed = calm[:start] + bad[start:]
                share = weight / len(noise.ratio_logs)
                found += share * path_likelihood(mixed, blocks)
        worse += math.exp(belief.log_weight) * found
    return worse / max(nulls)
