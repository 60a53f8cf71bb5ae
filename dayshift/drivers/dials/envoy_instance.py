"""One Envoy as a dial sees it: what it says on its admin page, beside its file.

Here: asking one Envoy for its route subscription and for the routes it runs by, and
turning both into a reading. Not here: several Envoys, claims and writing (`envoy`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from dayshift.drivers.dials.rds_file import RdsFile, Weights, weights_in
from dayshift.drivers.fetch import RETRY_MS, Fetcher
from dayshift.errors import Driver, DriverFault, DriverRetry, Reason
from dayshift.model.dial import ALL, InstanceReading, Setting, parse_claim

OVERRIDES = "runtime.admin_overrides_active"
VERSION = ".version_text"


class Word(msgspec.Struct, frozen=True):
    """What an Envoy says of its subscription: its version, and counts of updates.

    Two listeners may subscribe apart; they are one word only when they agree.
    """

    version: str
    good: int
    bad: int


class EnvoyInstance:
    """One Envoy and the file it takes its routes from."""

    def __init__(
        self,
        name: str,
        admin: str,
        file: RdsFile,
        fetch: Fetcher,
    ) -> None:
        self.name = name
        self.file = file
        self._admin = admin.rstrip("/")
        self._fetch = fetch
        counts = r"(version_text|update_(success|rejected|failure))"
        self._updates = rf"\.rds\.{re.escape(file.route_config)}\.{counts}$"

    async def word(self) -> Word:
        """What it says of its subscription now.

        Raises:
            DriverRetry: it does not answer, or has no such subscription (yet).
            DriverFault: something answers that is no Envoy.
        """
        word = _word(await self._stats(self._updates))
        if word is None:
            raise DriverRetry(
                self._unknown("takes", "has no such statistics"), RETRY_MS
            )
        return word

    async def look(self) -> InstanceReading:
        """What it routes by, and whether its file would bring the same back.

        Holds: the setting is the Envoy's own; whatever contradicts it is the fault.
        """
        try:
            runs = await self._running()
            values = await self._stats(
                rf"{self._updates}|^{re.escape(OVERRIDES)}$",
            )
            file = self.file.load()
        except Driver as error:
            because = f" ({error.reason.because})" if error.reason.because else ""
            return InstanceReading(
                self.name, None, None, f"{error.reason.what}{because}"
            )
        word = _word(values)
        version = word.version if word else ""
        fault = runs.fault and f"it runs {runs.fault}"
        if not fault and values.get(OVERRIDES):
            fault = f"{OVERRIDES} is not 0: runtime beats the written weights"
        if not fault and (version, runs) != (file.version, file.weights):
            fault = (
                f"it runs {_text(runs)} of version {version!r}, "
                f"its file says {_text(file.weights)} of version {file.version!r}"
            )
        return InstanceReading(self.name, runs.setting, parse_claim(version), fault)

    async def _running(self) -> Weights:
        dump = await self._json("/config_dump", {"resource": "dynamic_route_configs"})
        for one in dump.get("configs", []):
            table = one.get("route_config", {})
            if table.get("name") == self.file.route_config:
                return weights_in(table, self.file.clusters)
        raise DriverFault(self._unknown("runs", "has them not in its config_dump"))

    async def _stats(self, pattern: str) -> dict[str, Any]:
        answer = await self._json("/stats", {"filter": pattern, "format": "json"})
        stats = answer.get("stats", [])
        return {one["name"]: one["value"] for one in stats if "value" in one}

    async def _json(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        body = await self._fetch.get(f"{self._admin}{path}", query)
        try:
            answer = json.loads(body or "{}")
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise DriverFault(
                Reason(
                    "NOT-AN-ENVOY",
                    f"{self._admin} does not answer like an Envoy's admin page",
                    because=f"it said {body[:80]!r}",
                    next="mend the dial's `admin` address",
                )
            )
        return answer

    def _unknown(self, verb: str, because: str) -> Reason:
        return Reason(
            "ROUTES-UNKNOWN",
            f"{self._admin} {verb} no routes named {self.file.route_config!r}",
            because=f"it {because}",
            next="mend the dial's `route_config`, or the Envoy's `rds` section",
        )


def _word(values: Mapping[str, Any]) -> Word | None:
    versions = {str(v) for k, v in values.items() if k.endswith(VERSION)}
    if not versions:
        return None
    return Word(
        version=" and ".join(sorted(versions)),
        good=_sum(values, ".update_success"),
        bad=_sum(values, ".update_rejected") + _sum(values, ".update_failure"),
    )


def _sum(values: Mapping[str, Any], ending: str) -> int:
    return sum(int(v) for k, v in values.items() if k.endswith(ending))


def _text(weights: Weights) -> str:
    setting: Setting | None = weights.setting
    return str(setting.rows[ALL]) if setting else weights.fault
