"""The peers by name, as the table and `--judges` call them."""

from __future__ import annotations

from collections.abc import Callable

from gate_bench.knobs import Scenario
from gate_bench.statistical import Kayenta, NetflixSequential
from gate_bench.steps import Rollout
from gate_bench.thresholds import ArgoDefault, ArgoRatio, Flagger

PEERS: dict[str, Callable[[Scenario], Rollout]] = {
    "flagger": Flagger.default,
    "flagger-tuned": Flagger.tuned,
    "argo": ArgoDefault.default,
    "argo-ratio": ArgoRatio.ratio,
    "kayenta": Kayenta.default,
    "netflix-seq": NetflixSequential.default,
}
"""How each starts, knowing the healthy scenario it is set up for."""
