"""Naive twins: the gate's models written out, one number at a time.

Nothing here is fast and nothing is shared with `dayshift.gates`, except the numbers of
its contract (grid, stakes, beliefs). Densities are scipy's or direct sums.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from scipy import stats

from dayshift.gates.filter import (
    CLUSTERS_FROM,
    DIFFUSE_SHAPE,
    DIFFUSE_TIMES,
)
from dayshift.gates.compare import MINUTE_STAKE, MINUTES_EASY, STAKED, STEP_STAKE
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
    return sum(
        float(stats.poisson.pmf(k, clusters) * stats.gamma.pdf(count, k, scale=size))
        for k in range(1, terms)
    )


def geometric_clusters(count: int, mean: float, size: float) -> float:
    """Pólya and Aeppli: a Poisson number of clusters of geometric size."""
    if not count:
        return math.exp(-mean / size)
    return sum(
        float(
            stats.poisson.pmf(k, mean / size)
            * stats.nbinom.pmf(count - k, k, 1 / size)
        )
        for k in range(1, count + 1)
    )


def split_chance(block: Block, ratio: float, clump: float) -> float:
    """How the bad ones fall, given how many there are."""
    here, bad, there, others_bad = block.counts
    theta = here * ratio / (here * ratio + there)
    total = bad + others_bad
    if clump < CLUMPED_FROM:
        return float(stats.binom.pmf(bad, total, theta))
    weight = block.level * block.requests / (clump - 1)
    law = stats.betabinom(total, theta * weight, (1 - theta) * weight)
    return float(law.pmf(bad))


def one_side(count: int, mean: float, clump: float) -> float:
    if clump < CLUMPED_FROM:
        return float(stats.poisson.pmf(count, mean))
    if clump - 1 < CLUSTERS_FROM:
        return negative_binomial(count, mean, clump - 1)
    return compound(count, mean, (clump + 1) / 2)


def emission(block: Block, ratio: float, clump: float, steadiness: float) -> float:
    """Likelihood of one block for one ratio of bad answers."""
    here, bad, there, others_bad = block.counts
    if not here or not there:
        return 1.0
    mean = DIFFUSE_TIMES * block.level * (here + there)
    law = stats.nbinom(DIFFUSE_SHAPE, DIFFUSE_SHAPE / (DIFFUSE_SHAPE + mean))
    strange = split_chance(block, ratio, clump) * float(law.pmf(bad + others_bad))
    steady = one_side(bad, block.level * here * ratio, clump)
    steady *= one_side(others_bad, block.level * there, clump)
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


def path_likelihood(
    tables: Sequence[Sequence[float]], blocks: Sequence[Block]
) -> float:
    """Sum over every latent path; `tables` is the likelihood by block and node."""
    first, steps = stationary(), [moved(one.elapsed_ms) for one in blocks]
    total = 0.0
    for path in product(range(len(NODES)), repeat=len(blocks)):
        chance = first[path[0]]
        for index, node in enumerate(path):
            if index:
                chance *= steps[index - 1][path[index - 1]][node]
            chance *= tables[index][node]
        total += chance
    return total


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
        nulls.append(null)
        found = waits * null
        for log in noise.ratio_logs:
            bad = [table(block, noise.tolerated_log + log) for block in blocks]
            for start, weight in enumerate(weights):
                mixed = calm[:start] + bad[start:]
                share = weight / len(noise.ratio_logs)
                found += share * path_likelihood(mixed, blocks)
        worse += math.exp(belief.log_weight) * found
    return worse / max(nulls)
