"""The examples in docs/dials are estates that load, and their faults have lines."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from dayshift.errors import SettingsInvalid
from dayshift.runtime import wiring
from tests.conformance.rigs import context
from tests.kit.anycast import snippet
from tests.kit.names import literal
from tests.kit.writing import ESTATE, edited, estate_of, told

PAGES = {
    "rfc2136": "## In dayshift.yaml",
    "powerdns": "## In dayshift.yaml",
    "gdnsd": "## In dayshift.yaml, or under `dials:` of agent.yaml",
}
ROUTES = ("bird", "exabgp", "frr", "gobgp")
FAULTS = [
    ("exabgp", "pipe: /run/exabgp/exabgp", "pipes: /run", "KEY-UNKNOWN", "`pipe`"),
    ("exabgp", "192.0.2.1/32", "0.0.0.0/0", "VALUE-INVALID", "every address"),
    (
        "exabgp",
        "kind: bird, command: [ssh, transit, birdc]",
        "kind: bird, command: birdc",
        "VALUE-INVALID",
        "no shell",
    ),
    ("rfc2136", "fra: [192.0.2.1,", "muc: [192.0.2.1,", "REGION-UNKNOWN", "muc"),
    ("rfc2136", "ttl_low: 5 s", "ttl_low: 5", "VALUE-INVALID", "ttl_low"),
    ("rfc2136", "updates: false", "update: false", "KEY-UNKNOWN", "`updates`"),
    ("rfc2136", "192.0.2.53", "ns1.shop.example", "VALUE-INVALID", "address"),
    ("powerdns", "records: lua", "records: Lua", "VALUE-INVALID", "records"),
    ("powerdns", "api_key:", "apikey:", "KEY-UNKNOWN", "`api_key`"),
    ("gdnsd", "service_type: up", 'service_type: "*"', "VALUE-INVALID", "service_type"),
    ("gdnsd", "[gdnsdctl, -c, /etc/gdnsd]", "gdnsdctl", "VALUE-INVALID", "no shell"),
]


def estate_with(page: str) -> str:
    """The estate of the tests, with the dials of this page in place of its own."""
    block = snippet(page, "yaml") if page in ROUTES else literal(page, PAGES[page], {})
    dials = textwrap.indent(block, "    ")
    found, count = re.subn(
        r"    dials:.*?(?=    meters:)", lambda _: dials, ESTATE, flags=re.DOTALL
    )
    assert count == 1
    return found


@pytest.mark.parametrize("page", [*PAGES, *ROUTES])
def test_the_example_of_a_page_is_an_estate(page: str, tmp_path: Path) -> None:
    (service,) = estate_of(estate_with(page), tmp_path).services
    (dial,) = service.dials
    assert dial.ref.driver == page
    options = wiring.options_of("dials", page)
    assert options is not None
    known = options.model_validate(dial.ref.options)
    schema = options.model_json_schema()
    assert schema["additionalProperties"] is False
    assert set(known.model_fields_set) <= set(schema["properties"])


@pytest.mark.parametrize("page", [*PAGES, *ROUTES])
def test_what_a_dial_of_the_example_can_do_is_on_offer(
    page: str, tmp_path: Path
) -> None:
    (service,) = estate_of(estate_with(page), tmp_path).services
    (spec,) = service.dials
    known = wiring.driver_class("dials", page)
    able = known(spec.name, spec.ref.options, context(tmp_path)).describe()
    offers = [(one.kind, one.lease, one.granularity_bp) for one in known.OFFERS]
    assert (able.kind, able.lease) in [one[:2] for one in offers]
    assert able.granularity_bp <= max(one[2] for one in offers)
    assert able.kind is spec.kind


def test_the_pause_before_a_withdrawal_is_part_of_how_long_users_go_the_old_way(
    tmp_path: Path,
) -> None:
    (service,) = estate_of(estate_with("bird"), tmp_path).services
    (spec,) = service.dials
    dial = wiring.driver_class("dials", "bird")

    def settles_ms(pause: str) -> int:
        options = {**spec.ref.options, "shut_pause": pause}
        found = dial(spec.name, options, context(tmp_path)).describe()
        return int(found.propagation_ms)

    assert settles_ms("2500 ms") - settles_ms("0 ms") == 2_500


@pytest.mark.parametrize(("page", "old", "new", "code", "word"), FAULTS)
def test_what_is_wrong_is_told_with_file_and_line(
    page: str, old: str, new: str, code: str, word: str, tmp_path: Path
) -> None:
    text, (line,) = edited(estate_with(page), old, new)
    with pytest.raises(SettingsInvalid) as caught:
        estate_of(text, tmp_path)
    reason = told(caught.value, code)
    assert f"dayshift.yaml:{line}" in reason.what and word in str(reason)
