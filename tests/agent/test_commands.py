"""What an agent's dials run is printed before it runs."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from dayshift.agent import settings, unit
from tests.agent.test_agent import GOOD
from tests.kit.anycast import snippet

EXEC = {
    "read": ["/opt/steer", "read"],
    "write": ["/opt/steer", "write"],
    "regions": ["fra", "ber"],
}


def page(driver: str) -> dict[str, Any]:
    """The options of the example in docs/dials."""
    (dial,) = YAML(typ="safe").load(textwrap.dedent(snippet(driver, "yaml")))["dials"]
    options: dict[str, Any] = dial["options"]
    return options


@pytest.mark.parametrize(
    ("driver", "options", "runs"),
    [
        ("exec", EXEC, ["/opt/steer read", "/opt/steer write"]),
        ("bird", page("bird"), ["birdc", "ssh ber-1 birdc"]),
        ("frr", page("frr"), ["vtysh", "ssh ber-1 vtysh"]),
        ("gobgp", page("gobgp"), ["gobgp", "gobgp -u ber-1"]),
        ("exabgp", page("exabgp"), []),
    ],
)
def test_every_command_of_a_dial_is_printed(
    driver: str, options: dict[str, Any], runs: list[str], tmp_path: Path
) -> None:
    dial = {"driver": driver, "options": options, "regions": ["fra", "ber"]}
    path = tmp_path / "agent.yaml"
    path.write_text(json.dumps({**GOOD, "dials": {"entry": dial}}))
    told = [
        line.removeprefix("runs").strip()
        for line in unit.privileges(settings.load(path), path)
        if line.startswith("runs")
    ]
    peers = [one for peer in options.get("peers", ()) for one in peer["command"][-1:]]
    assert told[: len(runs)] == runs
    assert told[len(runs) :] == [
        f"ssh transit {word}" for one in peers for word in (one, "ip")
    ]
    assert "=/opt\n" not in unit.systemd(settings.load(path), path)
