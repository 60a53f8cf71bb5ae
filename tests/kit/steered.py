"""A whole estate around a dial of routes or of names: regions, users, dayshift.yaml.

    users -> a region's door (any of its addresses) -> its edge -> its app

Users open a new connection for each request, at the address that they are routed to or
that they look up, and write down who answered. Doors and edges are HAProxys of their
own, so that two meters count apart.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.kit.daemons import Daemon
from tests.kit.haproxies import Edge, Haproxy

POLICY: dict[str, Any] = {
    "serving": 1,
    "headroom": "85 %",
    "drain": ["0 %"],
    "drain_dwell": "300 ms",
    "ramp": ["50 %"],
    "soak": "1 s",
    "quiet": "3 s",
    "fresh": "3 s",
    "empty_limit": "2 min",
    "probe_streak": 2,
    "blind_limit": "1 min",
    "absence_limit": "1 h",
    "return_time": "1 min",
    "lease": "30 s",
    "approvals": 0,
    "gate": {
        "blast_radius": "5 %",
        "absolute_errors": "5 %",
        "dwell": "0 s",
        "harm_requests": 50,
        "warmup": "0 s",
        "calibration": {"trusted": True, "dispersion": 1.0, "variation": 0.0},
    },
}
CHANGE = {
    "change": "cables",
    "reason": "work in the room",
    "regions": [{"region": "fra"}],
    "steps": [
        {
            "name": "look",
            "worker": "command",
            "limit": "1 min",
            "options": {"argv": ["/bin/sleep", "2"], "undo": ["/bin/true"]},
        }
    ],
}
USERS = Path(__file__).with_name("steered_users.py")


class RegionEdge(Edge):
    """The edge of a region, behind its door."""

    def __init__(self, place: Path, name: str, inside: Sequence[str]) -> None:
        self._inside = list(inside)
        super().__init__(place, name)

    def _made(self, *more: str) -> Daemon:
        return Daemon([*self._inside, *self._argv, *more], self.place / "haproxy.log")


class Door(Haproxy):
    """Where users and probes come in."""

    def __init__(
        self, place: Path, addresses: Sequence[str], edge: int, inside: Sequence[str]
    ) -> None:
        self._inside = list(inside)
        binds = "".join(f"  bind {one}\n" for one in addresses)
        super().__init__(
            place,
            f"frontend door\n{binds}"
            "  use_backend probes if { hdr(x-dayshift-probe) -m found }\n"
            "  default_backend users\n"
            f"backend users\n  server edge 127.0.0.1:{edge}\n"
            f"backend probes\n  server edge 127.0.0.1:{edge}\n",
        )

    def _made(self, *more: str) -> Daemon:
        return Daemon([*self._inside, *self._argv, *more], self.place / "haproxy.log")


class Region:
    """Door and edge of one region; the app answers with the region's name."""

    def __init__(
        self, place: Path, name: str, addresses: Sequence[str], inside: Sequence[str]
    ) -> None:
        self.name = name
        self.edge = RegionEdge(place / f"{name}-edge", name, inside)
        self.door = Door(place / f"{name}-door", addresses, self.edge.port, inside)

    def start(self) -> None:
        self.edge.start()
        self.door.start()

    def stop(self) -> None:
        self.door.stop()
        self.edge.stop()


class Users:
    """Users of one name or address, from now until they are ended."""

    def __init__(self, log: Path, inside: Sequence[str], *words: str) -> None:
        self._log = log
        log.touch()
        self._process = subprocess.Popen(
            [*inside, sys.executable, str(USERS), str(log), *words],
            stdin=subprocess.DEVNULL,
        )

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(30)

    def seen(self) -> int:
        """How many requests were made until now."""
        return len(self._log.read_text().splitlines())

    def answers(self, since: int = 0) -> Counter[str]:
        """Who answered how often, from request number `since` on; what failed is told
        by its cause."""
        return Counter(self._log.read_text().splitlines()[since:])


class Steered:
    """The folder of an estate, and `dayshift` in it."""

    def __init__(
        self,
        place: Path,
        regions: Sequence[Region],
        dial: dict[str, Any],
        probes: dict[str, str],
        policy: dict[str, Any],
        inside: Sequence[str] = (),
    ) -> None:
        self.place, self._inside = place, list(inside)
        names = [one.name for one in regions]
        meters = [
            _meter("door", "users", {one.name: one.door for one in regions}),
            _meter("edge", "region", {one.name: one.edge for one in regions}),
        ]
        meters[1]["gate"] = False
        probe = {"class": "probe", "disposition": "expected", "source": "dayshift"}
        service = {
            "shares": dict.fromkeys(names, "50 %"),
            "capacity_rps": dict.fromkeys(names, 900),
            "dials": [dial],
            "meters": meters,
            "probes": [{"name": "shop", "driver": "http", "options": {"urls": probes}}],
            "residue": [{**probe, "ceiling_rpm": 600}],
        }
        estate = {
            "estate": "demo",
            "regions": {name: {"title": name} for name in names},
            "services": {"shop": service},
            "policy": {**POLICY, **policy},
        }
        (place / "dayshift.yaml").write_text(json.dumps(estate, indent=1))
        (place / "change.yaml").write_text(json.dumps(CHANGE, indent=1))

    def dayshift(self, *words: str) -> subprocess.CompletedProcess[str]:
        """What an operator types, to its end."""
        return subprocess.run(
            [*self._inside, sys.executable, "-m", "dayshift", *words],
            cwd=self.place,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )


def _meter(name: str, side: str, at: dict[str, Haproxy]) -> dict[str, Any]:
    regions = {
        region: {
            "socket": str(one.socket),
            "users": "users",
            "ignored": {"probe": "probes"},
        }
        for region, one in at.items()
    }
    return {
        "name": name,
        "side": side,
        "driver": "haproxy",
        "options": {"regions": regions},
    }
