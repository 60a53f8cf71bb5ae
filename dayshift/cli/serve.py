"""`dayshift serve`: a controller that stays, and leads when it is its turn."""

from __future__ import annotations

import asyncio
import signal
from typing import Annotated

import typer

from dayshift.cli import files, say
from dayshift.cli.everywhere import Cli
from dayshift.errors import EXIT_DONE
from dayshift.runtime import supervisor
from dayshift.runtime.clock import RealClock
from dayshift.runtime.control import ControlServer
from dayshift.runtime.ground import RealGround
from dayshift.runtime.naming import controller
from dayshift.runtime.serving import Serving
from dayshift.runtime.session import Workspace
from dayshift.surfaces import words


def serve(
    cli: Cli,
    named: Annotated[
        str, typer.Option("--name", help="Which of the estate's controllers this is.")
    ] = "",
) -> int:
    """Stay, lead when it is this controller's turn, take over when the leader is gone.

    Every verb works in its directory, whether it leads or follows: requests reach the
    leader, and the answer is in the journal. SIGTERM hands leadership over. Says READY
    and WATCHDOG to systemd; with `--json` every line is a JSON document.

    Example: `dayshift serve --name c-fra`, one for each of three places.
    """
    estate = files.load_estate(cli)
    me = controller(estate, named)
    workspace = Workspace(cli.base)
    workspace.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    ground = RealGround(workspace, me.name, lambda: files.load_estate(cli))
    log = _Log(cli.as_json, me.name, me.place)
    serving = Serving(ground, me.name, log.say)
    asyncio.run(_serve(serving, workspace))
    return EXIT_DONE


async def _serve(serving: Serving, workspace: Workspace) -> None:
    loop = asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, serving.stop)
    server = ControlServer(workspace.socket, serving, serving.name)
    await server.start()
    supervisor.notify("READY=1")
    alive = asyncio.create_task(_alive())
    try:
        await serving.run()
    finally:
        supervisor.notify("STOPPING=1")
        alive.cancel()
        await asyncio.gather(alive, return_exceptions=True)
        await server.close()


async def _alive() -> None:
    """Signs of life for systemd: a loop that is stuck gives none."""
    every_ms = supervisor.watchdog_ms()
    clock = RealClock()
    while every_ms is not None:
        supervisor.notify("WATCHDOG=1")
        await clock.sleep(every_ms)


class _Log:
    """What happens to this controller, one line each, to standard output."""

    def __init__(self, as_json: bool, name: str, place: str) -> None:
        self._as_json = as_json
        self._name = name
        self._place = place

    def say(self, text: str) -> None:
        wall_ms = RealClock().now().wall_ms
        supervisor.notify(f"STATUS={text}")
        if self._as_json:
            said = {"wall_ms": wall_ms, "controller": self._name, "says": text}
            say.line(_json(said | {"place": self._place}))
        else:
            say.out(f"{words.both(wall_ms)}  {text}")


def _json(said: dict[str, object]) -> str:
    import msgspec

    return msgspec.json.encode(said).decode()
