"""Every rule of the two files, one wrong edit of the good file each.

A case names the edit, the code that must be told, and words of the message. The line in
the message is checked for all of them: it must be the line that was edited.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from dayshift.errors import EXIT_USAGE, SettingsInvalid
from dayshift.model.estate import Disposition, GaugeRule, Interrupt
from dayshift.runtime import wiring
from dayshift.runtime.settings import load
from tests.kit.writing import CHANGE, ESTATE, KIT, change_of, edited, estate_of, told


def test_the_good_files_mean_what_they_say(tmp_path: Path) -> None:
    estate = estate_of(ESTATE, tmp_path)
    assert estate.name == "demo" and estate.region_names() == ("fra", "ber")
    shop = estate.service("shop")
    assert shop.shares == {"fra": 5000, "ber": 5000}
    assert [one.gate for one in shop.meters] == [True, False]
    assert shop.meters[0].regions == ("fra", "ber")
    assert shop.residue[0].disposition is Disposition.EXPECTED
    assert estate.duties[0].regions == ("fra", "ber")
    assert estate.notify[0].escalate_ms == 300_000
    policy = estate.policy
    assert (policy.headroom_bp, policy.drain_bp) == (8500, (2500, 0))
    assert policy.ramp_bp == (100, 500, 2500, 5000)
    assert (policy.soak_ms, policy.absence_ms) == (10_000, 86_400_000)
    assert policy.gate.slow_us == (100_000, 250_000)
    assert policy.gate.tolerated_ratio_ppm == 1_100_000
    assert policy.gate.trusted and policy.gate.dwell_ms_min == 0
    change = change_of(CHANGE, tmp_path)
    assert [work.region for work in change.regions] == ["fra", "ber"]
    step = change.regions[1].steps[0]
    assert (step.interrupt, step.limit_ms, step.undo) == (Interrupt.NEVER, 60_000, True)


ESTATE_CASES = {
    "an unknown key": ("    shares:", "    sharez:", "KEY-UNKNOWN", "`shares`"),
    "an unknown policy": ("  serving: 1", "  servin: 1", "KEY-UNKNOWN", "`serving`"),
    "a driver's unknown key": (
        "route_config: entry", "route_confg: x", "KEY-UNKNOWN", "`route_config`"
    ),
    "a driver's nested key": ("rds_file:", "rds_fil:", "KEY-UNKNOWN", "`rds_file`"),
    "a driver's wrong value": (
        'admin: "http://127.0.0.1:19901"}', "admin: 7}", "VALUE-INVALID", "text"
    ),
    "an unknown driver": ("driver: envoy", "driver: envoi", "DRIVER-UNKNOWN", "envoy"),
    "a region twice": (
        "  ber: {title: Berlin}", "  fra: {title: Again}", "KEY-TWICE", "fra"
    ),
    "one region": ("  ber: {title: Berlin}\n", "", "TOO-FEW-REGIONS", "needs 2"),
    "more serving than regions": (
        "serving: 1 ", "serving: 2 ", "TOO-FEW-REGIONS", "has 2, policy.serving 2"
    ),
    "a region's name": ("  fra: {title", "  Fra: {title", "NAME-INVALID", "lowercase"),
    "a long name": (
        "- name: on-call", f"- name: {'x' * 64}", "NAME-INVALID", "(limit 63"
    ),
    "a name with an underscore": (
        "alert-silence:", "alert_silence:", "NAME-INVALID", "dashes"
    ),
    "shares that do not sum": (
        "shares: {fra: 50 %, ber: 50 %}", "shares: {fra: 50 %, ber: 40 %}",
        "SHARES-INVALID", "90.00 %, not 100.00 %",
    ),
    "a share of nowhere": (
        "shares: {fra: 50 %, ber: 50 %}", "shares: {fra: 50 %, muc: 50 %}",
        "REGION-UNKNOWN", "muc",
    ),
    "a wildcard share": (
        "shares: {fra: 50 %, ber: 50 %}", 'shares: {"*": 100 %}',
        "TARGETS-EMPTY", "wildcard",
    ),
    "a share left out": (
        "shares: {fra: 50 %, ber: 50 %}", "shares: {fra: 100 %}",
        "REGION-MISSING", "ber",
    ),
    "capacity left out": (
        "{fra: 900, ber: 900}", "{fra: 900}", "REGION-MISSING", "says nothing about"
    ),
    "capacity of nowhere": (
        "{fra: 900, ber: 900}", "{fra: 900, ber: 900, muc: 1}", "REGION-UNKNOWN", "muc"
    ),
    "no capacity": (
        "{fra: 900, ber: 900}", "{fra: 900, ber: 0}", "CAPACITY-INVALID", "(least 1)"
    ),
    "a cluster left out": (
        "clusters: {fra: region_fra, ber: region_ber}", "clusters: {fra: region_fra}",
        "REGION-MISSING", "ber",
    ),
    "a cluster of nowhere": (
        "ber: region_ber}\n", "ber: region_ber, muc: x}\n", "REGION-UNKNOWN", "muc"
    ),
    "empty clusters": (
        "clusters: {fra: region_fra, ber: region_ber}", "clusters: {}",
        "TARGETS-EMPTY", "names no region",
    ),
    "wildcard clusters": (
        "clusters: {fra: region_fra, ber: region_ber}", 'clusters: "*"',
        "TARGETS-EMPTY", "wildcard",
    ),
    "a null cluster": (
        "clusters: {fra: region_fra, ber: region_ber}",
        "clusters: {fra: region_fra, ber: null}", "TARGETS-EMPTY", "no explicit target",
    ),
    "a share without unit": (
        "shares: {fra: 50 %,", "shares: {fra: 50,", "VALUE-INVALID", "write `50 %`"
    ),
    "a share too fine": (
        "shares: {fra: 50 %,", "shares: {fra: 50.001 %,", "VALUE-INVALID", "finer"
    ),
    "a share too large": (
        "shares: {fra: 50 %,", "shares: {fra: 500 %,", "VALUE-INVALID", "than 100 %"
    ),
    "time without unit": ("soak: 10 s", "soak: 10", "VALUE-INVALID", "write `10 s`"),
    "a strange unit": ("soak: 10 s", "soak: 10 sec", "VALUE-INVALID", "no unit"),
    "endless time": ("soak: 10 s", "soak: 9999 d", "VALUE-INVALID", "ten years"),
    "text for a number": (
        "probe_streak: 5", "probe_streak: five", "VALUE-INVALID", "whole number"
    ),
    "a number out of bounds": (
        "serving: 1 ", "serving: 0 ", "VALUE-INVALID", "below the least, 1"
    ),
    "an empty value": ("  soak: 10 s", "  soak:", "VALUE-INVALID", "is empty"),
    "a yes": ("gate: false", "gate: no", "VALUE-INVALID", "neither true nor false"),
    "a kind of dial": ("kind: split", "kind: splitt", "VALUE-INVALID", "'split'"),
    "no meter of users": ("side: users", "side: region", "METER-MISSING", "users-side"),
    "no meter of the region": (
        "side: region", "side: users", "METER-MISSING", "region-side"
    ),
    "a meter for one region": (
        "side: region", "regions: [fra]\n        side: region",
        "METER-MISSING", "region-side meter for ber",
    ),
    "a meter for no region": (
        "side: region", "side: region\n        regions: []", "TARGETS-EMPTY", "names no"
    ),
    "a meter for all": (
        "side: region", 'side: region\n        regions: ["*"]',
        "TARGETS-EMPTY", "wildcard",
    ),
    "a meter for null": (
        "side: region", "side: region\n        regions:", "VALUE-INVALID", "is empty"
    ),
    "a meter for a region twice": (
        "side: region", "side: region\n        regions: [fra, ber, fra]",
        "REGION-TWICE", "fra",
    ),
    "a duty for one": (
        "  nightly:\n", "  nightly:\n    regions: [fra]\n", "REGIONS-INVALID", "one"
    ),
    "a ramp that falls": (
        "ramp: [1 %, 5 %, 25 %, 50 %]", "ramp: [5 %, 1 %]", "RAMP-INVALID", "not rise"
    ),
    "a ramp from nothing": (
        "ramp: [1 %, 5 %, 25 %, 50 %]", "ramp: [0 %, 1 %]", "RAMP-INVALID", "above 0 %"
    ),
    "a ramp that stands": (
        "ramp: [1 %, 5 %, 25 %, 50 %]", "ramp: [1 %, 1 %]", "RAMP-INVALID", "not rise"
    ),
    "no ramp": ("ramp: [1 %, 5 %, 25 %, 50 %]", "ramp: []", "RAMP-INVALID", "rise"),
    "a drain that rises": (
        "drain: [25 %, 0 %]", "drain: [5 %, 25 %, 0 %]", "DRAIN-INVALID", "not fall"
    ),
    "a drain that ends high": (
        "drain: [25 %, 0 %]", "drain: [25 %, 1 %]", "DRAIN-INVALID", "to 0 %"
    ),
    "no headroom": ("headroom: 85 %", "headroom: 0 %", "POLICY-INVALID", "0 %"),
    "quiet shorter than fresh": (
        "quiet: 3 s", "quiet: 2 s", "POLICY-INVALID", "is 2 s, shorter than fresh (3 s)"
    ),
    "fresh shorter than looks": (
        "fresh: 3 s", "fresh: 300 ms", "POLICY-INVALID", "shorter than two looks"
    ),
    "never empty": (
        "empty_limit: 15 min", "empty_limit: 1 s", "POLICY-INVALID", "than quiet"
    ),
    "never back": (
        "absence_limit: 24 h", "absence_limit: 30 s", "POLICY-INVALID", "return_time"
    ),
    "a scrape too seldom": (
        "side: users", "every: 2 s\n        side: users",
        "POLICY-INVALID", "every is 2 s, and policy.fresh is 3 s (least 4 s)",
    ),
    "a scrape without unit": (
        "side: users", "every: 2\n        side: users", "VALUE-INVALID", "write `2 s`"
    ),
    "a class of all users": (
        "side: users", 'users: "*"\n        side: users', "NAME-INVALID", "nothing"
    ),
    "a gauge that nobody reads": (
        "warmup: 0 s", "gauges: [{name: lag, most: 3}]", "GAUGE-UNKNOWN", "lag is a"
    ),
    "a gauge twice": (
        "warmup: 0 s", "gauges: [{name: lag, most: 3}, {name: lag, most: 4}]",
        "NAME-TWICE", "bounded in line",
    ),
    "a gauge without a bound": (
        "warmup: 0 s", "gauges: [{name: lag}]", "KEY-MISSING", "most is missing"
    ),
    "an endless gauge": (
        "warmup: 0 s", "gauges: [{name: lag, most: 1e300}]", "VALUE-INVALID", "the most"
    ),
    "a gauge without a name": (
        "warmup: 0 s", 'gauges: [{name: "", most: 1}]', "VALUE-INVALID", "is empty"
    ),
    "slow that falls": (
        "slow: [100 ms, 250 ms]", "slow: [250 ms, 100 ms]", "SLOW-INVALID", "not rise"
    ),
    "expected without source": (
        "source: dayshift itself, ", "", "RESIDUE-INVALID", "source is missing"
    ),
    "expected without ceiling": (
        ", ceiling_rpm: 600", "", "RESIDUE-INVALID", "ceiling_rpm is missing"
    ),
    "cut without a time": (
        "disposition: expected", "disposition: cut", "RESIDUE-INVALID", "cut_after"
    ),
    "accepted by nobody": (
        "disposition: expected", "disposition: accepted", "RESIDUE-INVALID", "by is"
    ),
    "accepted twice by one": (
        "disposition: expected,",
        "disposition: accepted, accepted_by: Ada, second: Ada, expires: 2031-01-31,",
        "RESIDUE-INVALID", "their own",
    ),
    "an expiry that is no day": (
        "disposition: expected,",
        "disposition: accepted, accepted_by: Ada, second: Bob, expires: soon,",
        "VALUE-INVALID", "not a day",
    ),
    "a field of another disposition": (
        "ceiling_rpm: 600", "ceiling_rpm: 600, second: Bob",
        "RESIDUE-INVALID", "belongs to disposition accepted",
    ),
    "a tag": ("estate: demo", "estate: !!str demo", "YAML-TAG", "tag"),
    "a tab": ("  ber: {title", "\tber: {title", "YAML-INVALID", "\\t"),
    "a list for a mapping": ("  gate:\n", "  gate: []\n  x:\n", "VALUE-INVALID", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", ESTATE_CASES)
def test_a_wrong_estate_is_told_at_its_line(case: str, tmp_path: Path) -> None:
    old, new, code, words = ESTATE_CASES[case]
    text, lines = edited(ESTATE, old, new)
    with pytest.raises(SettingsInvalid) as caught:
        estate_of(text, tmp_path)
    reason = told(caught.value, code)
    assert words in f"{reason.what} {reason.next}", str(reason)
    line = int(reason.what.removeprefix("dayshift.yaml:").split(":")[0])
    near = {line - 1, line, line + 1} if not new else {line}
    whole = code in ("METER-MISSING", "TOO-FEW-REGIONS")
    assert whole or near & lines, f"told at line {line}, edited {sorted(lines)}"
    assert caught.value.exit_code == EXIT_USAGE


def test_all_faults_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    text = ESTATE
    for old, new in (
        ("shares: {fra: 50 %, ber: 50 %}", "shares: {fra: 50 %, ber: 40 %}"),
        ("  serving: 1", "  servin: 1"),
        ("soak: 10 s", "soak: 10"),
        ("kind: split", "kind: splitt"),
        ("side: users", "side: region"),
        ("rds_file:", "rds_fil:"),
        ("driver: http", "driver: htp"),
        ("source: dayshift itself, ", ""),
        ("ramp: [1 %, 5 %, 25 %, 50 %]", "ramp: [5 %, 1 %]"),
        ("estate: demo", "estate: !x Demo"),
    ):
        text, _ = edited(text, old, new)
    with pytest.raises(SettingsInvalid) as caught:
        estate_of(text, tmp_path)
    codes = [reason.code for reason in caught.value.reasons]
    assert sorted(codes) == [
        "DRIVER-UNKNOWN", "KEY-UNKNOWN", "KEY-UNKNOWN", "METER-MISSING", "NAME-INVALID",
        "RAMP-INVALID", "RESIDUE-INVALID", "SHARES-INVALID", "VALUE-INVALID",
        "VALUE-INVALID", "YAML-TAG",
    ], str(caught.value)  # fmt: skip
    lines = [int(one.what.split(":")[1]) for one in caught.value.reasons]
    assert lines == sorted(lines)


def test_what_follows_from_a_fault_is_not_told(tmp_path: Path) -> None:
    text, _ = edited(ESTATE, "shares: {fra: 50 %,", "shares: {fra: fifty,")
    with pytest.raises(SettingsInvalid) as caught:
        estate_of(text, tmp_path)
    assert [reason.code for reason in caught.value.reasons] == ["VALUE-INVALID"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "FILE-EMPTY"),
        ("# nothing but words\n", "FILE-EMPTY"),
        ("{}", "KEY-MISSING"),
        ("- a\n- b\n", "YAML-INVALID"),
        ("estate: a\n---\nestate: b\n", "YAML-INVALID"),
        ("%YAML 1.1\n---\nestate: a\n", "YAML-INVALID"),
        ("estate: demo\nregions: {}\nservices: {}\n", "ESTATE-EMPTY"),
        ("estate: demo\nregions:\nservices:\n", "VALUE-INVALID"),
        ("estate: &a [*a]\n", "YAML-ALIAS"),
        ("estate: " + "[" * 5_000, "FILE-TOO-LARGE"),
        ("a: 0\n" * 900_000, "FILE-TOO-LARGE"),
        ("estate: a\x00b\n", "FILE-ENCODING"),
        ('estate: "\\ud800"\n', "FILE-ENCODING"),
    ],
)
def test_a_file_that_is_no_estate(text: str, code: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        estate_of(text, tmp_path)
    told(caught.value, code)


def test_aliases_cannot_explode(tmp_path: Path) -> None:
    bomb = ["a0: &a0 [x]"]
    bomb += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(SettingsInvalid) as caught:
        estate_of("\n".join(bomb), tmp_path)
    told(caught.value, "FILE-TOO-LARGE")


def test_more_values_than_can_be_read_soon_are_refused(tmp_path: Path) -> None:
    """Below the limit of bytes; and before they are all read."""
    with pytest.raises(SettingsInvalid) as caught:
        estate_of("estate: [" + "0," * 400_000 + "]", tmp_path)
    reason = told(caught.value, "FILE-TOO-LARGE")
    assert "300000" in reason.what and "&row" in reason.next


def test_an_alias_is_a_value_like_any(tmp_path: Path) -> None:
    text = ESTATE.replace("fra: 50 %", "fra: &half 50 %").replace(
        "ber: 50 %", "ber: *half"
    )
    assert estate_of(text, tmp_path) == estate_of(ESTATE, tmp_path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "no.yaml", tmp_path):
        with pytest.raises(SettingsInvalid) as caught:
            load.load_estate(path, wiring.options_of)
        told(caught.value, "FILE-UNREADABLE")


def test_a_driver_that_cannot_be_imported(tmp_path: Path) -> None:
    def broken(kind: str, driver: str) -> None:
        raise ImportError(f"no {driver}")

    with pytest.raises(SettingsInvalid) as caught:
        load.load_estate(KIT / "dayshift.yaml", broken)
    told(caught.value, "DRIVER-BROKEN")


def test_the_fingerprint_is_of_the_meaning(tmp_path: Path) -> None:
    plain = estate_of(ESTATE, tmp_path).fingerprint
    spelled = ESTATE.replace("soak: 10 s", "soak: 10000 ms # ten").replace(
        "85 %", "85%"
    )
    assert estate_of(spelled, tmp_path).fingerprint == plain
    other = ESTATE.replace("soak: 10 s", "soak: 11 s")
    assert estate_of(other, tmp_path).fingerprint != plain
    assert change_of(CHANGE, tmp_path).fingerprint not in ("", plain)


def test_where_a_value_stands() -> None:
    path = KIT / "dayshift.yaml"
    line = 1 + ESTATE.split("\n").index("  headroom: 85 %")
    assert load.where(path, "policy.headroom") == f"dayshift.yaml:{line}"
    assert load.where(path, "services.shop.dials.0.options.absent").startswith(
        "dayshift.yaml:"
    )


SCRAPED = """        driver: prometheus
        every: 15 s
        users: web
        options:
          url: http://127.0.0.1:9090
          stale: 30 s
          queries:
            requests: sum(rq{at="{region}"})
            errors: sum(err{at="{region}"})
            in_flight: sum(active{at="{region}"})
            gauges: {queue: 'max(queue{at="{region}"})', lag: max(lag)}
"""


def test_a_scraped_meter_with_gauges(tmp_path: Path) -> None:
    start = ESTATE.index("        driver: envoy\n        options:\n          regions")
    end = ESTATE.index("      - name: edge")
    text = ESTATE[:start] + SCRAPED + ESTATE[end:]
    for old, new in (
        ("fresh: 3 s", "fresh: 30 s"),
        ("quiet: 3 s", "quiet: 30 s"),
        ("warmup: 0 s", "gauges: [{name: queue, most: 12.5, trend: 30 min}]"),
        ("    slow: [100 ms, 250 ms]\n", ""),
    ):
        text, _ = edited(text, old, new)
    estate = estate_of(text, tmp_path)
    entry = estate.service("shop").meters[0]
    assert (entry.every_ms, entry.users) == (15_000, "web")
    gate = estate.policy.gate
    assert gate.gauges == (GaugeRule("queue", 12_500, 1_800_000),)
    assert (gate.slow_us, gate.warmup_ms) == ((), 105_000)
    with pytest.raises(SettingsInvalid) as caught:
        estate_of(text.replace("{name: queue,", "{name: queu,"), tmp_path)
    assert "`queue`" in told(caught.value, "GAUGE-UNKNOWN").next
    broken = text.replace("{name: queue,", "{name: queu,").replace("stale:", "stal:")
    with pytest.raises(SettingsInvalid) as caught:
        estate_of(broken, tmp_path)
    assert [one.code for one in caught.value.reasons] == ["KEY-UNKNOWN"]


def test_a_service_that_stays_needs_no_dials(tmp_path: Path) -> None:
    more = """
  ledger:
    shares: {fra: 100 %, ber: 0 %}
    capacity_rps: {fra: 10, ber: 10}
    stays: a single writer, moved by hand in March
duties:"""
    estate = estate_of(ESTATE.replace("\nduties:", more), tmp_path)
    assert [one.name for one in estate.moving()] == ["shop"]
