"""The dial suite against routing daemons: a speaker in fra and one in ber."""

from __future__ import annotations

import re
from typing import Any, Protocol

from ruamel.yaml import YAML

from dayshift.drivers.base import Dial
from dayshift.drivers.dials.bird import BirdDial
from dayshift.drivers.dials.exabgp import ExabgpDial
from dayshift.drivers.dials.frr import FrrDial
from dayshift.drivers.dials.gobgp import GobgpDial
from dayshift.drivers.dials.routes.mark import Mark, parse_mark, switch
from dayshift.model.dial import ALL, Setting
from tests.conformance.rigs import DialRig, context
from tests.kit.anycast import (
    PREFIXES,
    REGIONS,
    Bird,
    Exabgp,
    Frame,
    Frr,
    Gobgp,
    snippet,
)


def on(*regions: str) -> Setting:
    """A switch with just these regions on."""
    return switch({name: 10_000 * (name in regions) for name in REGIONS})


BOTH, FRA, BER = on("fra", "ber"), on("fra"), on("ber")


def page_options(page: str, frame: Frame) -> dict[str, Any]:
    """The options of the page's example, with the peer of the test."""
    (dial,) = YAML(typ="safe").load(snippet(page, "yaml"))["dials"]
    options: dict[str, Any] = dial["options"]
    return {
        **options,
        "peers": [frame.peer],
        "shut_pause": "30 ms",
        "settle": "3 s",
    }


class RouteRig(DialRig, Protocol):
    """A rig of routing daemons, which is brought back to its start."""

    frame: Frame
    options: dict[str, Any]

    def reset(self) -> None: ...


class SwitchRig:
    """Rows of a switch: nothing, everything, or both."""

    granularity_bp = 10_000
    lease_ms = 1_000

    def row(self, fra: int) -> Setting:
        return {0: BER, 10_000: FRA}.get(fra, BOTH)


class BirdDialRig(SwitchRig):
    """Two BIRDs, which live as long as the suite."""

    lease_ms = 5_000

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.birds = [
            Bird(frame.network, one, snippet("bird", "bird-speaker", one))
            for one in REGIONS
        ]
        self.options = page_options("bird", frame)
        for one, speaker in zip(self.birds, self.options["speakers"], strict=True):
            speaker |= {"file": str(one.defines), "command": one.command}

    def reset(self) -> None:
        """As before the first write of anybody."""
        for one in self.birds:
            one.defines.write_text(snippet("bird", "bird-defines"))
            one.start()
            one.ask("configure")
        self.frame.until(*REGIONS)

    def dial(self) -> Dial:
        return BirdDial("anycast", self.options, context(self.frame.network.place))

    def restart(self) -> None:
        fed = self._fed()
        for one in self.birds:
            one.stop()
            one.start()
        self.frame.until(*fed)

    def stop(self, instance: int) -> None:
        self.birds[instance].stop()

    def start(self, instance: int) -> None:
        self.birds[instance].start()
        self.frame.until(*self._fed())

    def tamper(self, instance: int, setting: Setting) -> None:
        one = self.birds[instance]
        text = one.defines.read_text()
        mark = self.mark(instance)
        new = Mark(mark.claim, setting.rows[ALL])
        announce = int(bool(setting.rows[ALL][REGIONS[instance]]))
        text = text.replace(f'"{mark}"', f'"{new}"')
        text = re.sub(r"(ANNOUNCE =) \d", rf"\1 {announce}", text)
        one.defines.write_text(text)
        one.ask("configure")
        self.frame.until(*self._fed())

    def mark(self, instance: int) -> Mark:
        found = re.search(r'MARK = "([^"]*)"', self.birds[instance].defines.read_text())
        mark = found and parse_mark(found[1])
        assert mark
        return mark

    def _fed(self) -> list[str]:
        return [
            region
            for one, region in zip(self.birds, REGIONS, strict=True)
            if one.daemon.alive and "ANNOUNCE = 1" in one.defines.read_text()
        ]

    def close(self) -> None:
        for one in self.birds:
            one.stop()


class FrrDialRig(SwitchRig):
    """Two FRRs, which live as long as the suite."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.config = [snippet("frr", "frr-speaker", one) for one in REGIONS]
        self.frrs = [
            Frr(frame.network, one, config, "bgpd")
            for one, config in zip(REGIONS, self.config, strict=True)
        ]
        self.options = page_options("frr", frame) | {"shut_pause": 0}
        for one, speaker in zip(self.frrs, self.options["speakers"], strict=True):
            speaker |= {"lock": str(one.place / "lock"), "command": one.command}

    def reset(self) -> None:
        """As before the first write of anybody."""
        for number, one in enumerate(self.frrs):
            one.start()
            self._write(number, Mark(None, BOTH.rows[ALL]), True)
        self.frame.until(*REGIONS)

    def dial(self) -> Dial:
        return FrrDial("anycast", self.options, context(self.frame.network.place))

    def restart(self) -> None:
        fed = self._fed()
        for one in self.frrs:
            one.stop()
            one.start()
        self.frame.until(*fed)

    def stop(self, instance: int) -> None:
        self.frrs[instance].stop()

    def start(self, instance: int) -> None:
        self.frrs[instance].start()
        self.frame.until(*self._fed())

    def tamper(self, instance: int, setting: Setting) -> None:
        row = setting.rows[ALL]
        mark = Mark(self.mark(instance).claim, row)
        self._write(instance, mark, bool(row[REGIONS[instance]]))
        self.frame.until(*self._fed())

    def mark(self, instance: int) -> Mark:
        saved = self.frrs[instance].saved.read_text()
        found = re.search(r"^ description (.*)$", saved, re.M)
        mark = found and parse_mark(found[1])
        assert mark
        return mark

    def _write(self, instance: int, mark: Mark, announce: bool) -> None:
        does = "permit" if announce else "deny"
        number = instance + 1
        said = self.frrs[instance].ask(
            "configure terminal",
            f"route-map ANYCAST {does} 10",
            f"description {mark}",
            "no set community",
            "end",
            f"clear bgp ipv4 unicast 10.0.{number}.1 soft out",
            f"clear bgp ipv6 unicast fd00:{number}::1 soft out",
            "write memory",
        )
        assert "%" not in said, said

    def _fed(self) -> list[str]:
        return [
            region
            for one, region in zip(self.frrs, REGIONS, strict=True)
            if one.alive and "ANYCAST permit" in one.saved.read_text()
        ]

    def close(self) -> None:
        for one in self.frrs:
            one.close()


class GobgpDialRig(SwitchRig):
    """Two GoBGPs, which live as long as the suite."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.gobgps = [Gobgp(frame.network, one) for one in REGIONS]
        self.options = page_options("gobgp", frame)
        for one, speaker in zip(self.gobgps, self.options["speakers"], strict=True):
            speaker |= {"file": str(one.routes), "command": one.command}

    def reset(self) -> None:
        """As before the first write of anybody."""
        for one, region in zip(self.gobgps, REGIONS, strict=True):
            one.routes.write_text(snippet("gobgp", "gobgp-file", region))
            one.start()
            self._say(one)
        self.frame.until(*REGIONS)

    def dial(self) -> Dial:
        return GobgpDial("anycast", self.options, context(self.frame.network.place))

    def restart(self) -> None:
        for one in self.gobgps:
            one.stop()
            one.start()
        self.frame.until(*self._fed())

    def stop(self, instance: int) -> None:
        self.gobgps[instance].stop()

    def start(self, instance: int) -> None:
        self.gobgps[instance].start()
        self.frame.until(*self._fed())

    def tamper(self, instance: int, setting: Setting) -> None:
        one, row = self.gobgps[instance], setting.rows[ALL]
        first = one.routes.read_text().splitlines()[0]
        mark = parse_mark(first.removeprefix("#"))
        assert mark
        whole = snippet("gobgp", "gobgp-file", REGIONS[instance]).splitlines()
        lines = whole[1:] if row[REGIONS[instance]] else []
        one.routes.write_text("\n".join([f"# {Mark(mark.claim, row)}", *lines, ""]))
        self._say(one)
        self.frame.until(*self._fed())

    def _say(self, one: Gobgp) -> None:
        for prefix in PREFIXES:
            family = "ipv6" if ":" in prefix else "ipv4"
            one.ask("global", "rib", "del", "-a", family, prefix)
        for line in one.routes.read_text().splitlines()[1:]:
            one.ask(*line.split())

    def _fed(self) -> list[str]:
        return [
            region
            for one, region in zip(self.gobgps, REGIONS, strict=True)
            if one.daemon.alive and "rib add" in one.routes.read_text()
        ]

    def close(self) -> None:
        for one in self.gobgps:
            one.stop()


class ExabgpDialRig(SwitchRig):
    """Two ExaBGPs, which live as long as the suite."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.exabgps = [Exabgp(frame.network, one) for one in REGIONS]
        self.options = page_options("exabgp", frame)
        for one, speaker in zip(self.exabgps, self.options["speakers"], strict=True):
            speaker |= {"file": str(one.routes), "pipe": str(one.pipe)}

    def reset(self) -> None:
        """As before the first write of anybody."""
        for one, region in zip(self.exabgps, REGIONS, strict=True):
            one.routes.write_text(snippet("exabgp", "exabgp-file", region))
            one.start()
            one.say(*self.lines(region, "announce"))
        self.frame.until(*REGIONS)

    def dial(self) -> Dial:
        return ExabgpDial("anycast", self.options, context(self.frame.network.place))

    def restart(self) -> None:
        fed = self._fed()
        for one in self.exabgps:
            one.stop()
            one.start()
        self.frame.until(*fed)

    def stop(self, instance: int) -> None:
        self.exabgps[instance].stop()

    def start(self, instance: int) -> None:
        self.exabgps[instance].start()
        self.frame.until(*self._fed())

    def tamper(self, instance: int, setting: Setting) -> None:
        one, region, row = self.exabgps[instance], REGIONS[instance], setting.rows[ALL]
        mark = parse_mark(one.routes.read_text().splitlines()[0].removeprefix("#"))
        assert mark
        lines = self.lines(region, "announce") if row[region] else []
        one.routes.write_text("\n".join([f"# {Mark(mark.claim, row)}", *lines, ""]))
        one.say(*self.lines(region, "announce" if row[region] else "withdraw"))
        self.frame.until(*self._fed())

    def lines(self, region: str, verb: str) -> list[str]:
        """What an operator would tell this region's ExaBGP."""
        whole = snippet("exabgp", "exabgp-file", region).replace("announce", verb)
        return whole.splitlines()[1:]

    def _fed(self) -> list[str]:
        return [
            region
            for one, region in zip(self.exabgps, REGIONS, strict=True)
            if one.daemon.alive and "announce" in one.routes.read_text()
        ]

    def close(self) -> None:
        for one in self.exabgps:
            one.close()
