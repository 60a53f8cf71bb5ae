"""The dial suite against real DNS servers: two authorities for www.shop.example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dayshift.drivers.base import Dial
from dayshift.drivers.dials.gdnsd import GdnsdDial
from dayshift.drivers.dials.powerdns import PowerdnsDial
from dayshift.drivers.dials.rfc2136 import Rfc2136Dial
from dayshift.model.dial import ALL, DialKind, Setting
from dayshift.model.units import Row
from tests.conformance.rigs import SplitRig, context
from tests.kit.names import (
    ADDRESSES,
    KEY,
    NAME,
    ZONE,
    Gdnsd,
    NameServer,
    PowerDns,
    zone_text,
)

PATIENT = {"ask_timeout": "3 s", "ack_timeout": "9 s"}
"""A machine under load is slow and no less right."""
STEER = {
    "zone": ZONE,
    "name": NAME,
    "addresses": ADDRESSES,
    "ttl": "300 s",
    **PATIENT,
}


def authorities(servers: Sequence[NameServer]) -> list[dict[str, Any]]:
    return [
        {"name": one.name, "address": "127.0.0.1", "port": one.port} for one in servers
    ]


class NamesRig(SplitRig):
    """Two primaries; a rig starts from the operators' own zone."""

    granularity_bp = 1_000

    def __init__(self, servers: Sequence[NameServer]) -> None:
        self.servers = servers
        for one in servers:
            one.zone(self.zone({"fra": 5_000, "ber": 5_000}))
            one.start()

    def restart(self) -> None:
        for one in self.servers:
            one.restart()

    def stop(self, instance: int) -> None:
        self.servers[instance].stop()

    def start(self, instance: int) -> None:
        self.servers[instance].start()

    def tamper(self, instance: int, setting: Setting) -> None:
        """Somebody puts another zone file in place, with the claim that stood there."""
        server = self.servers[instance]
        server.zone(self.zone(setting.rows[ALL], server.claim()))
        server.start()

    def zone(self, row: Row, stands: str = "") -> str:
        return zone_text({r: share // 1_000 for r, share in row.items()}, stands)


class Rfc2136Rig(NamesRig):
    def dial(self) -> Dial:
        options = {
            **STEER,
            "authorities": authorities(self.servers),
            "tsig": {"name": "dayshift.", "secret": KEY},
        }
        return Rfc2136Dial("dns", options, context(self.servers[0].folder))


class PowerdnsRig(NamesRig):
    """Plain records through the API."""

    def __init__(self, servers: Sequence[PowerDns]) -> None:
        self.apis = [one.api for one in servers]
        super().__init__(servers)

    def options(self) -> dict[str, Any]:
        listed = authorities(self.servers)
        for one, api in zip(listed, self.apis, strict=True):
            one["api"] = api
        return {**STEER, "authorities": listed, "api_key": KEY}

    def dial(self) -> Dial:
        return PowerdnsDial("dns", self.options(), context(self.servers[0].folder))


class LuaRig(PowerdnsRig):
    """Weights in Lua records, in steps of 0.01 %."""

    granularity_bp = 1

    def options(self) -> dict[str, Any]:
        return {**super().options(), "records": "lua"}

    def zone(self, row: Row, stands: str = "") -> str:
        return lua_zone(row, stands)


class GdnsdRig:
    """Two gdnsd, each with its admin_state; in or out."""

    granularity_bp = 10_000
    lease_ms = 1_000

    def __init__(self, servers: Sequence[Gdnsd]) -> None:
        self.servers = servers
        for one in servers:
            one.fresh()
            one.start()

    def row(self, fra: int) -> Setting:
        row = {"fra": 10_000 if fra else 0, "ber": 10_000 if fra < 10_000 else 0}
        return Setting(DialKind.SWITCH, {ALL: row})

    def options(self) -> dict[str, Any]:
        return {
            "name": NAME,
            "addresses": ADDRESSES,
            "instances": [
                {
                    **one,
                    "admin_state": str(server.admin_state),
                    "gdnsdctl": server.gdnsdctl,
                }
                for one, server in zip(
                    authorities(self.servers), self.servers, strict=True
                )
            ],
            **PATIENT,
        }

    def dial(self) -> Dial:
        return GdnsdDial("dns", self.options(), context(self.servers[0].folder))

    def restart(self) -> None:
        for one in self.servers:
            one.restart()

    def stop(self, instance: int) -> None:
        self.servers[instance].stop()

    def start(self, instance: int) -> None:
        self.servers[instance].start()

    def tamper(self, instance: int, setting: Setting) -> None:
        """Somebody's own lines below ours, and gdnsd takes them up."""
        server, row = self.servers[instance], setting.rows[ALL]
        lines = "".join(
            f"{one}/up => {'UP' if row[region] else 'DOWN'}\n"
            for region, listed in ADDRESSES.items()
            for one in listed
        )
        with server.admin_state.open("a") as file:
            file.write(lines)
        server.restart()


def lua_zone(row: Row, stands: str = "") -> str:
    """As operators write it, with one address of each region."""
    members = (f"{{{row[r]}, '{ADDRESSES[r][0]}'}}" for r in sorted(row))
    content = f'A "pickwrandom({{{", ".join(members)}}})"'
    return zone_text({}, stands) + f"www 300 LUA {content}\n"
