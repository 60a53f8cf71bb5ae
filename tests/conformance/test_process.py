"""Commands and writes that are left, cancelled or stubborn: nothing waits for ever, and
nothing begun is cut off."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from dayshift.drivers import process
from dayshift.drivers.dials.bird import BirdDial
from dayshift.drivers.dials.bird_speaker import State
from dayshift.drivers.dials.routes.dial import RouteDial
from dayshift.drivers.dials.routes.mark import Mark
from dayshift.drivers.dials.routes.options import RouteOptions, SpeakerOptions
from dayshift.drivers.dials.routes.speaker import GoBack, Kept, Say, Word
from dayshift.errors import Refused
from dayshift.runtime.clock import RealClock
from tests.conformance.rigs import claim, context, token
from tests.conformance.route_rigs import BER, BOTH
from tests.kit.daemons import eventually

STUBBORN = """\
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(600)
"""
CLOSING = """\
import asyncio, sys
from pathlib import Path
from dayshift.drivers import process
from dayshift.runtime.clock import RealClock

async def main(turns):
    work = process.run(["sleep", "600"], clock=RealClock(), limit_ms=600_000,
                       cwd=Path("/"), environment={})
    task = asyncio.create_task(work)
    for _ in range(turns):
        await asyncio.sleep(0)

for turns in range(16):
    asyncio.run(main(turns))
"""


def run(place: Path, *argv: str) -> Awaitable[process.Ran]:
    return process.run(
        argv,
        clock=RealClock(),
        limit_ms=60_000,
        cwd=place,
        environment=dict(os.environ),
    )


def test_a_loop_closes_at_whatever_turn_a_command_was_begun() -> None:
    """asyncio's own processes wait for ever here, cancelled before their pipes were
    connected; so it is done in a process that can be ended."""
    done = subprocess.run([sys.executable, "-c", CLOSING], timeout=120, check=False)
    assert done.returncode == 0


def _begun(note: Path) -> int:
    eventually(lambda: note.exists() and note.read_text() != "", "it began")
    return int(note.read_text())


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("cancels", [1, 2])
def test_one_that_ignores_sigterm_is_ended_though_the_caller_left(
    tmp_path: Path, cancels: int
) -> None:
    """Also where the caller is cancelled once more while it is being ended."""

    async def program() -> int:
        note = tmp_path / "pid"
        work = run(tmp_path, sys.executable, "-c", STUBBORN, str(note))
        task = asyncio.ensure_future(work)
        pid = await asyncio.to_thread(_begun, note)
        for _ in range(cancels):
            task.cancel()
            await asyncio.sleep(0.05)
        with pytest.raises(asyncio.CancelledError):
            await task
        return pid

    pid = asyncio.run(program())
    eventually(lambda: _is_gone(pid), "the command is gone")


class SlowSpeaker:
    """Takes a write when it is let."""

    name, region = "fra-1", "fra"

    def __init__(self, place: Path) -> None:
        self.lock = place / "lock"
        self.mark = Mark(None, BOTH.rows["*"])
        self.begun, self.let = asyncio.Event(), asyncio.Event()

    async def kept(self) -> Kept:
        return Kept((self.mark,), True)

    async def word(self) -> Word:
        return Word(self.mark, ())

    async def write(self, mark: Mark, say: Say, back: GoBack | None = None) -> None:
        self.begun.set()
        await self.let.wait()
        self.mark = mark


class SlowOptions(RouteOptions):
    speakers: tuple[SpeakerOptions, ...]


OPTIONS = SlowOptions(
    regions=("fra", "ber"),
    prefixes=("192.0.2.1/32",),
    speakers=(SpeakerOptions(name="fra-1", region="fra"),),
    shut_pause=0,
)


@pytest.mark.parametrize("waits", [RouteDial.read, RouteDial.close])
def test_a_write_that_was_left_ends_though_who_waits_for_it_leaves_too(
    tmp_path: Path, waits: Callable[[RouteDial], Awaitable[object]]
) -> None:
    async def program() -> None:
        speaker = SlowSpeaker(tmp_path)
        dial = RouteDial("anycast", OPTIONS, [speaker], context(tmp_path))
        for work in (dial.set(BER, token(claim(1))), waits(dial)):
            task = asyncio.ensure_future(work)
            await speaker.begun.wait()
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        speaker.let.set()
        await dial.close()
        assert speaker.mark == Mark(claim(1), BER.rows["*"])

    asyncio.run(program())


BIRDC = """\
#!/bin/sh
echo begun >> {log}
sleep {pause}
echo ended >> {log}
echo "BIRD 2.0 ready."
echo "{mark}"
"""


def test_no_bird_is_still_written_to_once_another_refused(tmp_path: Path) -> None:
    mark = Mark(claim(1), BER.rows["*"])
    logs, speakers = [], []
    for region, pause in (("fra", "0"), ("ber", "0.5")):
        birdc, log = tmp_path / f"birdc-{region}", tmp_path / f"{region}.log"
        birdc.write_text(BIRDC.format(log=log, pause=pause, mark=mark))
        birdc.chmod(0o755)
        file = tmp_path / f"{region}.conf"
        file.write_text(str(State(mark, Say.ANNOUNCED)))
        logs.append(log)
        speakers.append(
            {
                "name": f"{region}-1",
                "region": region,
                "file": str(file),
                "command": [str(birdc)],
                "ipv4": ["up4"],
            }
        )
    options = {
        "regions": ["fra", "ber"],
        "prefixes": ["192.0.2.1/32"],
        "speakers": speakers,
    }

    async def program() -> None:
        dial = BirdDial("anycast", options, context(tmp_path))
        with pytest.raises(Refused, match="NO-LEASE"):
            await dial.renew(claim(1), 5_000)
        told = logs[1].read_text()
        assert told.count("begun") == told.count("ended") == 2, told

    asyncio.run(program())
