"""`dayshift dials`: every kind of dial that is installed, and this estate's own.

Here: asking entry points and dials, and showing what they say. Nothing is moved.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from dayshift.cli import files, say
from dayshift.cli.everywhere import ESTATE_FILE, Cli
from dayshift.drivers.base import Dial
from dayshift.errors import EXIT_DONE, Reason, SettingsInvalid
from dayshift.limits import READ_TIMEOUT_MS
from dayshift.model.dial import ALL, Abilities, DialKind, InstanceReading, Setting
from dayshift.model.estate import DialSpec, Estate
from dayshift.model.units import percent
from dayshift.runtime import wiring
from dayshift.runtime.clock import RealClock
from dayshift.runtime.session import Workspace, context

LOG_WIDTH = 200


class DriverStory(msgspec.Struct, frozen=True):
    """One installed driver; what it offers depends on its options where there are
    several, and is empty where only a configured dial can say it."""

    driver: str
    says: str
    offers: tuple[Abilities, ...]
    package: str
    fault: str = ""


class DialStory(msgspec.Struct, frozen=True):
    """One dial of the estate, as it answered now."""

    dial: str
    service: str
    driver: str
    agents: tuple[str, ...]
    abilities: Abilities
    instances: tuple[InstanceReading, ...]

    @property
    def reachable(self) -> bool:
        """True when every instance says what it does."""
        return all(one.setting is not None and not one.fault for one in self.instances)


def _drivers(incomplete: str) -> list[str]:
    return [one for one in wiring.available("dials") if one.startswith(incomplete)]


Driver = Annotated[
    str,
    typer.Argument(
        help="Only this driver, and the dials that it steers.",
        autocompletion=_drivers,
    ),
]


def dials(cli: Cli, driver: Driver = "") -> int:
    """List the kinds of dial that are installed, with what each can do.

    Inside an estate also its own dials: every instance, whether it can be reached now,
    what it shows and whose claim it carries. Reads only; `dayshift check` judges.

    [bold]step[/bold] is the smallest share that it can hold; [bold]lease[/bold] whether
    the device goes back by itself; [bold]fence[/bold] how far its comparison of claims
    reaches (`device`: every controller; `machine`: those of one machine only, so put it
    behind `dayshift agent` where several exist); [bold]settles[/bold] how long users
    may still go the old way.

    Example: `dayshift dials`, `dayshift dials haproxy --json`. Write your own:
    docs/write-your-own-dial.md.
    """
    known = wiring.available("dials")
    if driver and driver not in known:
        raise SettingsInvalid((_unknown(driver, sorted(known)),))
    kinds = [kind_of(one) for one in known.values() if driver in ("", one.name)]
    kinds.sort(key=lambda one: one.driver)
    estate = _estate(cli)
    found = asyncio.run(_look(cli, estate, driver)) if estate else []
    if cli.as_json:
        shown = [{**msgspec.to_builtins(d), "reachable": d.reachable} for d in found]
        say.document({"kinds": kinds, "dials": shown})
        return EXIT_DONE
    _print(kinds, found)
    if estate is None:
        say.out("no dayshift.yaml here: `dayshift init` writes one")
    return EXIT_DONE


def kind_of(entry: EntryPoint) -> DriverStory:
    """What an installed driver says of itself; one that cannot be loaded says that."""
    package = entry.dist.name if entry.dist else ""
    try:
        known = entry.load()
    except Exception as error:  # a driver of others
        fault = f"cannot be loaded: {type(error).__name__}: {error}"
        return DriverStory(entry.name, "", (), package, fault)
    told = inspect.getdoc(inspect.getmodule(known)) or inspect.getdoc(known) or ""
    first = told.splitlines()[0] if told else ""
    says = first.removeprefix(f"Dial `{entry.name}`: ")
    offers = tuple(getattr(known, "OFFERS", ()))
    return DriverStory(entry.name, says, offers, package)


def _estate(cli: Cli) -> Estate | None:
    try:
        here = (cli.base / ESTATE_FILE).is_file()
    except SettingsInvalid:
        return None
    return files.load_estate(cli) if here else None


async def _look(cli: Cli, estate: Estate, driver: str) -> list[DialStory]:
    clock = RealClock()
    drivers = wiring.wire(estate, None, context(Workspace(cli.base), estate, clock))
    wanted = [
        (service.name, spec)
        for service in estate.services
        for spec in service.dials
        if driver in ("", spec.ref.driver)
    ]
    try:
        work = (_read(name, spec, drivers.dials[spec.name]) for name, spec in wanted)
        return list(await asyncio.gather(*work))
    finally:
        await drivers.close()


async def _read(service: str, spec: DialSpec, dial: Dial) -> DialStory:
    try:
        reading = await RealClock().within(READ_TIMEOUT_MS, dial.read())
        instances = reading.instances
    except TimeoutError:
        fault = f"no answer within {READ_TIMEOUT_MS} ms"
        instances = (InstanceReading(spec.name, None, None, fault),)
    return DialStory(
        spec.name, service, spec.ref.driver, spec.agents, dial.describe(), instances
    )


def _print(kinds: list[DriverStory], found: list[DialStory]) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = LOG_WIDTH
    table = _table("driver", "kind", "step", "lease", "fence", "settles", "what it is")
    for kind in kinds:
        for row in _kind_rows(kind):
            table.add_row(*row)
    console.print(table, markup=False)
    if found:
        console.print()
        own = _table("dial", "instance", "reached", "shows", "claim", "fault")
        for dial in found:
            for row in _dial_rows(dial):
                own.add_row(*row)
        console.print(own, markup=False)
    elif kinds:
        console.print()


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, overflow="fold", header_style="bold")
    return table


def _kind_rows(kind: DriverStory) -> Iterator[tuple[str, ...]]:
    says = kind.fault or kind.says
    if not kind.offers:
        yield (kind.driver, "?", "?", "?", "?", "?", says)
    for number, one in enumerate(kind.offers):
        named = ("", "") if number else (kind.driver, says)
        yield (named[0], *_able(one), named[1])


def _able(able: Abilities) -> tuple[str, ...]:
    step = "on/off" if able.kind is DialKind.SWITCH else percent(able.granularity_bp)
    lease = "yes" if able.lease else "no"
    settles = f"{able.propagation_ms} ms"
    return (able.kind.value, step, lease, able.fence.value, settles)


def _dial_rows(dial: DialStory) -> Iterator[tuple[str, ...]]:
    for number, one in enumerate(dial.instances):
        name = "" if number else f"{dial.dial} ({dial.driver}, {dial.service})"
        reached = "yes" if one.setting is not None else "NO"
        claim = str(one.claim) if one.claim else "none"
        yield (name, one.instance, reached, _shows(one.setting), claim, one.fault)


def _shows(setting: Setting | None) -> str:
    if setting is None:
        return "?"
    rows = []
    for key, row in sorted(setting.rows.items()):
        shares = ", ".join(f"{region} {percent(one)}" for region, one in row.items())
        rows.append(shares if key == ALL else f"{key}: {shares}")
    return "; ".join(rows)


def _unknown(driver: str, known: list[str]) -> Reason:
    return Reason(
        "DRIVER-UNKNOWN",
        f"there is no dial driver {driver!r}",
        because=f"installed are: {', '.join(known)}",
        so="nothing was read",
        next="`dayshift dials` lists them; install the package that brings it",
    )
