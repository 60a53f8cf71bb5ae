"""What happens to a drain whose lease is armed when the agent dies, when the store
loses its majority, and when somebody then breaks the glass: real parts, one run.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from dayshift.lab import many
from dayshift.lab.ledger import now_ms
from dayshift.model import records as r
from tests.kit.chain import Chain, chain

pytestmark = [pytest.mark.journey, pytest.mark.timeout(600)]
LEASE_MS = 6_000
USUAL = {"fra": 5_000, "ber": 5_000}
HELD = ("LEASE-EXPIRED", "LEASE-NOT-RENEWED", "RETREAT-FAILED", "AGENT-AWAY")
"""Which it is depends on what was under way when the agent died."""
SLOWLY = {
    "lease": f"{LEASE_MS} ms",
    "drain": "[40 %, 25 %, 0 %]",
    "drain_dwell": "20 s",
    "fresh": "4 s",
    "quiet": "4 s",
}
"""With room for a machine that is busy: a look that is late would hold the run."""


def draining(estate: Chain) -> None:
    """Until a stage of the drain stands at the device, armed and written down."""

    def armed() -> bool:
        there = estate.shares()["fra"] in (4_000, 2_500) and "lease" in ledger(estate)
        return there and staged(estate)

    estate.until(armed, "an armed stage")


def staged(estate: Chain) -> bool:
    """A stage was read back since the run began or was last retried."""
    begun = [
        isinstance(one.body, r.Staged)
        for one in estate.records()
        if isinstance(one.body, r.Staged | r.RunOpened | r.Requested)
    ]
    return bool(begun) and begun[-1]


def ledger(estate: Chain) -> str:
    path = estate.spec.path("run", "agent", "dial-entry.json")
    text = path.read_text() if path.exists() else ""
    return text.replace('"lease":null', "")


def back(estate: Chain) -> None:
    estate.until(lambda: estate.shares() == USUAL, "it goes back")


def held(estate: Chain, *codes: str) -> str:
    estate.until(lambda: estate.hold() in codes, f"held {codes}")
    return estate.hold()


def retry(estate: Chain) -> None:
    told = estate.typed(estate.led(), "retry", "--as", "ada")
    assert told.returncode == 0, told.stderr + estate.said()


def majority(estate: Chain, how: signal.Signals) -> None:
    for one in estate.members[:2]:
        estate.send(one, how)


def agent_dies(estate: Chain) -> None:
    """Its lease ends while it is away: it goes back when it is there again."""
    draining(estate)
    stood = estate.shares()
    estate.send(many.AGENT, signal.SIGKILL)
    time.sleep(LEASE_MS / 1000 + 1)
    assert estate.shares() == stood, "nobody is there to move it"
    at_ms = now_ms()
    estate.heal()
    back(estate)
    took = now_ms() - at_ms
    code = held(estate, *HELD)
    estate.until(
        lambda: bool(estate.bodies(r.Retreating) or estate.bodies(r.Reverted)),
        "it is recognised as a retreat",
    )
    by_itself = "nobody renewed; went back" in estate.agent_log()
    assert by_itself or estate.bodies(r.Retreating), estate.agent_log()
    print(f"agent killed: back {took} ms after its start, held {code}")


def majority_lost(estate: Chain) -> None:
    """The leader steps down, nobody renews, the agent goes back by itself."""
    draining(estate)
    records, at_ms = len(estate.records()), now_ms()
    majority(estate, signal.SIGSTOP)
    back(estate)
    took = now_ms() - at_ms
    assert took < 4 * LEASE_MS + 30_000
    assert "nobody renewed; went back" in estate.agent_log()
    majority(estate, signal.SIGCONT)
    led_ms = now_ms()
    estate.led()
    print(f"majority lost: back after {took} ms; led {now_ms() - led_ms} ms after it")
    code = held(estate, *HELD)
    assert len(estate.records()) > records
    told = estate.typed(estate.led(), "status")
    assert code in told.stdout and "retry" in told.stdout, told.stdout


def evacuated_meanwhile(estate: Chain) -> None:
    """The glass is broken beside controllers that serve and cannot lead."""
    draining(estate)
    majority(estate, signal.SIGSTOP)
    at = estate.names[0]
    at_ms = now_ms()
    told = estate.typed(at, "evacuate", "fra", "--reason", "fire alarm", "--yes")
    assert told.returncode == 0, told.stdout + told.stderr + estate.said()
    took = now_ms() - at_ms
    assert estate.shares() == {"fra": 0, "ber": 10_000}
    time.sleep(LEASE_MS / 1000 + 1)
    assert estate.shares() == {"fra": 0, "ber": 10_000}, "an evacuation never expires"
    majority(estate, signal.SIGCONT)
    code = held(estate, "BREAK-GLASS", "BREAK-GLASS-UNMERGED")
    print(f"evacuated without a store in {took} ms; then held {code}")


def test_a_drain_under_a_lease_loses_agent_and_store(tmp_path: Path) -> None:
    with chain(tmp_path, SLOWLY) as estate:
        estate.submit(estate.names[0])
        agent_dies(estate)
        retry(estate)
        majority_lost(estate)
        retry(estate)
        evacuated_meanwhile(estate)
        felt = estate.felt()
        assert felt.hurt == 0, felt
        print(f"{felt.requests} requests, 0 failed")
