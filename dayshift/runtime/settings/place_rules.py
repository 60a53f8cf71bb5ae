"""Rules about places: where controllers, agents, stores and voters stand.

A place is a region of the estate, or a name of its own beside the regions (the small
third place of a quorum).
"""

from __future__ import annotations

from dayshift.runtime.settings.estate_file import EstateFile
from dayshift.runtime.settings.yaml_source import Source


def place_rules(file: EstateFile, source: Source) -> None:
    """Note dials that name agents which are not there, and agents without TLS."""
    for service, one in file.services.items():
        for number, dial in enumerate(one.dials):
            if dial.agents and dial.options:
                source.fault(
                    "OPTIONS-ELSEWHERE",
                    ("services", service, "dials", number, "options"),
                    "is given for a dial that agents reach",
                    "put these options into each agent's own agent.yaml",
                )
            for index, agent in enumerate(dial.agents):
                if agent not in file.agents:
                    known = ", ".join(file.agents) or "none"
                    source.fault(
                        "AGENT-UNKNOWN",
                        ("services", service, "dials", number, "agents", index),
                        f"names `{agent}`, but agents are: {known}",
                        "describe it under `agents:`",
                    )
    for name, described in file.agents.items():
        if not described.url.startswith("https://"):
            source.fault(
                "VALUE-INVALID",
                ("agents", name, "url"),
                f"is `{described.url}`, not https://host:port",
                "agents speak mutual TLS only",
            )
