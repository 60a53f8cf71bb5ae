"""A real Prometheus with a day's past: learned from, exported, and replayed.

The past is written by its own `promtool` from counters whose truth is known.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from ruamel.yaml import YAML

from tests.kit import recorded
from tests.kit.daemons import need
from tests.kit.envoys import free_ports

ESTATE = Path(__file__).parent.parent / "kit" / "dayshift.yaml"
QUERIES = {
    "requests": 'sum(rq_total{at="{region}"})',
    "errors": 'sum(err_total{at="{region}"})',
    "in_flight": 'sum(rq_total{at="{region}"}) * 0',
    "buckets": 'sum by (le) (took_bucket{at="{region}"})',
    "scraped": 'min(timestamp(rq_total{at="{region}"}))',
}
HISTORY_MIN = 150


def openmetrics(now_s: int) -> tuple[str, list[list[str]], int]:
    """Counters at every scrape, the rows behind them, and when the last one was."""
    rows = [line.split(",") for line in recorded.returned(20, HISTORY_MIN)][1:]
    shift = (now_s - int(rows[-1][0])) // recorded.STEP_S * recorded.STEP_S - 60
    names = ("rq_total", "err_total", *(f'took_bucket le="{b}"' for b in LE))
    total: dict[tuple[str, str], int] = {}
    samples: dict[str, list[str]] = {name: [] for name in names}
    first = int(rows[0][0])
    for row in [[str(first - recorded.STEP_S), r, *["0"] * 7] for r in REGIONS] + rows:
        at_s, region = int(row[0]) + shift, row[1]
        counted = [row[2], row[3], *row[5:]]
        for name, count in zip(names, counted, strict=True):
            total[name, region] = total.get((name, region), 0) + int(count)
            metric, _, le = name.partition(" ")
            labels = ",".join(filter(None, [f'at="{region}"', le]))
            value = total[name, region]
            samples[name].append(f"{metric}{{{labels}}} {value} {at_s}")
    by_series: dict[str, list[str]] = {}
    for ones in samples.values():
        for line in ones:
            by_series.setdefault(line.split("}")[0], []).append(line)
    types = {"rq": "counter", "err": "counter", "took": "histogram"}
    out = []
    for family, kind in types.items():
        out.append(f"# TYPE {family} {kind}")
        for series, found in by_series.items():
            if series.startswith((f"{family}_total", f"{family}_bucket")):
                out += found
    return "\n".join([*out, "# EOF", ""]), rows, int(rows[-1][0]) + shift


LE = (*map(str, recorded.BOUNDS), "+Inf")
REGIONS = ("fra", "ber")


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list, int]]:
    """Its address, the rows that it was fed, and when they end."""
    program = need("prometheus", "prometheus")
    promtool = need("promtool", "prometheus")
    place = tmp_path_factory.mktemp("prometheus")
    text, rows, end_s = openmetrics(int(time.time()))
    (place / "past.om").write_text(text)
    subprocess.run(
        [promtool, "tsdb", "create-blocks-from", "openmetrics",
         str(place / "past.om"), str(place / "data")],
        check=True, capture_output=True,
    )  # fmt: skip
    (place / "prometheus.yml").write_text("scrape_configs: []\n")
    (port,) = free_ports(1)
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, f"--config.file={place / 'prometheus.yml'}",
             f"--storage.tsdb.path={place / 'data'}",
             f"--web.listen-address=127.0.0.1:{port}"],
            stdout=log, stderr=log,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        _ready(url)
        yield url, rows, end_s
    finally:
        process.kill()
        process.wait()


def _ready(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            if httpx.get(f"{url}/-/ready", trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        assert time.monotonic() < deadline, "Prometheus did not come up"
        time.sleep(0.1)


@pytest.fixture
def place(tmp_path: Path, past: tuple[str, list, int]) -> Path:
    """An estate whose users are counted by that Prometheus."""
    yaml = YAML(typ="safe", pure=True)
    estate = yaml.load(ESTATE)
    meter = estate["services"]["shop"]["meters"][0]
    meter["driver"] = "prometheus"
    meter["options"] = {"url": past[0], "queries": QUERIES, "stale": "20 s"}
    (tmp_path / "dayshift.yaml").write_text(json.dumps(estate))
    return tmp_path


def dayshift(place: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dayshift", "gate", *argv],
        cwd=place, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.journey
def test_an_incident_is_exported_and_the_gate_finds_it(
    place: Path, past: tuple[str, list, int]
) -> None:
    rows = past[1]
    made = dayshift(place, "export", "--since", "6h", "-o", "incident.csv")
    assert made.returncode == 0, made.stderr
    assert "share of fra:" in made.stdout
    head, *lines = (place / "incident.csv").read_text().splitlines()
    assert head.startswith("time,region,requests,errors,share,stream,returning,le_0.1")
    found = [line.split(",") for line in lines]
    for region in REGIONS:
        want = [row[2:4] + row[5:] for row in rows if row[1] == region]
        got = [one[2:4] + one[7:] for one in found if one[1] == region and one[2]]
        assert got == want
    told = dayshift(place, "replay", "incident.csv", "--json")
    assert told.returncode == 3, told.stderr
    summary = json.loads(told.stdout.splitlines()[-1])["summary"]
    assert summary["region"] == "fra" and summary["trusted"]
    assert summary["failed"]["share_bp"] < 2500

    queries = ["--requests", QUERIES["requests"], "--errors", QUERIES["errors"]]
    where = ["--regions", "fra,ber", "--url", past[0], "--since", "6h"]
    share = ["--share", 'sum(rate(rq_total{at="fra"}[30s])) / sum(rate(rq_total[30s]))']
    own = dayshift(place, "export", *queries, *where, *share, "-o", "own.jsonl.gz")
    assert own.returncode == 0, own.stderr
    assert dayshift(place, "replay", "own.jsonl.gz").returncode == 3
    again = dayshift(place, "export", "--since", "6h", "-o", "incident.csv")
    assert again.returncode == 2 and "--force" in again.stderr


@pytest.mark.journey
def test_what_is_usual_is_learned_before_the_drain(
    place: Path, past: tuple[str, list, int]
) -> None:
    shown = dayshift(place, "calibrate", "--since", "4h", "--write")
    assert shown.returncode == 0, shown.stderr
    assert "shop in fra" in shown.stdout and "part of every plan" in shown.stdout
    kept = json.loads((place / "dayshift.calibration.json").read_text())
    fra = next(one for one in kept["calibrations"] if one["region"] == "fra")
    assert fra["trusted"] and fra["stream"] == "shop"
    assert fra["look_ms"] == 15_000
    assert 90 * 60_000 < fra["span_ms"] <= 175 * 60_000
    assert 600_000 < fra["signals"][0]["usual_ppb"] < 1_400_000
    assert "had not its usual share" in shown.stdout


@pytest.mark.journey
def test_a_prometheus_that_is_away_or_asked_nonsense_says_so(place: Path) -> None:
    text = (place / "dayshift.yaml").read_text()
    (place / "dayshift.yaml").write_text(text.replace("sum(rq_total", "sun(rq_total"))
    asked = dayshift(place, "calibrate")
    assert asked.returncode == 1 and "unknown function" in asked.stderr
    (port,) = free_ports(1)
    away = dayshift(place, "export", "--url", f"http://127.0.0.1:{port}", "-o", "x.csv")
    assert away.returncode == 1 and "did not answer" in away.stderr
    assert not (place / "x.csv").exists()
