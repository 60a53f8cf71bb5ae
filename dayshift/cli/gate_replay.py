"""`dayshift gate replay`: a recorded return before the gate, look by look."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import typer
from msgspec.structs import replace

from dayshift.cli import say
from dayshift.cli.everywhere import Cli
from dayshift.cli.gate_options import (
    AbsoluteErrors,
    Config,
    Cumulative,
    Dwell,
    History,
    Known,
    NoHistory,
    Ramp,
    Region,
    RollbackOdds,
    Slow,
    Strict,
    out_console,
    progress,
    share_bp,
    span_ms,
)
from dayshift.cli.gate_story import Telling
from dayshift.errors import EXIT_DONE, EXIT_HELD, Reason, SettingsInvalid
from dayshift.gates import Look
from dayshift.model.calibration import Calibration
from dayshift.model.estate import Policy
from dayshift.runtime import wiring
from dayshift.runtime.history import file, learn, moments, returning, shares
from dayshift.runtime.history.replay import Replay
from dayshift.runtime.history.rows import Recording
from dayshift.runtime.history.write import when
from dayshift.runtime.settings import calibration_file, load
from dayshift.runtime.settings.yaml_source import Source

Tell = Callable[[str], None]


def replay(
    cli: Cli,
    path: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV or JSON lines, also .gz.")
    ],
    region: Region = "",
    history: History = None,
    calibration: Known = None,
    no_history: NoHistory = False,
    config: Config = None,
    dwell: Dwell = "",
    rollback_odds: RollbackOdds = None,
    absolute_errors: AbsoluteErrors = "",
    slow: Slow = None,
    ramp: Ramp = "",
    cumulative: Cumulative = False,
    strict: Strict = False,
    every: Annotated[
        bool, typer.Option("--all", help="A line for each look, not for each change.")
    ] = False,
) -> int:
    """Try an incident on the gate: what it would have said at each look, and when.

    The recorded shares stay as they were; the gate is asked at each moment.
    What lies before the share first drops is history: from it the gate
    learns what is usual here. docs/gate-file.md has the format.

    With --json a line for each look, with all of its verdict, and `summary`.
    Exit code 0: never turned back; 3: it did; 2: the file is not right.

    Example: `dayshift gate replay incident.csv --region fra --all`
    """
    options = _Options(dwell, rollback_odds, absolute_errors, tuple(slow or ()), ramp)
    policy, known = _policy(config, options)
    with progress(cli.as_json) as tell:
        scene = _Scene(_read(path, cumulative, strict, tell), region)
        chosen = (history, calibration, no_history)
        learned = scene.learned(chosen, cumulative, known, tell)
    streams = len({one.stream for one in scene.recording.rows})
    player = Replay(
        policy.gate, learned.calibrations, scene.region, policy.ramp_bp, streams
    )
    if cli.as_json:
        _stream(player, scene, learned)
    else:
        telling = Telling(out_console(), policy.gate, scene.region, every)
        _tell(telling, player, scene, learned)
    return EXIT_HELD if player.summary().failed else EXIT_DONE


def _tell(telling: Telling, player: Replay, scene: _Scene, learned: _Learned) -> None:
    telling.begin(scene.notes(learned))
    for step in player.play(scene.returns(learned.stream())):
        telling.step(step)
    telling.end(player.summary())


class _Learned(msgspec.Struct, frozen=True):
    """What the gate is given of the time before, and where that is from."""

    calibrations: tuple[Calibration, ...]
    told: str
    notes: tuple[str, ...] = ()

    def stream(self) -> str:
        """What rows without a stream are of: the only learned stream, if it is one."""
        streams = {one.stream for one in self.calibrations}
        return streams.pop() if len(streams) == 1 else moments.STREAM_DEFAULT


class _Scene:
    """One recorded return: which region, which share at each moment, since when."""

    def __init__(self, recording: Recording, region: str) -> None:
        source = Source(recording.name)
        self.recording = recording
        self.moments = moments.moments(recording.rows)
        said = shares.written(self.moments, source)
        source.check()
        self.how = "you named it" if region else ""
        if not region:
            region, self.how = returning.region_of(recording, self.moments, said)
        returning.check_regions(recording, region)
        self.region = region
        self.said = said is not None
        self.shares = said or shares.measured(self.moments, region)
        regions = set(recording.regions())
        self.parts = returning.parts(self.moments, self.shares, regions)

    def learned(
        self,
        chosen: tuple[Path | None, Path | None, bool],
        cumulative: bool,
        known: tuple[Calibration, ...],
        tell: Tell,
    ) -> _Learned:
        """What the gate may know of the time before.

        Args:
            chosen: `--history`, `--calibration` and `--no-history`.
            known: what stands beside the estate that gave the policy.
        """
        history, calibration, nothing = chosen
        if sum(one is not None for one in (history, calibration)) + nothing > 1:
            named = "--history, --calibration and --no-history"
            raise typer.BadParameter(f"give one of {named}")
        if nothing:
            return _Learned((), "none, as you asked")
        if calibration:
            found = calibration_file.read_calibrations(calibration)
            mine = tuple(one for one in found if one.region == self.region)
            if not mine:
                raise SettingsInvalid((_not_learned(calibration, self.region),))
            return _Learned(mine, str(calibration))
        if history:
            other = _read(history, cumulative, False, tell)
            return self._learn(other, f"{history}, {len(other.rows):,} rows")
        before = self.moments[: self.parts.history]
        if before:
            end = before[-1].at_ms
            rows = tuple(one for one in self.recording.rows if one.at_ms <= end)
            told = f"this file until {when(end)}, before the share drops"
            return self._learn(replace(self.recording, rows=rows, notes=()), told)
        mine = tuple(one for one in known if one.region == self.region)
        if mine:
            return _Learned(mine, f"{calibration_file.NAME} beside the estate")
        return _Learned((), "none: this file begins with the return")

    def _learn(self, recording: Recording, told: str) -> _Learned:
        wall_ms = recording.rows[-1].at_ms
        found = learn.learn(recording, wall_ms, only=self.region)
        return _Learned(found.calibrations, told, found.notes)

    def returns(self, stream: str) -> list[Look]:
        """The looks of the return."""
        begin = self.parts.begin
        regions = self.recording.regions()
        return moments.looks(
            self.moments[begin:], self.region, regions, self.shares[begin:], stream
        )

    def notes(self, learned: _Learned) -> list[tuple[str, str]]:
        """What a person must know of what follows."""
        rows, regions = self.recording.rows, self.recording.regions()
        span = f"{when(rows[0].at_ms)} to {when(rows[-1].at_ms)}"
        looks = f"{len(rows):,} rows, {', '.join(regions)}, {span}"
        said = "" if self.said else "; its share is reckoned from the requests"
        found = [
            ("file", looks),
            ("region", f"{self.region} returns: {self.how}{said}"),
        ]
        found.append(("history", _history(learned)))
        notes = [*self.recording.notes, *learned.notes]
        return found + [("note", one) for one in notes]


def _history(learned: _Learned) -> str:
    doubts = sorted({one.why for one in learned.calibrations if not one.trusted})
    if not learned.calibrations:
        return (
            f"{learned.told}. By comparison the gate only holds; only more errors than "
            "the absolute limit turn back"
        )
    if doubts:
        why = "; ".join(doubts)
        return f"{learned.told}. Not trusted ({why}): by comparison the gate only holds"
    return learned.told


def _read(path: Path, cumulative: bool, strict: bool, tell: Tell) -> Recording:
    def told(rows: int) -> None:
        tell(f"reading {path}: {rows:,} rows")

    return file.read_file(path, cumulative, strict, told)


class _Options(NamedTuple):
    """What was said of the policy on the command line; empty where nothing was."""

    dwell: str
    rollback_odds: int | None
    absolute_errors: str
    slow: tuple[str, ...]
    ramp: str


def _policy(
    config: Path | None, given: _Options
) -> tuple[Policy, tuple[Calibration, ...]]:
    """The policy of the file, or the default one, under the given options; and what
    was learned of that estate."""
    policy = Policy()
    calibrations: tuple[Calibration, ...] = ()
    if config:
        estate = load.load_estate(config, wiring.options_of)
        policy, calibrations = estate.policy, estate.calibrations
    gate: dict[str, Any] = {}
    if given.dwell:
        gate["dwell_ms_min"] = span_ms(given.dwell, "--dwell")
    if given.rollback_odds:
        gate["rollback_odds"] = given.rollback_odds
    if given.absolute_errors:
        limit = share_bp(given.absolute_errors, "--absolute-errors")
        gate["absolute_error_bp"] = limit
    bounds = sorted(span_ms(one, "--slow") * 1_000 for one in given.slow)
    if bounds:
        gate["slow_us"] = tuple(bounds)
    policy = replace(policy, gate=replace(policy.gate, **gate))
    rungs = [share_bp(one, "--ramp") for one in given.ramp.split(",") if one.strip()]
    if rungs:
        policy = replace(policy, ramp_bp=tuple(sorted(rungs)))
    return policy, calibrations


def _stream(player: Replay, scene: _Scene, learned: _Learned) -> None:
    """JSON lines: each look with all of its verdict, and last the summary."""
    for step in player.play(scene.returns(learned.stream())):
        verdict = msgspec.to_builtins(step.verdict) if step.verdict else {"kind": None}
        at = {
            "at_ms": step.at_ms,
            "time": when(step.at_ms),
            "returning_ms": step.returning_ms,
            "share_bp": step.share_bp,
        }
        say.line(msgspec.json.encode(at | verdict).decode())
    summary = {
        **msgspec.to_builtins(player.summary()),
        "history": learned.told,
        "trusted": bool(learned.calibrations)
        and all(one.trusted for one in learned.calibrations),
        "notes": [*scene.recording.notes, *learned.notes],
    }
    say.line(msgspec.json.encode({"summary": summary}).decode())


def _not_learned(path: Path, region: str) -> Reason:
    return Reason(
        "NOT-LEARNED",
        f"{path}:1: holds nothing about {region} as the returning region",
        because="a calibration is of one region against the others",
        so="nothing was judged",
        next="`dayshift gate calibrate --write` for all regions, or `--no-history`",
    )
