"""A small network of namespaces: one transit router, one speaker in each region.

    fra  10.0.1.2 ── 10.0.1.1  transit  10.0.2.1 ── 10.0.2.2  ber

Every speaker has the anycast addresses. The daemons' configurations are the snippets of
the pages in docs/dials, with the addresses of the region and the paths of the test.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.kit.daemons import Daemon, eventually, need
from tests.tidy.code import ROOT

REGIONS = ("fra", "ber")
PREFIXES = ("192.0.2.1/32", "2001:db8::1/128")
SYSCTLS = (
    *("net.ipv4.ip_forward=1", "net.ipv4.fib_multipath_hash_policy=1"),
    *("net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0"),
    *("net.ipv6.conf.all.keep_addr_on_down=1", "net.ipv6.conf.all.forwarding=1"),
)
SBIN = ("/usr/sbin", "/usr/lib/frr")


def snippet(page: str, label: str, region: str = "fra") -> str:
    """One block of a page in docs/dials, as an operator of `region` would adapt it."""
    text = (ROOT / "docs" / "dials" / f"{page}.md").read_text()
    found = re.search(rf"^```{label}\n(.*?)^```$", text, re.M | re.S)
    assert found, f"docs/dials/{page}.md has no block {label}"
    if region == "fra":
        return found[1]
    number = REGIONS.index(region) + 1
    return (
        found[1]
        .replace("10.0.1.", f"10.0.{number}.")
        .replace("fd00:1::", f"fd00:{number}::")
    )


def ip(*words: str, check: bool = True) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr}")
    return done.stdout


class Network:
    """The namespaces and their links."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._tag = f"ds{secrets.token_hex(3)}"

    def space(self, name: str) -> str:
        return f"{self._tag}-{name}"

    def inside(self, name: str, *words: str) -> list[str]:
        return ["ip", "netns", "exec", self.space(name), *words]

    def run(self, name: str, *words: str) -> str:
        done = subprocess.run(
            self.inside(name, *words), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def link(self, region: str, state: str) -> None:
        """Take the region's link down at the transit router, or up."""
        ip("-n", self.space("transit"), "link", "set", "dev", f"to-{region}", state)

    def kernel(self, prefix: str) -> list[str]:
        """The next hops of the transit router's kernel."""
        family = "-6" if ":" in prefix else "-4"
        text = self.run("transit", "ip", "-j", family, "route", "show", prefix)
        routes: list[dict[str, Any]] = json.loads(text or "[]")
        hops = [hop for one in routes for hop in [one, *one.get("nexthops", [])]]
        return sorted(str(one["gateway"]) for one in hops if "gateway" in one)

    def build(self) -> None:
        for name in ("transit", *REGIONS):
            ip("netns", "add", self.space(name))
            self.run(name, "sysctl", "-qw", *SYSCTLS)
            ip("-n", self.space(name), "link", "set", "lo", "up")
        for number, region in enumerate(REGIONS, 1):
            self._connect(number, region)

    def _connect(self, number: int, region: str) -> None:
        here, there = self.space("transit"), self.space(region)
        near = f"to-{region}"
        ends = (
            "link",
            "add",
            near,
            "type",
            "veth",
            "peer",
            "name",
            "up",
            "netns",
            there,
        )
        ip("-n", here, *ends)
        for space, device, host in ((here, near, 1), (there, "up", 2)):
            for address in (f"10.0.{number}.{host}/24", f"fd00:{number}::{host}/64"):
                ip("-n", space, "addr", "add", address, "dev", device)
            ip("-n", space, "link", "set", "dev", device, "up")
        for prefix in PREFIXES:
            ip("-n", there, "addr", "add", prefix, "dev", "lo")

    def remove(self) -> None:
        for name in ("transit", *REGIONS):
            ip("netns", "del", self.space(name), check=False)


class Bird:
    """One BIRD in one namespace."""

    def __init__(self, network: Network, name: str, config: str) -> None:
        self.place = network.place / f"bird-{name}"
        self.place.mkdir()
        self.defines = self.place / "dayshift.conf"
        self.config = self.place / "bird.conf"
        self.config.write_text(
            config.replace("/etc/bird/dayshift.conf", str(self.defines))
        )
        self.socket = self.place / "bird.ctl"
        self.command = [need("birdc", "bird2", *SBIN), "-s", str(self.socket)]
        program = need("bird", "bird2", *SBIN)
        argv = [program, "-f", "-c", str(self.config), "-s", str(self.socket)]
        self.daemon = Daemon(
            [*network.inside(name), *argv, "-P", str(self.place / "pid")],
            self.place / "log",
        )

    def start(self) -> None:
        if not self.daemon.alive:
            self.daemon.start()
        eventually(lambda: "up and running" in self.ask("show", "status"), "BIRD is up")

    def stop(self) -> None:
        self.daemon.kill()

    def ask(self, *words: str) -> str:
        done = subprocess.run(
            [*self.command, *words], capture_output=True, text=True, check=False
        )
        return done.stdout


class Frame:
    """A network with its transit router; rigs put speakers into it."""

    def __init__(self, network: Network, router: Any, peer: Mapping[str, Any]) -> None:
        self.network = network
        self.router = router
        self.peer = dict(peer)

    def rests(self, *fed: str) -> bool:
        """True when the transit router's kernel sends to just these regions."""
        wanted = [REGIONS.index(one) + 1 for one in fed]
        return all(
            self.network.kernel(prefix)
            == sorted(
                f"fd00:{n}::2" if ":" in prefix else f"10.0.{n}.2" for n in wanted
            )
            for prefix in PREFIXES
        )

    def until(self, *fed: str) -> None:
        eventually(lambda: self.rests(*fed), f"the kernel sends to {fed}", 20)


@contextmanager
def network(place: Path) -> Iterator[Network]:
    """Namespaces, or a skip with the reason."""
    if os.geteuid() != 0:
        pytest.skip("only root has network namespaces")
    need("ip", "iproute2", *SBIN)
    assert shutil.which("sysctl"), "no sysctl here (Debian: apt install procps)"
    found = Network(place)
    try:
        found.build()
        yield found
    finally:
        found.remove()


@contextmanager
def bird_transit(place: Path) -> Iterator[Frame]:
    """A network whose transit router is a BIRD."""
    with network(place) as found:
        router = Bird(found, "transit", snippet("bird", "bird-transit"))
        router.start()
        try:
            peer = {
                "name": "transit",
                "kind": "bird",
                "command": router.command,
                "kernel": found.inside("transit", "ip"),
            }
            yield Frame(found, router, peer)
        finally:
            router.stop()


class Frr:
    """FRR's daemons in one namespace, as its own user."""

    def __init__(self, network: Network, name: str, config: str, *daemons: str) -> None:
        vtysh = need("vtysh", "frr", *SBIN)
        self.place = Path(tempfile.mkdtemp(prefix="ds-frr-"))
        (self.place / "vtysh.conf").write_text("service integrated-vtysh-config\n")
        self.command = [vtysh, "--vty_socket", str(self.place)]
        self.command += ["--config_dir", str(self.place)]
        self.daemons = {one: self._daemon(network, name, one) for one in daemons}
        self.saved.write_text(config)
        for path in (self.place, *self.place.iterdir()):
            shutil.chown(path, "frr", "frrvty")

    def _daemon(self, network: Network, name: str, one: str) -> Daemon:
        place = str(self.place)
        words = [need(one, "frr", "/usr/lib/frr"), "-f", f"{place}/none"]
        words += ["-i", f"{place}/{one}.pid", "--vty_socket", place]
        words += ["-z", f"{place}/zserv.api", "-A", "127.0.0.1", "-P", "0"]
        if one == "bfdd":
            words += ["--bfdctl", f"{place}/bfdd.sock"]
        log = network.place / f"frr-{name}-{one}.log"
        return Daemon([*network.inside(name), *words], log)

    @property
    def alive(self) -> bool:
        return all(one.alive for one in self.daemons.values())

    @property
    def saved(self) -> Path:
        return self.place / "frr.conf"

    def start(self) -> None:
        """Start what is down, and load what was saved as Debian's service does."""
        if self.alive:
            return
        for name, one in self.daemons.items():
            one.start()
            socket = self.place / f"{name}.vty"
            eventually(socket.exists, f"{name} opens its socket")
        subprocess.run([*self.command, "-b"], check=True, capture_output=True)

    def stop(self) -> None:
        for name, one in self.daemons.items():
            one.kill()
            (self.place / f"{name}.vty").unlink(missing_ok=True)

    def ask(self, *commands: str) -> str:
        words = [part for one in commands for part in ("-c", one)]
        done = subprocess.run(
            [*self.command, *words], capture_output=True, text=True, check=False
        )
        return done.stdout

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.place)


@contextmanager
def frr_transit(place: Path) -> Iterator[Frame]:
    """A network whose transit router is an FRR."""
    with network(place) as found:
        config = snippet("frr", "frr-transit")
        router = Frr(found, "transit", config, "zebra", "bgpd")
        try:
            router.start()
            peer = {
                "name": "transit",
                "kind": "frr",
                "command": router.command,
                "kernel": found.inside("transit", "ip"),
            }
            yield Frame(found, router, peer)
        finally:
            router.close()


class Gobgp:
    """One gobgpd in one namespace, which replays its routes as its service would."""

    def __init__(self, network: Network, name: str) -> None:
        program = need("gobgpd", "gobgpd", *SBIN)
        self.place = network.place / f"gobgp-{name}"
        self.place.mkdir()
        self.routes = self.place / "dayshift.routes"
        config = self.place / "gobgpd.toml"
        config.write_text(snippet("gobgp", "gobgp-speaker", name))
        self.command = network.inside(name, "gobgp")
        argv = [program, "-f", str(config), "--api-hosts", "127.0.0.1:50051"]
        self.daemon = Daemon(network.inside(name, *argv), self.place / "log")
        line = snippet("gobgp", "gobgp-unit").split("-c ", 1)[1].strip().strip("'")
        replay = line.replace("/etc/gobgp/dayshift.routes", str(self.routes))
        self._replay = network.inside(name, "/bin/sh", "-c", replay)

    def start(self, replay: bool = True) -> None:
        if self.daemon.alive:
            return
        self.daemon.start()
        eventually(lambda: "AS:" in self.ask("global"), "gobgpd is up")
        if replay:
            subprocess.run(self._replay, check=True)

    def stop(self) -> None:
        self.daemon.kill()

    def ask(self, *words: str) -> str:
        done = subprocess.run(
            [*self.command, *words], capture_output=True, text=True, check=False
        )
        return done.stdout


class Exabgp:
    """One ExaBGP in one namespace, as a user without rights."""

    def __init__(self, network: Network, name: str) -> None:
        program = need("exabgp", "exabgp", *SBIN)
        self.place = Path(tempfile.mkdtemp(prefix="ds-exabgp-"))
        self.place.chmod(0o755)
        self.routes = self.place / "dayshift.routes"
        self.replay = self._written(
            "dayshift-replay", snippet("exabgp", "exabgp-replay")
        )
        config = self._written("exabgp.conf", snippet("exabgp", "exabgp-speaker", name))
        pipes = self.place / "run"
        pipes.mkdir()
        self.pipe = pipes / self.place.name
        for end in ("in", "out"):
            pipe = self._end(end)
            os.mkfifo(pipe)
            shutil.chown(pipe, "nobody")
        settings = {"api_pipename": self.pipe.name, "daemon_user": "nobody"}
        words = [f"exabgp_{key}={value}" for key, value in settings.items()]
        self.daemon = Daemon(
            network.inside(
                name, "env", *words, program, "--root", str(self.place), str(config)
            ),
            network.place / f"exabgp-{name}.log",
        )

    def _end(self, end: str) -> Path:
        return self.pipe.with_name(f"{self.pipe.name}.{end}")

    def _written(self, name: str, text: str) -> Path:
        path = self.place / name
        path.write_text(text.replace("/etc/exabgp", str(self.place)))
        return path

    def start(self) -> None:
        if self.daemon.alive:
            return
        self.daemon.start()
        eventually(self._listens, "ExaBGP reads its pipe")

    def stop(self) -> None:
        self.daemon.kill()
        eventually(
            lambda: not self._listens(), "nobody reads the pipe of a dead ExaBGP"
        )

    def say(self, *lines: str) -> None:
        """As somebody who does not wait for answers."""
        with self._end("in").open("w") as pipe:
            pipe.writelines(f"{line}\n" for line in lines)

    def _listens(self) -> bool:
        try:
            os.close(os.open(self._end("in"), os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return False
        return True

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.place)
