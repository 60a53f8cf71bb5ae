"""The store loses its majority during a drain; somebody breaks the glass.

A real etcd of three members, the lab's real Envoys and users. From the bundle that the
controller sealed the region is evacuated, and what was done is merged when the store is
back.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dayshift.lab import estate, up
from tests.journeys.test_verbs import (
    CROWD,
    USUAL,
    Controller,
    crowd,
    phase,
    status,
    typed,
    until,
    weights,
)
from tests.kit.daemons import eventually
from tests.kit.etcds import Etcds

pytestmark = [pytest.mark.journey, pytest.mark.timeout(240)]
FAST = {
    "drain_dwell": "10 min",
    "soak": "1 s",
    "quiet": "2 s",
    "fresh": "2 s",
    "probe_streak": "2",
    "ramp": "[50 %]",
}
STORE = """\
journal:
  driver: etcd
  options: {{endpoints: {endpoints}, timeout: 1 s}}
"""
AT_ONCE_S = 30.0
"""From the return key to no user in the region, on a machine under load."""


@pytest.fixture
def etcds(tmp_path: Path) -> Iterator[Etcds]:
    with Etcds(tmp_path / "etcd") as found:
        yield found


@pytest.fixture
def lab(tmp_path: Path, etcds: Etcds) -> Iterator[estate.LabSpec]:
    spec = estate.build(tmp_path / "lab")
    path = Path(spec.dir, "dayshift.yaml")
    text = path.read_text()
    for key, value in FAST.items():
        text = re.sub(rf"(?m)^  {key}: .*$", f"  {key}: {value}", text)
    path.write_text(text + STORE.format(endpoints=json.dumps(etcds.endpoints)))
    Path(spec.dir, "crowd.js").write_text(CROWD)
    try:
        up.up(spec)
        with crowd(spec):
            time.sleep(2)
            yield spec
    finally:
        up.down(spec)


def test_evacuated_without_a_majority_and_merged_when_it_is_back(
    lab: estate.LabSpec, etcds: Etcds
) -> None:
    with Controller(lab, "drain", "fra", "--yes", "--plain") as drain:
        until(lab, lambda story: phase(story) == "draining")
        eventually(lambda: weights(lab)["fra"] == 2500, "the first stage")
        for one in etcds.members[:2]:
            one.kill()
        code, said = drain.ended()
    assert code == 1
    assert "LEAD-LOST" in said or "STORE-GONE" in said
    asked = typed(lab, "status")
    assert asked.returncode == 1
    assert "from the bundle sealed" in asked.stderr

    begun = time.monotonic()
    told = typed(lab, "evacuate", "fra", "--reason", "fire alarm", "--yes", "--plain")
    assert told.returncode == 0, told.stderr
    assert time.monotonic() - begun < AT_ONCE_S
    assert weights(lab) == {"fra": 0, "ber": 10_000}
    assert "age" in told.stderr
    assert "was running, fra in draining" in told.stderr

    for one in etcds.members[:2]:
        one.start()
    etcds.wait(3)
    eventually(lambda: typed(lab, "seal", "now").returncode == 0, "a free lease")
    story = status(lab)
    assert story["status"] == "held"
    assert story["hold"]["reason"]["code"] == "BREAK-GLASS"
    assert story["left_drained"] == ["fra"]
    audited = typed(lab, "audit")
    assert audited.returncode == 0, audited.stdout
    assert "wait to be merged" not in audited.stdout

    closed = typed(lab, "close", "--leave-drained")
    assert closed.returncode == 0, closed.stderr
    assert weights(lab) == {"fra": 0, "ber": 10_000}
    back = typed(lab, "return", "fra", "--now", "--yes", "--plain")
    assert back.returncode == 0, back.stderr
    assert weights(lab) == USUAL
