"""What the agent may touch, in words and as a hardened systemd unit."""

from __future__ import annotations

import getpass
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dayshift.agent.settings import Agent, DialRules
from dayshift.drivers.base import RunsCommands
from dayshift.runtime.wiring import options_of


def privileges(agent: Agent, config: Path) -> list[str]:
    """Every file, address and right that this agent uses; nothing else."""
    tls = agent.tls
    lines = [
        f"user        {getpass.getuser()} (needs no root and no capability)",
        f"listens     {agent.host}:{agent.port}, TLS 1.3, certificates of {tls.ca}",
        f"obeys       controllers of estate {agent.estate}: "
        + (", ".join(agent.controllers) or "all that its authority signed"),
        f"reads       {config.resolve()}",
        *(f"reads       {one}" for one in (tls.ca, tls.cert, tls.key)),
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

[Service]
ExecStart={sys.executable} -m dayshift agent --config {config.resolve()}
User=dayshift-agent
Restart=always
RestartSec=1
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
