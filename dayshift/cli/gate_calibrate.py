"""`dayshift gate calibrate`: what is usual here, learned before anyone drains."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from dayshift.cli import files, gate_words, say
from dayshift.cli.everywhere import ESTATE_FILE, Cli
from dayshift.cli.gate_learned import show
from dayshift.cli.gate_options import (
    Cumulative,
    FromFile,
    FromPrometheus,
    FromSamples,
    Live,
    moment_ms,
    progress,
    span_ms,
)
from dayshift.cli.gate_words import Smallest
from dayshift.cli.telling import peek
from dayshift.errors import EXIT_DONE, Reason, Refused, SettingsInvalid
from dayshift.journal.reader import JournalReader
from dayshift.journal.sidelog import SideFiles
from dayshift.model.calibration import Calibration
from dayshift.model.estate import Estate, Policy
from dayshift.runtime import wiring
from dayshift.runtime.clock import RealClock
from dayshift.runtime.history import file, learn, meters, moments, samples
from dayshift.runtime.history.learn import Learned
from dayshift.runtime.history.rows import Recording
from dayshift.runtime.session import Workspace, context
from dayshift.runtime.settings import calibration_file
from dayshift.surfaces import words

Tell = Callable[[str], None]


def calibrate(
    cli: Cli,
    from_prometheus: FromPrometheus = False,
    from_samples: FromSamples = False,
    from_file: FromFile = None,
    live: Live = "",
    since: Annotated[str, typer.Option(help="How far back.")] = "4h",
    region: Annotated[
        str, typer.Option(metavar="REGION", help="Only this one as the returning one.")
    ] = "",
    stream: Annotated[
        str, typer.Option(help="What rows of a file without a stream are of.")
    ] = "",
    cumulative: Cumulative = False,
    write: Annotated[
        bool,
        typer.Option(
            "--write", help=f"Keep it as {calibration_file.NAME}, for every plan."
        ),
    ] = False,
) -> int:
    """Learn how the regions differ when nothing is wrong, before anyone drains.

    The gate compares a returning region with the others. How many errors are
    usual, whether they come in clusters, how much the regions' ratio wanders:
    that is learned here, and with it the smallest regression it could see.
    Without it, the gate holds where it would otherwise turn back.

    Example: `dayshift gate calibrate --since 4h`, then again with `--write`
    """
    estate = _estate(cli, optional=from_file is not None and not write)
    if write:
        _refuse_open_run(cli)
    chosen = _Chosen(from_prometheus, from_samples, from_file, live, cumulative)
    now_ms = RealClock().now().wall_ms
    since_ms = moment_ms(since, now_ms, "--since")
    with progress(cli.as_json) as tell:
        recording = chosen.read(cli, estate, (since_ms, now_ms), tell)
        tell("learning")
        learned = learn.learn(recording, now_ms, stream or _only_stream(estate), region)
    policy = estate.policy if estate else Policy()
    found = gate_words.smallest(policy.gate, learned.calibrations, policy.ramp_bp)
    path = _write(cli, estate, learned.calibrations) if write and estate else None
    if cli.as_json:
        _document(learned, found, path)
    else:
        show(learned, policy, found, recording.regions())
        _last_word(path)
    return EXIT_DONE


def _estate(cli: Cli, optional: bool) -> Estate | None:
    """The estate; where a file is read and nothing kept, there need be none."""
    try:
        return files.load_estate(cli)
    except SettingsInvalid as error:
        if optional and error.reason.code == "NO-ESTATE":
            return None
        raise


def _only_stream(estate: Estate | None) -> str:
    names = [one.name for one in estate.moving()] if estate else []
    return names[0] if len(names) == 1 else moments.STREAM_DEFAULT


class _Chosen:
    """Which source it is, as asked for or as there is one."""

    def __init__(
        self,
        prometheus: bool,
        samples_: bool,
        path: Path | None,
        live: str,
        cumulative: bool,
    ) -> None:
        given = {
            "--from-prometheus": prometheus,
            "--from-samples": samples_,
            "--from-file": path is not None,
            "--live": bool(live),
        }
        named = [option for option, one in given.items() if one]
        if len(named) > 1:
            raise typer.BadParameter(f"give one of {' and '.join(named)}")
        self.named = named[0] if named else ""
        self.path = path
        self.live_ms = span_ms(live, "--live") if live else 0
        self.cumulative = cumulative

    def read(
        self, cli: Cli, estate: Estate | None, window_ms: tuple[int, int], tell: Tell
    ) -> Recording:
        """Rows of the source.

        Raises:
            Refused: nothing has a past here; the reason names the ways out.
        """
        if self.path is not None:
            return self._file(cli, tell)
        assert estate is not None
        workspace = Workspace(cli.base)
        if self.named == "--from-samples":
            return _samples(workspace, estate, window_ms[0])
        return asyncio.run(self._meters(workspace, estate, window_ms, tell))

    def _file(self, cli: Cli, tell: Tell) -> Recording:
        assert self.path is not None
        path = cli.path(self.path)

        def told(rows: int) -> None:
            tell(f"reading {path}: {rows:,} rows")

        found = file.read_file(path, self.cumulative, told=told)
        return learn.before_return(found)

    async def _meters(
        self,
        workspace: Workspace,
        estate: Estate,
        window_ms: tuple[int, int],
        tell: Tell,
    ) -> Recording:
        clock = RealClock()
        drivers = wiring.wire(estate, None, context(workspace, estate, clock))
        try:
            if self.live_ms:
                return await meters.live(
                    meters.present(estate), drivers, clock, self.live_ms,
                    lambda left: tell(f"looking, {words.span(left)} left"),
                )  # fmt: skip
            sources = meters.with_past(estate, drivers)
            if sources:
                return await meters.past(sources, drivers, window_ms, True, tell)
        finally:
            await drivers.close()
        if self.named:
            raise Refused(_no_past(estate))
        return _samples(workspace, estate, window_ms[0])


def _samples(workspace: Workspace, estate: Estate, since_ms: int) -> Recording:
    found = Recording("samples", ())
    if peek(workspace) is not None:
        with JournalReader.open(workspace.state_dir, workspace.access()) as journal:
            side = SideFiles(workspace.state_dir)
            found = samples.from_samples(estate, journal, side, since_ms)
    if not found.rows:
        raise Refused(_nothing(found))
    return found


def _write(cli: Cli, estate: Estate, learned: tuple[Calibration, ...]) -> Path:
    """Keep what was learned, with what was known of other regions and streams."""
    path = cli.base / calibration_file.NAME
    known = {(one.stream, one.region): one for one in estate.calibrations}
    services = {one.name for one in estate.services}
    for one in learned:
        if one.stream.partition("/")[0] not in services:
            raise Refused(_other_stream(one.stream, services))
        if one.region not in estate.region_names():
            raise Refused(_other_region(one.region, estate))
        before = known.get((one.stream, one.region))
        if before is not None and before.trusted and not one.trusted:
            raise Refused(_worse(path, one))
        known[one.stream, one.region] = one
    ordered = [known[key] for key in sorted(known)]
    calibration_file.write_calibrations(path, estate.name, ordered)
    return path


def _refuse_open_run(cli: Cli) -> None:
    state = peek(Workspace(cli.base))
    if state is not None and state.open_run is not None:
        raise Refused(
            Reason(
                "RUN-OPEN",
                f"run {state.open_run.run} is open",
                because="its plan holds what was known when it began; with other files "
                "beside it, it could not go on",
                so="nothing was learned and nothing was written",
                next="without `--write` now, and with it when the run has ended",
            )
        )


def _document(learned: Learned, found: list[Smallest], path: Path | None) -> None:
    say.document(
        {
            "source": learned.source,
            "notes": learned.notes,
            "calibrations": learned.calibrations,
            "smallest": found,
            "written": str(path) if path else None,
        }
    )


def _last_word(path: Path | None) -> None:
    if path is not None:
        say.out(f"wrote {path}: part of every plan from now on")
    else:
        say.out(f"nothing was kept; `--write` keeps it beside {ESTATE_FILE}")


def _no_past(estate: Estate) -> Reason:
    return Reason(
        "NO-HISTORY",
        f"no meter of {estate.name} that may judge at the users' side has a past",
        because="only meters such as `prometheus` remember what they counted",
        so="nothing was learned",
        next="`--from-samples`, `--from-file FILE`, or look for a while: `--live 30m`",
    )


def _nothing(found: Recording) -> Reason:
    return Reason(
        "NO-HISTORY",
        "no meter has a past, and the journal has no samples with counts"
        if not found.notes
        else f"the samples say nothing: {'; '.join(found.notes)}",
        because="the gate learns from a time in which all regions served as usual",
        so="nothing was learned",
        next="look for a while: `--live 30m`; or `--from-file FILE`; or let a "
        "Prometheus count: driver `prometheus` on a meter of the users' side",
    )


def _other_stream(stream: str, services: set[str]) -> Reason:
    return Reason(
        "UNKNOWN-SERVICE",
        f"what was learned is of `{stream}`; there are {', '.join(sorted(services))}",
        because="a calibration is kept for a service of this estate",
        so="nothing was written",
        next="name it with `--stream SERVICE`",
    )


def _other_region(region: str, estate: Estate) -> Reason:
    return Reason(
        "UNKNOWN-REGION",
        f"what was learned is of region `{region}`; there are "
        f"{', '.join(estate.region_names())}",
        because="a calibration is kept for a region of this estate",
        so="nothing was written",
        next="rename the regions in the file as dayshift.yaml names them",
    )


def _worse(path: Path, one: Calibration) -> Reason:
    return Reason(
        "CALIBRATION-WORSE",
        f"{path.name} is trusted for {one.stream} in {one.region}; this is not: "
        f"{one.why}",
        because="less history must not replace more unasked",
        so="nothing was written",
        next=f"a longer `--since`; or remove {path} first",
    )
