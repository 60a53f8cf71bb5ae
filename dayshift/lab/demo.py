"""The demo: a real estate, real users, one maintenance, and a page of truth.

    python -m dayshift.lab.demo [--bad-release | --by-hand] [--kill] [--keep] …

Here is only the sequence. Whatever ends the demo, its processes end with it, unless it
was asked to keep them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import msgspec
from rich.console import Console

from dayshift.errors import EXIT_DONE, DayshiftError
from dayshift.lab import by_hand, estate, processes, story, truth, up, users, view
from dayshift.lab.ledger import now_ms
from dayshift.lab.truth import Mode, Truth

WARM_UP_S = 8.0
AFTER_S = 4.0
LIMIT_S = 600
KILL_PAUSE_S = 2.0
CONTROLLER_GRACE_S = 3.0
EXIT_INTERRUPTED = 130
DIRECTORY = Path("var/demo")
SHOW_CURSOR = "\x1b[?1049l\x1b[?25h"


class Demo:
    """One showing, from an empty directory to the page."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.mode: Mode = asked.mode
        self.kill: bool = asked.kill
        self.rps: int = asked.rps
        self.plain: bool = asked.plain
        self.as_json: bool = asked.json
        self.killed = 0
        # With --json, stdout carries the JSON and nothing else.
        self.console = Console(stderr=self.as_json, highlight=False)
        if self.plain:
            self.console = Console(
                stderr=self.as_json, highlight=False, no_color=True, width=100
            )

    def say(self, text: str) -> None:
        self.console.print(text, markup=False)

    def play(self, spec: estate.LabSpec) -> Truth:
        """Show it, count it."""
        began = time.monotonic()
        self.say("Starting two regions, a global entry and the shop …")
        up.up(spec)
        users.start(spec, self.rps, LIMIT_S)
        self.say(
            f"Users are coming: {self.rps} requests/s at"
            f" http://{estate.HOST}:{spec.entry_h1} (HTTP/1.1)"
            f" and https://{estate.HOST}:{spec.entry_tls} (HTTP/2)"
        )
        time.sleep(WARM_UP_S)
        started = time.monotonic()
        from_ms = now_ms()
        if self.mode is Mode.BY_HAND:
            marks, code = by_hand.by_hand(spec, "2", self.say), EXIT_DONE
            told = None
        else:
            code = self._run(spec)
            told = story.last_run(Path(spec.dir))
            marks = told.marks if told else view.Marks(from_ms, now_ms())
        run_ms = int((time.monotonic() - started) * 1000)
        time.sleep(AFTER_S)
        users.stop(spec)
        seen = view.users_view(Path(spec.dir), marks)
        report, audit, audit_exit = self._papers(spec, told)
        found = Truth(
            mode=self.mode,
            view=seen,
            run_exit=code,
            run_ms=run_ms,
            total_ms=int((time.monotonic() - began) * 1000),
            passes=marks.passes,
            retreats_ms=told.retreats_ms if told else {},
            versions={one.name: up.answering(spec, one.name) for one in spec.regions},
            weights=up.weights(spec),
            held=told.held if told else "",
            report=report,
            audit=audit,
            audit_exit=audit_exit,
            killed=self.killed,
        )
        return msgspec.structs.replace(found, problems=truth.problems(found))

    def _run(self, spec: estate.LabSpec) -> int:
        """`dayshift run`, in this terminal; killed once in the middle if so asked."""
        change = "change-bad.yaml" if self.mode is Mode.BAD else "change.yaml"
        argv = [spec.python, "-m", "dayshift", "run", change]
        argv += ["--yes", "--exit-when-held"]
        self.say(f"$ cd {spec.dir}\n$ dayshift {' '.join(argv[3:])}\n")
        with self._controller(spec, argv) as child:
            if not (self.kill and self._kill(spec, child)):
                return child.wait()
        with self._controller(spec, argv) as child:
            return child.wait()

    @contextlib.contextmanager
    def _controller(
        self, spec: estate.LabSpec, argv: list[str]
    ) -> Iterator[subprocess.Popen[bytes]]:
        """The controller as a child, which is never left behind."""
        environment = {**os.environ}
        if self.plain:
            environment |= {"NO_COLOR": "1", "TERM": "dumb"}
        out = sys.stderr if self.as_json else None
        child = subprocess.Popen(argv, cwd=spec.dir, env=environment, stdout=out)
        try:
            yield child
        finally:
            child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=CONTROLLER_GRACE_S)
            child.kill()
            child.wait()

    def _kill(self, spec: estate.LabSpec, child: subprocess.Popen[bytes]) -> bool:
        """Kill the controller while fra is being upgraded; False if it ended before."""
        run = spec.path("run")
        first = spec.regions[0].name
        while processes.find(run, f"{first}-app-0") is not None:
            if child.poll() is not None:
                return False
            time.sleep(0.05)
        child.kill()
        child.wait()
        self.killed += 1
        if self.console.is_terminal:
            sys.stdout.write(SHOW_CURSOR)
            sys.stdout.flush()
        self.say(
            f"\n*** kill -9 {child.pid}: the controller is dead, in the middle of the"
            f" upgrade of {first}. Its survivors serve; nobody is watching. ***"
        )
        time.sleep(KILL_PAUSE_S)
        self.say("*** The same command again: ***\n")
        return True

    def _papers(
        self, spec: estate.LabSpec, told: story.Story | None
    ) -> tuple[str, str, int]:
        """The report's path, the audit's verdict and exit code."""
        if told is None:
            return "", "", 0
        path = spec.path("report.html")
        reported = _ask(spec, "report", told.run, "--out", str(path))
        audited = _ask(spec, "audit")
        lines = audited.stdout.strip().splitlines() or audited.stderr.splitlines()
        written = str(path) if path.exists() else f"none: {reported.stderr.strip()}"
        return written, lines[0] if lines else "", audited.returncode


def _ask(spec: estate.LabSpec, *args: str) -> subprocess.CompletedProcess[str]:
    argv = [spec.python, "-m", "dayshift", *args]
    return subprocess.run(
        argv, cwd=spec.dir, capture_output=True, text=True, check=False
    )


def fresh(directory: Path) -> estate.LabSpec:
    """An empty lab in `directory`; what an earlier demo left there ends and goes.

    Why: only a directory that holds a lab is ever removed.
    """
    if (directory / "lab.json").exists():
        up.down(estate.load(directory))
        shutil.rmtree(directory)
    directory.mkdir(parents=True, exist_ok=True)
    return estate.build(directory)


@contextlib.contextmanager
def until_the_end(end: Callable[[], object], keep: bool) -> Iterator[None]:
    """`end` the lab however the demo ends; a second Ctrl-C does not interrupt that."""

    def interrupted(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    finished = False
    try:
        yield
        finished = True
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if not (keep and finished):
            end()


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="script/demo",
        description="A maintenance through two live regions, on real parts.",
        epilog="exit: 0 done, 1 error or a broken promise, 3 held, 130 interrupted",
    )
    mode = parser.add_mutually_exclusive_group()
    for flag, value, text in (
        ("--bad-release", Mode.BAD, "the new version answers 5 %% errors and is slow"),
        ("--by-hand", Mode.BY_HAND, "the same upgrade without Dayshift"),
    ):
        mode.add_argument(
            flag, dest="mode", action="store_const", const=value, help=text
        )
    parser.set_defaults(mode=Mode.GOOD)
    parser.add_argument(
        "--kill", action="store_true", help="kill -9 the controller in the middle"
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave the lab running afterwards"
    )
    parser.add_argument("--json", action="store_true", help="the truth as JSON")
    parser.add_argument("--plain", action="store_true", help="no colours, no live view")
    parser.add_argument("--rps", type=int, default=users.DEMO_RPS, metavar="N")
    parser.add_argument("--dir", type=Path, default=DIRECTORY, metavar="D")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    asked = parse(argv)
    demo = Demo(asked)
    try:
        spec = fresh(asked.dir)
        with until_the_end(lambda: up.down(spec), asked.keep):
            found = demo.play(spec)
    except KeyboardInterrupt:
        demo.say("\nInterrupted. Every process of the demo has ended.")
        return EXIT_INTERRUPTED
    except DayshiftError as error:
        demo.say(str(error))
        return error.exit_code
    if asked.json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    truth.render(found, demo.console)
    if asked.keep:
        demo.say(f"The lab is still up: `dayshift lab status --dir {spec.dir}`")
    return found.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
