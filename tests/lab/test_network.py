"""The network lab's files: an estate that fits what its daemons can express."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dayshift.core import steering
from dayshift.drivers.dials.names.pool import Pool
from dayshift.errors import Refused
from dayshift.lab.network import edges, files
from dayshift.lab.network import spec as layout
from dayshift.lab.network.spec import ADDRESSES, REGIONS, SHARES_BP, NetSpec
from dayshift.model.dial import DialKind
from dayshift.model.estate import Estate
from dayshift.model.plan import Move
from dayshift.runtime import wiring
from dayshift.runtime.settings.load import load_change, load_estate


@pytest.fixture
def spec(tmp_path: Path) -> NetSpec:
    programs = {name: f"/usr/bin/{name}" for name in (*layout.NEEDED, "k6", "envoy")}
    return NetSpec(str(tmp_path), "dsnet123abc", 77, 30, "/usr/bin/python3", programs)


@pytest.fixture
def estate(spec: NetSpec) -> Estate:
    files.write(spec)
    spec.path("dns.key").write_text("key")
    return load_estate(spec.path("dayshift.yaml"), wiring.options_of)


def test_the_estate_has_three_layers_and_leaves_them_one_by_one(estate: Estate) -> None:
    shop = estate.services[0]
    assert [one.ref.driver for one in shop.dials] == ["powerdns", "bird", "haproxy"]
    assert [one.name for one in steering.outer(shop)] == ["dns", "anycast"]
    for region in REGIONS:
        led = [
            {move.dial for move in stage.moves if region_has(move, region)}
            for stage in steering.forwarded_stages((shop,), region)
        ]
        assert led == [{"dns", "anycast"}, {"anycast"}], region


def region_has(move: Move, region: str) -> bool:
    return any(row.get(region) for row in move.setting.rows.values())


def test_plain_records_can_say_every_row_of_a_pass(estate: Estate) -> None:
    pool = Pool(ADDRESSES, DialKind.SPLIT)
    shop = estate.services[0]
    for region in REGIONS:
        for share in (0, SHARES_BP[region]):
            stage = steering.stage((shop,), region, share, True)
            dns = next(move for move in stage.moves if move.dial == "dns")
            assert pool.records(dns.setting) is not None, (region, share)


def test_the_change_names_every_region(spec: NetSpec, estate: Estate) -> None:
    change = load_change(spec.path("change.yaml"), estate, wiring.options_of)
    assert tuple(one.region for one in change.regions) == REGIONS


def test_an_edge_begins_with_the_usual_shares() -> None:
    text = edges.ranges({"fra": 5000, "ber": 0, "muc": 5000})
    assert text == "0:4999 be_fra\n5000:9999 be_muc\n"


def test_without_root_or_a_daemon_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Refused, match=r"needs root on Linux \(this is user 1000\)"):
        layout.make(tmp_path / "lab", 10)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setitem(layout.NEEDED, "no-such-daemon", "no-such-package")
    with pytest.raises(Refused, match=r"needs .*no-such-package"):
        layout.make(tmp_path / "lab", 10)
    assert not (tmp_path / "lab").exists()
