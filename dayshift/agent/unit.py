"""What the agent may touch, in words and as a hardened systemd unit."""

from __future__ import annotations

import getpass
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from dayshift.agent.settings import Agent, DialRules
from dayshift.drivers.agents.tls import TlsFiles
from dayshift.drivers.base import RunsCommands
from dayshift.limits import DRIVER_TIMEOUT_MS, LEASE_MS_DEFAULT
from dayshift.runtime.wiring import options_of

WATCHDOG_S = 15
"""Half of the usual lease, and three times what a device may keep the agent waiting."""
assert DRIVER_TIMEOUT_MS * 3 <= WATCHDOG_S * 1_000 <= LEASE_MS_DEFAULT // 2


def privileges(agent: Agent, config: Path) -> list[str]:
    """Every file, address and right that this agent uses; nothing else."""
    tls = agent.tls
    lines = [
        f"user        {getpass.getuser()} (needs no root and no capability)",
        f"listens     {agent.listen}, TLS 1.3, certificates of {tls.ca}",
        f"tells       {_metrics(agent)}",
        f"obeys       controllers of estate {agent.estate}: "
        + (", ".join(agent.controllers) or "all that its authority signed"),
        f"reads       {config.resolve()}",
        *(f"reads       {one}" for one in tls_files(tls)),
        f"writes      {agent.state_dir}",
        "has         no shell",
    ]
    argvs = [argv for dial in agent.dials for argv in _commands(dial)]
    lines += [f"runs        {shlex.join(argv)}" for argv in argvs]
    if not argvs:
        lines.append("runs        no command")
    for dial in agent.dials:
        regions = ", ".join(dial.rules.regions)
        lines.append(f"dial        {dial.name} ({dial.ref.driver}): regions {regions}")
        lines += [f"  {key:<10}{value}" for key, value in _texts(dial.ref.options)]
    return lines


def _metrics(agent: Agent) -> str:
    if agent.metrics is None:
        return "nobody how it does (`metrics:` is not set)"
    return f"whoever is on this machine how it does, at {agent.metrics}/metrics"


def tls_files(files: TlsFiles) -> list[str]:
    """Every file or secret that TLS is made of."""
    return [one for one in msgspec.structs.astuple(files) if one]


def _commands(dial: DialRules) -> tuple[tuple[str, ...], ...]:
    """What the dial's driver runs, if it runs anything."""
    known = options_of("dials", dial.ref.driver)
    assert known is not None, "the settings let no unknown driver through"
    options = known.model_validate(dial.ref.options)
    return options.commands() if isinstance(options, RunsCommands) else ()


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text among a driver's options: its files, sockets and addresses."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from _texts(one, str(name))
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _texts(one, key)
    elif isinstance(value, str):
        yield key, value


def folders(agent: Agent) -> list[Path]:
    """Directories in which the dials' files are replaced."""
    found = {
        (agent.base_dir / text).parent
        for dial in agent.dials
        for words in [{word for argv in _commands(dial) for word in argv}]
        for key, text in _texts(dial.ref.options)
        if text not in words
        and ("file" in key or "socket" in key or text.startswith("/"))
    }
    return sorted(found)


def systemd(agent: Agent, config: Path) -> str:
    """A unit that gives it this and nothing more."""
    writes = "\n".join(f"ReadWritePaths={one}" for one in folders(agent))
    return f"""[Unit]
Description=Dayshift agent {agent.name} of estate {agent.estate}
After=network-online.target
Wants=network-online.target
# Started again however often it ends: an armed lease goes back only while it runs, and
# what is armed stands in its state directory and is counted on.
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={sys.executable} -m dayshift agent --config {config.resolve()}
User=dayshift-agent
Restart=always
RestartSec=1
# An agent that hangs carries out no lease: it is killed and started again.
WatchdogSec={WATCHDOG_S}
TimeoutStopSec=10
UMask=0077
ReadWritePaths={agent.state_dir}
{writes}
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
MemoryMax=256M
TasksMax=64

[Install]
WantedBy=multi-user.target
"""
