"""`dayshift rehearse`: the operator's own plan, hundreds of times, with faults."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace

from dayshift.cli import files, fitting, looking, say
from dayshift.cli.everywhere import Cli
from dayshift.cli.plan import measure
from dayshift.cli.rehearse_page import page
from dayshift.core import review
from dayshift.errors import EXIT_DONE, EXIT_ERROR, Refused
from dayshift.model.plan import Plan, Verb
from dayshift.rehearsal import advice, rehearsed, summary, transcript
from dayshift.rehearsal.campaign import Progress, campaign, keep
from dayshift.rehearsal.faults import find
from dayshift.rehearsal.play import Result, play
from dayshift.runtime.clock import RealClock
from dayshift.runtime.session import Workspace, make_plan
from dayshift.surfaces import words

Runs = Annotated[int, typer.Option("--runs", "-n", min=1, help="How many rehearsals.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The first seed.")]
Replay = Annotated[
    int | None,
    typer.Option("--replay", metavar="SEED", help="One rehearsal, whole, in words."),
]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="FAULT", help="This fault, every time; repeatable."),
]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=0, help="Processes. 0: cores.")]
Keep = Annotated[
    Path | None,
    typer.Option("--keep", metavar="DIR", help="Write every result there, as JSON."),
]
Measured = Annotated[
    bool,
    typer.Option("--measure", help="Read the meters first: the load of this moment."),
]


def rehearse(
    cli: Cli,
    change: Annotated[Path, typer.Argument(help="What to do: a change file.")],
    runs: Runs = 200,
    seed: Seed = 0,
    replay: Replay = None,
    only: Only = None,
    jobs: Jobs = 0,
    keep_in: Keep = None,
    measured: Measured = False,
) -> int:
    """Run the plan in a simulated estate while things go wrong; nothing real moves.

    The real orchestrator, core and gate run in simulated time: dials lie, meters fall
    silent, the controller dies, people ask for the wrong thing. Prints how the
    rehearsals ended, who was hurt, and what to change in the policy. Exit code 1 if a
    promise was broken (the seed replays it), 0 otherwise, however they ended.

    Example: `dayshift rehearse change.yaml --runs 500`, then `--replay 17`.
    """
    faults = tuple(find(name).name for name in only or ())
    plan = _plan(cli, change, measured)
    if replay is not None:
        return _replay(cli, plan, replay, faults)
    clock = RealClock()
    results = campaign(
        plan,
        range(seed, seed + runs),
        lambda: clock.now().mono_ms,
        faults,
        jobs,
        lambda progress: None if cli.as_json else _show(progress),
    )
    _clear(cli)
    for one in results if keep_in else ():
        keep(one, cli.path(keep_in or Path()))
    found = summary.summarise(plan.digest, runs, results)
    advised = advice.advise(plan, results, found)
    if not faults:
        rehearsed.note(Workspace(cli.base).state_dir, found, clock.now().wall_ms)
    if cli.as_json:
        bad = [one for one in results if one.violations]
        say.document(
            {"ok": not bad, "summary": found, "advice": advised, "violations": bad}
        )
    else:
        for line in page(found, advised, change.name):
            say.out(line)
        _show_worst(plan, results, faults)
    return EXIT_ERROR if found.violations else EXIT_DONE


def _plan(cli: Cli, change: Path, measured: bool) -> Plan:
    estate = files.load_estate(cli)
    wanted = files.load_change(cli, change, estate)
    made = make_plan(estate, wanted, Verb.MAINTAIN)
    found = review.faults(made)
    found += asyncio.run(fitting.faults(Workspace(cli.base), made))
    if found:
        raise Refused(found[0])
    if measured:
        seen = asyncio.run(looking.look(Workspace(cli.base), estate, wanted))
        made = replace(made, measured=measure(made, seen.sight))
    return made


def _replay(cli: Cli, plan: Plan, seed: int, only: tuple[str, ...]) -> int:
    played = play(plan, seed, only)
    if cli.as_json:
        say.document({"result": played.result, "records": played.history.records})
    else:
        for line in transcript.lines(played):
            say.out(line)
    return EXIT_ERROR if played.result.violations else EXIT_DONE


def _show(progress: Progress) -> None:
    """One line that is written over; a violation is said as soon as it is known."""
    if not sys.stderr.isatty():
        return
    left = f", {words.span(progress.left_s * 1000)} left" if progress.done else ""
    bad = (
        f", {progress.violations} with a broken promise" if progress.violations else ""
    )
    sys.stderr.write(f"\r\x1b[K{progress.done} of {progress.runs} rehearsed{left}{bad}")
    sys.stderr.flush()


def _clear(cli: Cli) -> None:
    """Nothing is left of that line, also where Ctrl-C stands in it."""
    if sys.stderr.isatty() and not cli.as_json:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


def _show_worst(plan: Plan, results: list[Result], only: tuple[str, ...]) -> None:
    """The first violation whole, the others by their seed."""
    bad = [one for one in results if one.violations]
    if not bad:
        return
    say.out("")
    for line in transcript.lines(play(plan, bad[0].seed, only)):
        say.out(line)
    if len(bad) > 1:
        say.out("")
        say.out("others")
        for line in transcript.brief(bad[1:20]):
            say.out(line)
