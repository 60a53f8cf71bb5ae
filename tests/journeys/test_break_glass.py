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
    Controller,
    crowd,
    phase,
    status,
    typed,
    until,
    weights,
)
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
        until(lab, lambda story: phase(story) == "draining" and weights(lab)["fra"] == 2500)
        for one in etcds.members[:2]:
            one.kill()
        print("controller", drain.ended())
    asked = typed(lab, "status")
    print(asked.stdout, asked.stderr)
    begun = time.monotonic()
    told = typed(lab, "evacuate", "fra", "--reason", "fire alarm", "--yes", "--plain")
    print(time.monotonic() - begun, told.returncode, told.stdout, told.stderr)
    assert weights(lab) == {"fra": 0, "ber": 10_000}
    for one in etcds.members[:2]:
        one.start()
    etcds.wait(3)
    told = typed(lab, "seal", "now")
    print(told.stdout, told.stderr)
    told = typed(lab, "status")
    print(told.stdout, told.stderr)
    told = typed(lab, "audit")
    print(told.stdout, told.stderr)
    told = typed(lab, "close", "--leave-drained", "--yes")
    print(told.stdout, told.stderr)
    told = typed(lab, "return", "fra", "--now", "--yes", "--plain")
    print(told.stdout, told.stderr)
    assert 0
