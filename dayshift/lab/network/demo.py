"""The demo of the network lab: a maintenance through three regions, for its users.

    python -m dayshift.lab.network.demo [--rps N] [--streams N] [--ttl S] …

Only the sequence. Whatever ends it, the whole network ends with it, unless it was asked
to keep it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import msgspec
from rich.console import Console

from dayshift.errors import DayshiftError
from dayshift.lab import demo as plain
from dayshift.lab import story
from dayshift.lab.network import edges, page, up, users
from dayshift.lab.network import spec as layout
from dayshift.lab.network.spec import REGIONS, NetSpec

DIRECTORY = Path("var/network-demo")
RPS, STREAMS, TTL_S = 100, 20, 10
LIMIT_S = 1_800
WARM_UP_S = 8.0
AFTER_S = 4.0


def play(spec: NetSpec, asked: argparse.Namespace, console: Console) -> page.Shown:
    """Show it, count it."""
    console.print(
        "Starting name servers, routers and load balancers of three regions, each in a "
        "network of its own …"
    )
    up.up(spec)
    load = users.Load(asked.rps, asked.streams, asked.stream_s)
    users.start(spec, load, LIMIT_S)
    console.print(
        f"Users are coming: {load.rps} requests/s at http://{layout.NAME} and https "
        f"(HTTP/2), {load.streams} connections of {load.stream_s} s; answers of the "
        f"name server are kept for {spec.ttl_s} s",
        markup=False,
    )
    time.sleep(WARM_UP_S)
    before = users.look(spec)
    began = time.monotonic()
    argv = [spec.python, "-m", "dayshift", "run", "change.yaml"]
    argv += ["--yes", "--exit-when-held"]
    console.print(f"$ cd {spec.dir}\n$ dayshift {' '.join(argv[3:])}\n", markup=False)
    code = _run(spec, argv, asked)
    took_s = time.monotonic() - began
    time.sleep(AFTER_S)
    felt = users.stop(spec) or users.Felt({}, 0)
    told = story.last_run(Path(spec.dir))
    return page.shown(
        felt,
        run_exit=code,
        took_s=took_s,
        passes=told.marks.passes if told else (),
        versions={one: edges.answering(spec, one) for one in REGIONS},
        led_back=users.look(spec) == before,
        audit=_audit(spec),
    )


def _run(spec: NetSpec, argv: list[str], asked: argparse.Namespace) -> int:
    environment = {**os.environ}
    if asked.plain:
        environment |= {"NO_COLOR": "1", "TERM": "dumb"}
    out = sys.stderr if asked.json else None
    with subprocess.Popen(argv, cwd=spec.dir, env=environment, stdout=out) as child:
        try:
            return child.wait()
        finally:
            child.terminate()


def _audit(spec: NetSpec) -> str:
    argv = [spec.python, "-m", "dayshift", "audit"]
    done = subprocess.run(
        argv, cwd=spec.dir, capture_output=True, text=True, check=False
    )
    lines = (done.stdout.strip() or done.stderr.strip()).splitlines()
    return lines[0] if lines else f"exit code {done.returncode}"


def fresh(directory: Path, ttl_s: int) -> NetSpec:
    """A new lab in `directory`; what an earlier demo left there ends and goes."""
    layout.able()
    if layout.is_built(directory):
        up.down(layout.load(directory))
        shutil.rmtree(directory)
    return layout.make(directory, ttl_s)


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="script/demo --network",
        description="A maintenance through three regions behind real name servers, "
        "routers and load balancers. Needs root and Linux.",
        epilog="exit: 0 done, 1 error or somebody was hurt, 3 held, 130 interrupted",
    )
    parser.add_argument("--network", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--rps", type=int, default=RPS, metavar="N")
    parser.add_argument("--streams", type=int, default=STREAMS, metavar="N")
    parser.add_argument(
        "--stream-s",
        default=users.STREAM_S,
        metavar="LEAST-MOST",
        help="how long these connections last, in seconds",
    )
    parser.add_argument(
        "--ttl", type=int, default=TTL_S, metavar="S", help="lifetime of DNS answers"
    )
    parser.add_argument("--keep", action="store_true", help="leave the lab running")
    parser.add_argument("--json", action="store_true", help="the page as JSON")
    parser.add_argument("--plain", action="store_true", help="no colours, no live view")
    parser.add_argument("--dir", type=Path, default=DIRECTORY, metavar="D")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    asked = parse(argv)
    console = Console(stderr=asked.json, highlight=False, no_color=asked.plain)
    try:
        spec = fresh(asked.dir, asked.ttl)
        with plain.until_the_end(lambda: up.down(spec), asked.keep):
            found = play(spec, asked, console)
    except KeyboardInterrupt:
        console.print("\nInterrupted. Nothing of the lab is left.")
        return plain.EXIT_INTERRUPTED
    except DayshiftError as error:
        console.print(str(error), markup=False)
        return error.exit_code
    if asked.json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    page.render(found, console)
    if asked.keep:
        console.print(f"The lab is still up: `dayshift lab status --dir {spec.dir}`")
    return found.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
