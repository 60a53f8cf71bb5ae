"""The file from which an Envoy takes its routes, and the weights inside it.

Here: reading and rewriting the weights of one set of clusters, and nothing else of the
operator's routes; the lock; the durable replacement. Not here: what Envoy made of it,
which only Envoy can say.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from dayshift.drivers.files import locked, replace_file
from dayshift.errors import DriverFault, Reason
from dayshift.limits import FULL_BP
from dayshift.model.dial import ALL, Claim, Setting, parse_claim, split
from dayshift.model.units import apportion


class Weights(msgspec.Struct, frozen=True):
    """What some routes do with the dial's clusters: a setting, or why there is none."""

    setting: Setting | None
    fault: str = ""


class RdsText(msgspec.Struct, frozen=True):
    """One version of the file, as read."""

    raw: bytes
    version: str
    weights: Weights

    @property
    def claim(self) -> Claim | None:
        """The claim it carries; None where Dayshift never wrote."""
        return parse_claim(self.version)


def weights_in(routes: Any, clusters: Mapping[str, str]) -> Weights:
    """The shares that `routes` give to the regions of `clusters`.

    Holds: every `weighted_clusters` of exactly these clusters agrees, or there is a
    fault; a total other than 10 000 (the operator's own 50 : 50) is scaled.
    """
    region_of = {cluster: region for region, cluster in clusters.items()}
    found: list[Setting] = []
    for block in _blocks(routes, clusters):
        try:
            weight = {
                region_of[one["name"]]: int(one.get("weight", 0))
                for one in block["clusters"]
            }
            found.append(split(apportion(FULL_BP, weight)))
        except (TypeError, ValueError):
            return Weights(None, f"weights that are no shares: {block['clusters']}")
        if min(weight.values()) < 0:
            return Weights(None, f"a negative weight: {weight}")
    if not found:
        names = ", ".join(sorted(clusters.values()))
        return Weights(None, f"no weighted_clusters of exactly {names}")
    if any(one != found[0] for one in found):
        rows = " and ".join(str(one.rows[ALL]) for one in found)
        return Weights(None, f"routes that disagree: {rows}")
    return Weights(found[0])


def _blocks(node: Any, clusters: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Every weighted_clusters in `node` that names exactly the dial's clusters."""
    wanted = sorted(clusters.values())
    for block in _weighted(node):
        entries = block.get("clusters")
        if not isinstance(entries, list):
            continue
        names = [one.get("name") for one in entries if isinstance(one, dict)]
        if sorted(map(str, names)) == wanted:
            yield block


def _weighted(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("weighted_clusters", "weightedClusters") and isinstance(
                value, dict
            ):
                yield value
            else:
                yield from _weighted(value)
    elif isinstance(node, list):
        for one in node:
            yield from _weighted(one)


class RdsFile:
    """The routes of one Envoy instance, as JSON or YAML (by the name's ending)."""

    def __init__(
        self, path: Path, route_config: str, clusters: Mapping[str, str]
    ) -> None:
        self.path = path
        self.route_config = route_config
        self.clusters = dict(clusters)

    def load(self) -> RdsText:
        """What the file says now.

        Raises:
            DriverFault: no such file, not readable as routes, or another table.
        """
        try:
            raw = self.path.read_bytes()
        except OSError as error:
            raise self._fault("cannot be read", str(error)) from None
        document = self._parse(raw)
        version = str(document.get("version_info", document.get("versionInfo", "")))
        return RdsText(raw, version, weights_in(self._table(document), self.clusters))

    def rendered(self, text: RdsText, setting: Setting, claim: Claim) -> bytes:
        """`text` with the setting's weights and the claim; all else as it was."""
        document = self._parse(text.raw)
        table = self._table(document)
        row = setting.rows[ALL]
        share = {cluster: row[region] for region, cluster in self.clusters.items()}
        touched = list(_blocks(table, self.clusters))
        if not touched:
            raise self._fault("has nothing to steer", text.weights.fault)
        for block in touched:
            for one in block["clusters"]:
                one["weight"] = share[one["name"]]
            for key in ("total_weight", "totalWeight"):
                if key in block:
                    block[key] = FULL_BP
        document.pop("versionInfo", None)
        document["version_info"] = DoubleQuotedScalarString(str(claim))
        return self._print(document)

    def replace(self, raw: bytes) -> None:
        """Put `raw` in the file's place: all of it or nothing, also through a crash."""
        try:
            replace_file(self.path, raw)
        except OSError as error:
            raise self._fault("cannot be replaced", str(error)) from None

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Hold the file's lock, or yield False at once when another process has it."""
        with ExitStack() as stack:
            try:
                mine = stack.enter_context(locked(self.path))
            except OSError as error:
                raise self._fault("cannot be locked", str(error)) from None
            yield mine

    def _parse(self, raw: bytes) -> dict[str, Any]:
        try:
            document = (
                json.loads(raw) if self._is_json() else _yaml().load(raw.decode())
            )
        except (ValueError, YAMLError) as error:
            raise self._fault("cannot be understood", str(error)) from None
        if not isinstance(document, dict):
            raise self._fault("cannot be understood", "it is not a mapping")
        return document

    def _print(self, document: dict[str, Any]) -> bytes:
        if self._is_json():
            return json.dumps(document, indent=1).encode() + b"\n"
        text = io.StringIO()
        _yaml().dump(document, text)
        return text.getvalue().encode()

    def _is_json(self) -> bool:
        return self.path.suffix == ".json"

    def _table(self, document: Mapping[str, Any]) -> Any:
        resources = document.get("resources")
        for one in resources if isinstance(resources, list) else []:
            if isinstance(one, dict) and one.get("name") == self.route_config:
                return one
        raise self._fault("has no such routes", f"no resource {self.route_config!r}")

    def _fault(self, what: str, because: str) -> DriverFault:
        return DriverFault(
            Reason(
                "ROUTES-UNUSABLE",
                f"{self.path} {what}",
                because=because,
                so="nothing was written there",
                next="mend the file, or the dial's rds_file, route_config and clusters",
            )
        )


def _yaml() -> YAML:
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 4096
    return yaml
