"""Time until the last new request enters a drained region: Envoy's own way, and ours.

    python bench/redirect.py [--cycles 20] [--rps 1000] [--json]

One run, real Envoys (an entry and two regions), one bounded keep-alive load from a
process of its own. Drains alternate between

    bare      write the routes file, rename it
    dayshift  append the intent durably to the journal, then `EnvoyDial.set`, which
              checks and stores the claim, writes durably and awaits the acknowledgement

and are timed from the decision to the start of the last request in the drained region's
own access log (microseconds). Exit code 1 when a request failed or a bound is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dayshift.drivers.base import Context
from dayshift.drivers.dials.envoy import EnvoyDial
from dayshift.journal.journal import Journal
from dayshift.model.dial import Claim, Token, split
from dayshift.model.records import Action, ActionKind, Intent
from dayshift.runtime.clock import RealClock
from tests.kit.envoys import Envoys, routes

MEDIAN_MS, MAX_MS = 25.0, 100.0
"""How much later than the bare script Dayshift may be."""
DRAINED, SERVING = "fra", "ber"
CONNECTIONS = 20
SETTLE_S = 0.4
Drain = Callable[[], Awaitable[None]]


async def _user(
    port: int, every_s: float, begin_s: float, stop: asyncio.Event
) -> tuple[int, int]:
    """One keep-alive connection; requests sent, and those that went wrong.

    `begin_s` sets the users apart: if they came in bursts, most drains would fall
    between two of them and nothing would be measured.
    """
    sent = failed = 0
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    due = time.monotonic() + begin_s
    while not stop.is_set():
        due += every_s
        await asyncio.sleep(max(0, due - time.monotonic()))
        sent += 1
        try:
            writer.write(b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            length = int(head.lower().split(b"content-length:")[1].split()[0])
            await asyncio.wait_for(reader.readexactly(length), 5)
            failed += not head.startswith(b"HTTP/1.1 200")
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError, IndexError):
            failed += 1
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    return sent, failed


def _users(port: int, rps: int, pipe: Connection) -> None:
    """The load's process: until told to stop, then what it counted."""

    async def run() -> tuple[int, int]:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_reader(pipe.fileno(), stop.set)
        every_s = CONNECTIONS / rps
        users = [_user(port, every_s, user / rps, stop) for user in range(CONNECTIONS)]
        counts = await asyncio.gather(*users)
        return sum(one for one, _ in counts), sum(one for _, one in counts)

    pipe.send(asyncio.run(run()))


@contextmanager
def _load(port: int, rps: int) -> Iterator[list[int]]:
    """Users at work; the list holds (sent, failed) once the block is left."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_users, args=(port, rps, theirs)
    )
    counts: list[int] = []
    process.start()
    try:
        yield counts
        ours.send("stop")
        counts.extend(ours.recv())
    finally:
        process.join(5)
        process.kill()


class Arrivals:
    """Starts of requests in one region, from its access log, in microseconds."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def since(self, then_us: int) -> list[int]:
        starts = (
            int(json.loads(line)["start_us"])
            for line in self._log.read_text().splitlines()
        )
        return [start for start in starts if start > then_us]


class Bench:
    """Drains one region again and again, in two ways."""

    def __init__(self, envoys: Envoys, place: Path, cycles: int) -> None:
        self._file = envoys.rds_file()
        self._arrivals = Arrivals(envoys.edges[DRAINED].place / "access.log")
        self._cycles = cycles
        clock = RealClock()
        self._journal = Journal.open(place / "journal", "bench", clock, "bench")
        context = Context("bench", place, place, clock, lambda ref: ref, lambda t: t)
        self._dial = EnvoyDial("entry", envoys.dial_options(), context)

    async def run(self) -> dict[str, list[float]]:
        """Milliseconds to the last new request, by way of draining."""
        ways: list[tuple[str, Drain]] = [("bare", self.bare), ("dayshift", self.ours)]
        took: dict[str, list[float]] = {name: [] for name, _ in ways}
        for _ in range(self._cycles):
            for name, drain in ways:
                took[name].append(await self._timed(drain))
            ways.reverse()  # neither way always comes after the other
        await self._dial.close()
        self._journal.close()
        return took

    async def bare(self) -> None:
        """What a careful operator scripts."""
        self._write(0, "drained-by-hand")

    async def ours(self) -> None:
        """What the actuator does after a decision."""
        setting = split({DRAINED: 0, SERVING: 10_000})
        action = Action(ActionKind.SET_DIAL, "bench", "entry", setting=setting)
        (record,) = self._journal.append(Intent(action), run="bench")
        claim = Claim("bench", "bench", record.epoch, record.seq)
        await self._dial.set(setting, Token(claim, (SERVING,), None))

    async def _timed(self, drain: Drain) -> float:
        """Serve from both, assert that, drain, and find the last arrival."""
        self._write(50, "serving")
        await asyncio.sleep(SETTLE_S)
        await self._dial.read()
        decided_us = time.time_ns() // 1000
        if not self._arrivals.since(decided_us - 200_000):
            raise SystemExit("nothing arrives before the drain: no load, no result")
        decided_us = time.time_ns() // 1000
        await drain()
        await asyncio.sleep(SETTLE_S)
        late = self._arrivals.since(decided_us)
        if late and max(late) > decided_us + 1000 * (1000 * SETTLE_S - 100):
            raise SystemExit("requests still arrive: the region was not drained")
        return (max(late) - decided_us) / 1000 if late else 0.0

    def _write(self, weight: int, version: str) -> None:
        document = routes((DRAINED, SERVING), weight=50)
        document["version_info"] = version
        for one in document["resources"][0]["virtual_hosts"][0]["routes"][1:]:
            one["route"]["weighted_clusters"]["clusters"][0]["weight"] = weight
        temp = self._file.with_suffix(".tmp")
        temp.write_text(json.dumps(document))
        temp.rename(self._file)


def summary(
    took: dict[str, list[float]], rps: int, sent: int, failed: int
) -> dict[str, float]:
    """The figures that count, in milliseconds.

    Nothing shorter than the time between two arrivals can be seen, so that is the least
    that the ratio divides by.
    """
    resolution = 1000 / (rps / 2)
    middle = {name: statistics.median(values) for name, values in took.items()}
    most = {name: max(values) for name, values in took.items()}
    return {
        "cycles": len(took["bare"]),
        "requests": sent,
        "failed": failed,
        "resolution_ms": resolution,
        "bare_median_ms": middle["bare"],
        "bare_max_ms": most["bare"],
        "dayshift_median_ms": middle["dayshift"],
        "dayshift_max_ms": most["dayshift"],
        "median_difference_ms": middle["dayshift"] - middle["bare"],
        "max_difference_ms": most["dayshift"] - most["bare"],
        "median_ratio": middle["dayshift"] / max(middle["bare"], resolution),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cycles", type=int, default=20)
    parser.add_argument("--rps", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Envoys(Path(folder)) as envoys:
        bench = Bench(envoys, Path(folder), given.cycles)
        with _load(envoys.entry_ports[0], given.rps) as counts:
            time.sleep(1.0)
            took = asyncio.run(bench.run())
    figures = summary(took, given.rps, *counts)
    good = (
        not figures["failed"]
        and figures["median_difference_ms"] <= MEDIAN_MS
        and figures["max_difference_ms"] <= MAX_MS
    )
    if given.json:
        print(json.dumps({**figures, "met": good}))
        return 0 if good else 1
    print(
        "decision to last new request in the drained region "
        f"(resolution {figures['resolution_ms']:.1f} ms)"
    )
    for name in took:
        print(
            f"  {name:<9} median {figures[f'{name}_median_ms']:6.1f} ms   "
            f"max {figures[f'{name}_max_ms']:6.1f} ms   n={len(took[name])}"
        )
    print(
        f"  difference  median {figures['median_difference_ms']:+.1f} ms (bound "
        f"+{MEDIAN_MS:.0f}), max {figures['max_difference_ms']:+.1f} ms (bound "
        f"+{MAX_MS:.0f}), ratio of medians {figures['median_ratio']:.1f}"
    )
    print(f"  requests {counts[0]}, failed {counts[1]}   {'met' if good else 'MISSED'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
