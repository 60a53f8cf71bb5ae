"""`agent.yaml`: what one agent may touch, for whom, and its own guards.

Read as strictly as the estate file, with the same words for what is wrong.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from pydantic import Field

from dayshift.agent.guards import Rules
from dayshift.drivers.agents.tls import TlsFiles
from dayshift.model.estate import DriverRef
from dayshift.model.units import row_fault
from dayshift.runtime.settings.forms import Driven, Strict
from dayshift.runtime.settings.shape import Drivers, form_of, installed
from dayshift.runtime.settings.units import Name, Percent, name_fault
from dayshift.runtime.settings.yaml_source import Path_, Source, read
from dayshift.runtime.wiring import options_of

ADDRESS = r"^\[?[0-9a-zA-Z.:-]+\]?:[0-9]{1,5}$"
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class TlsFile(Strict):
    """Certificates: paths beside this file, or references to secrets."""

    ca: str = Field(description="The authority that signs controllers and agents.")
    cert: str = Field(description="This agent's certificate.")
    key: str = Field(description="Its key, mode 0600.")
    revoked: str = Field(
        default="",
        description="The authority's list of revoked certificates, `revoked.pem`, a "
        "path. Absent: a controller's certificate counts until its end.",
    )


class BoundsFile(Strict):
    """The least and the most share of one region."""

    least: Percent = Field(default=0, description="Never less than this.")
    most: Percent = Field(default=10_000, description="Never more than this.")


class AgentDialFile(Driven):
    """One dial that this agent may touch, and what it may never show."""

    regions: list[Name] = Field(
        min_length=1, description="The only regions that a setting may name."
    )
    serving: int = Field(
        default=1,
        ge=1,
        description="So many of the regions that a setting feeds must be proven to "
        "serve.",
    )
    never_zero_together: list[list[Name]] = Field(
        default_factory=list,
        description="Groups of regions of which one at least keeps a share.",
    )
    allowed: list[dict[Name, Percent]] = Field(
        default_factory=list,
        description="The only rows of shares there are. Absent: any within bounds.",
    )
    bounds: dict[Name, BoundsFile] = Field(
        default_factory=dict, description="Least and most share of a region."
    )


class AgentSettingsFile(Strict):
    """The agent of one machine."""

    name: Name = Field(description="As under `agents:` in dayshift.yaml.")
    estate: Name = Field(description="Only controllers of this estate are obeyed.")
    listen: str = Field(
        pattern=ADDRESS,
        description="Where it listens, address:port; name the address, not all.",
    )
    metrics: str = Field(
        default="",
        pattern=f"{ADDRESS}|^$",
        description="Where Prometheus may scrape it, as 127.0.0.1:9470; loopback "
        "only. Absent: nowhere.",
    )
    state: str = Field(
        default="agent-state",
        description="Directory for what must survive a restart.",
    )
    tls: TlsFile = Field(description="Mutual TLS; nothing else is spoken.")
    controllers: list[Name] = Field(
        default_factory=list,
        description="Names of the controllers it obeys. Absent: all of the estate; "
        "leaving a name out takes its certificate's power away.",
    )
    dials: dict[Name, AgentDialFile] = Field(
        min_length=1, description="The dials it may touch."
    )


class DialRules(msgspec.Struct, frozen=True):
    """One dial: its driver, and the agent's guards."""

    name: str
    ref: DriverRef
    rules: Rules


class Address(msgspec.Struct, frozen=True):
    """Where something listens."""

    host: str
    port: int

    def __str__(self) -> str:
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"{shown}:{self.port}"


class Agent(msgspec.Struct, frozen=True):
    """The file's meaning."""

    name: str
    estate: str
    listen: Address
    metrics: Address | None
    base_dir: Path
    state_dir: Path
    tls: TlsFiles
    controllers: tuple[str, ...]
    dials: tuple[DialRules, ...]


def load(path: Path) -> Agent:
    """Read `agent.yaml`.

    Raises:
        SettingsInvalid: all that is wrong with it, with lines.
    """
    source = read(path)
    file = form_of(AgentSettingsFile, source)
    _rules(file, source)
    drivers = Drivers(source, options_of, installed)
    for name, dial in file.dials.items():
        drivers.check("dials", dial.driver, dial.options, ("dials", name, "driver"))
    source.check()
    base = path.resolve().parent
    tls = TlsFiles(file.tls.ca, file.tls.cert, file.tls.key, file.tls.revoked)
    return Agent(
        file.name,
        file.estate,
        _address(file.listen),
        _address(file.metrics) if file.metrics else None,
        base,
        base / file.state,
        tls,
        tuple(file.controllers),
        tuple(_dial(name, one) for name, one in file.dials.items()),
    )


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return Address(host.strip("[]"), int(port))


def _dial(name: str, file: AgentDialFile) -> DialRules:
    rules = Rules(
        tuple(file.regions),
        file.serving,
        tuple(tuple(group) for group in file.never_zero_together),
        tuple(dict(row) for row in file.allowed),
        {region: (one.least, one.most) for region, one in file.bounds.items()},
    )
    return DialRules(name, DriverRef(file.driver, file.options), rules)


def _rules(file: AgentSettingsFile, source: Source) -> None:
    """What no form can say: names, and groups and rows of the dial's own regions."""
    for path, name in _names(file):
        fault = name_fault(name)
        if fault:
            source.fault("NAME-INVALID", path, fault, "write a name")
    if file.listen.startswith(("0.0.0.0:", "[::]:", ":::")):
        what = f"is `{file.listen}`, which is every address of this machine"
        source.fault("LISTEN-ALL", ("listen",), what, "name one address")
    if file.metrics and _address(file.metrics).host not in LOOPBACK:
        what = f"is `{file.metrics}`, which others than this machine may reach"
        known = f"name a loopback address: {', '.join(LOOPBACK)}"
        source.fault("METRICS-NOT-LOOPBACK", ("metrics",), what, known)
    for name, dial in file.dials.items():
        here: Path_ = ("dials", name)
        for number, group in enumerate(dial.never_zero_together):
            at: Path_ = (*here, "never_zero_together", number)
            _known(group, dial.regions, at, source)
        _known(list(dial.bounds), dial.regions, (*here, "bounds"), source)
        for number, row in enumerate(dial.allowed):
            at = (*here, "allowed", number)
            _known(list(row), dial.regions, at, source)
            why = row_fault(row)
            if why:
                source.fault("ROW-INVALID", at, why, "let it sum to 100 %")


def _names(file: AgentSettingsFile) -> list[tuple[Path_, str]]:
    names: list[tuple[Path_, str]] = [
        (("name",), file.name),
        (("estate",), file.estate),
    ]
    for dial, one in file.dials.items():
        names.append((("dials", dial), dial))
        for number, region in enumerate(one.regions):
            names.append((("dials", dial, "regions", number), region))
    return names


def _known(names: list[str], regions: list[str], at: Path_, source: Source) -> None:
    for name in names:
        if name not in regions:
            what = f"names `{name}`, which is not one of its regions"
            source.fault("REGION-UNKNOWN", at, what, f"known: {', '.join(regions)}")
