"""Partitions by real links: controllers in network namespaces, root only.

Where nobody is root, the wires of `test_faults` stand for them.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dayshift.lab import processes
from dayshift.lab.ledger import now_ms
from tests.journeys.test_faults import TAKEOVER_MS, never_stale, nobody_noticed
from tests.kit.chain import Chain, chain
from tests.kit.places import STORE, Places

pytestmark = [
    pytest.mark.journey,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root has network namespaces"),
]

# A step that starts the application would start it in the namespace of its controller.
CHANGE = """\
change: rewiring
reason: links are taken down meanwhile
regions:
  - region: fra
  - region: ber
steps:
  - name: wait
    worker: command
    interrupt: never
    limit: 1 min
    options: {argv: [/bin/sleep, "2"], undo: [/bin/true]}
"""


@contextmanager
def apart(estate: Chain) -> Iterator[Places]:
    """Every controller starts again in a namespace of its own."""
    spec, run = estate.spec, estate.spec.path("run")
    store = list(estate.wires.ports.values())
    rest = [spec.admin, estate.many.agent]
    for region in spec.regions:
        rest += [region.edge, region.admin]
    with Places(estate.names, store, rest) as places:
        for name in estate.names:
            found = processes.find(run, name)
            assert found is not None
            processes.end(run, [found], 20)
            argv = [*places.inside(name), *found.argv]
            processes.start(run, name, argv)
        estate.led()
        try:
            yield places
        finally:
            every = [processes.find(run, name) for name in estate.names]
            processes.end(run, [one for one in every if one is not None], 20)


def taken_over(estate: Chain, places: Places) -> int:
    """The leader's link to the store goes down, that to the dials stays."""
    name, epoch = estate.led(), estate.leases()[-1].epoch
    at_ms = now_ms()
    places.cut(name, STORE)
    estate.until(
        lambda: estate.closed() or estate.leases()[-1].epoch > epoch,
        f"another leads without {name}",
    )
    places.mend()
    newest = next((one for one in estate.leases() if one.epoch > epoch), None)
    return newest.at.wall_ms - at_ms if newest else -1


def nobody_has_the_store(estate: Chain, places: Places) -> None:
    """Every place is cut from it: nothing moves, nothing is written, users go on."""
    for name in estate.names:
        places.cut(name, STORE)
    time.sleep(4)
    stood, records = estate.shares(), len(estate.records())
    time.sleep(4)
    assert estate.shares() == stood
    assert len(estate.records()) == records
    places.mend()
    estate.until(lambda: len(estate.records()) > records, "it goes on")


def test_links_go_down_under_a_run(tmp_path: Path) -> None:
    took = []
    with chain(tmp_path, {"lease": "30 s"}) as estate, apart(estate) as places:
        estate.spec.path("change.yaml").write_text(CHANGE)
        estate.submit(estate.names[0])
        took.append(taken_over(estate, places))
        nobody_has_the_store(estate, places)
        took.append(taken_over(estate, places))
        assert estate.until_closed() == 0, estate.said()
        nobody_noticed(estate)
        never_stale(estate)
        assert estate.shares() == {"fra": 5_000, "ber": 5_000}
    struck = [ms for ms in took if ms >= 0]
    print(f"links down: taken over after {struck} ms")
    assert struck and statistics.median(struck) <= TAKEOVER_MS
