"""The routes file: our weights are rewritten, the operator's routes are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dayshift.drivers.dials.rds_file import RdsFile, weights_in
from dayshift.errors import DriverFault
from tests.conformance.rigs import REGIONS, claim, row
from tests.kit.envoys import ROUTES, routes

CLUSTERS = {region: f"region_{region}" for region in REGIONS}
YAML = """\
# written by the platform team
version_info: "7"
resources:
- "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
  name: entry
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - match: {prefix: /}   # everybody
      route:
        weighted_clusters:
          clusters:
          - {name: region_fra, weight: 1}
          - {name: region_ber, weight: 3}
"""


def opened(path: Path, text: str) -> RdsFile:
    path.write_text(text)
    return RdsFile(path, ROUTES, CLUSTERS)


def test_only_the_weights_and_the_version_change(tmp_path: Path) -> None:
    before = routes(REGIONS)
    file = opened(tmp_path / "rds.json", json.dumps(before))
    file.replace(file.rendered(file.load(), row(2500), claim(3)))
    after = json.loads(file.path.read_text())
    assert file.load().claim == claim(3) and file.load().weights.setting == row(2500)
    blocks = [
        one["route"]["weighted_clusters"]["clusters"]
        for one in after["resources"][0]["virtual_hosts"][0]["routes"][1:]
    ]
    assert [[one["weight"] for one in block] for block in blocks] == [[2500, 7500]] * 2
    for block in blocks:
        for one in block:
            one["weight"] = 50
    after["version_info"] = before["version_info"]
    assert after == before


def test_a_total_that_the_operator_wrote_becomes_ours(tmp_path: Path) -> None:
    before = routes(REGIONS)
    entry = before["resources"][0]["virtual_hosts"][0]["routes"][2]
    entry["route"]["weighted_clusters"]["total_weight"] = 100
    file = opened(tmp_path / "rds.json", json.dumps(before))
    text = file.rendered(file.load(), row(0), claim(1)).decode()
    assert '"total_weight": 10000' in text


def test_yaml_keeps_its_comments(tmp_path: Path) -> None:
    file = opened(tmp_path / "rds.yaml", YAML)
    assert file.load().weights.setting == row(2500)
    assert file.load().claim is None
    file.replace(file.rendered(file.load(), row(100), claim(4)))
    text = file.path.read_text()
    assert file.load().claim == claim(4) and file.load().weights.setting == row(100)
    expected = YAML.replace('"7"', f'"{claim(4)}"').replace(
        "weight: 1}", "weight: 100}"
    )
    assert text.split() == expected.replace("weight: 3}", "weight: 9900}").split()


def test_the_file_keeps_its_mode_and_leaves_no_scraps(tmp_path: Path) -> None:
    file = opened(tmp_path / "rds.json", json.dumps(routes(REGIONS)))
    file.path.chmod(0o640)
    file.replace(file.load().raw)
    assert file.path.stat().st_mode & 0o777 == 0o640
    assert [one.name for one in tmp_path.iterdir()] == ["rds.json"]


def test_the_lock_is_taken_once(tmp_path: Path) -> None:
    file = opened(tmp_path / "rds.json", "{}")
    with file.locked() as first, file.locked() as second:
        assert (first, second) == (True, False)
    with file.locked() as third:
        assert third


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{", "{}", "\x00", '{"resources": 3}', '{"resources": [3]}'),
        '{"resources": [{"name": "other"}]}',
    ],
)
@pytest.mark.parametrize("name", ["rds.json", "rds.yaml"])
def test_what_is_not_our_routes_is_a_fault(
    tmp_path: Path, text: str, name: str
) -> None:
    with pytest.raises(DriverFault) as caught:
        opened(tmp_path / name, text).load()
    assert name in caught.value.reason.what and caught.value.reason.next


def test_a_missing_file_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(DriverFault):
        RdsFile(tmp_path / "none.json", ROUTES, CLUSTERS).load()


@pytest.mark.parametrize(
    ("weights", "fault"),
    [
        ([("region_fra", 1)], "no weighted_clusters"),
        ([("region_fra", 1), ("region_ber", 1), ("canary", 1)], "no weighted_clusters"),
        ([("region_fra", 0), ("region_ber", 0)], "no shares"),
        ([("region_fra", -1), ("region_ber", 2)], "negative"),
        ([("region_fra", "x"), ("region_ber", 2)], "no shares"),
        ([("region_fra", None), ("region_ber", 2)], "no shares"),
    ],
)
def test_weights_that_say_nothing_are_a_fault(
    weights: list[tuple[str, object]], fault: str
) -> None:
    entries = [{"name": name, "weight": weight} for name, weight in weights]
    found = weights_in([{"weighted_clusters": {"clusters": entries}}], CLUSTERS)
    assert found.setting is None and fault in found.fault


def test_routes_that_disagree_are_a_fault() -> None:
    tables = [
        {"weightedClusters": {"clusters": [{"name": "region_fra", "weight": fra}]}}
        for fra in (1, 2)
    ]
    for one in tables:
        one["weightedClusters"]["clusters"].append({"name": "region_ber", "weight": 2})
    found = weights_in(tables, CLUSTERS)
    assert found.setting is None and "disagree" in found.fault
