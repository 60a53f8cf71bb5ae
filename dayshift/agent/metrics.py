"""The agent's own metrics: OpenMetrics text at one address of this machine.

Opt-in (`metrics:` in agent.yaml), loopback only, one path, no arguments: whoever may
log in here may read how the agent does, and nobody can ask it for anything else.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import dayshift
from dayshift.agent.counts import Counts
from dayshift.agent.keeper import Keeper
from dayshift.drivers.agents.messages import PROTOCOL
from dayshift.drivers.agents.trust import DAY_MS, Trust
from dayshift.model.units import Clock, elapsed_ms

KIND = "application/openmetrics-text; version=1.0.0; charset=utf-8"
REQUEST_BYTES_MAX = 8_192
REQUEST_MS = 3_000
Labels = Mapping[str, str]
Values = Iterable[tuple[Labels, float]]


class Metrics:
    """Answers scrapers."""

    def __init__(
        self,
        agent: str,
        counts: Counts,
        keepers: Sequence[Keeper],
        trust: Trust,
        clock: Clock,
    ) -> None:
        self._agent = agent
        self._counts = counts
        self._keepers = tuple(keepers)
        self._trust = trust
        self._clock = clock

    async def listen(self, host: str, port: int) -> asyncio.Server:
        """Begin to answer."""
        return await asyncio.start_server(
            self._accept, host, port, limit=REQUEST_BYTES_MAX
        )

    async def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            asking = reader.readuntil(b"\r\n\r\n")
            head = await self._clock.within(REQUEST_MS, asking)
            writer.write(self._response(head.split(b"\r\n", 1)[0]))
            await writer.drain()
        except (
            OSError,
            TimeoutError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
        ):
            """Whoever asks so gets no answer."""
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _response(self, line: bytes) -> bytes:
        if line.startswith(b"GET /metrics HTTP/1."):
            status, kind, body = "200 OK", KIND, self.text()
        else:
            status, kind, body = "404 Not Found", "text/plain", "GET /metrics\n"
        content = body.encode()
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + content

    def text(self) -> str:
        """Every family, as OpenMetrics has it."""
        return "".join((*self._about(), *self._asked(), *self._leases(), "# EOF\n"))

    def _about(self) -> Iterator[str]:
        now = self._clock.now()
        needed = any(self._trust.notes(now.wall_ms))
        version = {"version": dayshift.__version__, "protocol": str(PROTOCOL)}
        yield _family(
            "dayshift_agent", "info", "Which agent this is.",
            [({"agent": self._agent, **version}, 1)], suffix="_info",
        )  # fmt: skip
        yield _family(
            "dayshift_agent_certificate_days",
            "gauge",
            "Days until the agent's certificate ends.",
            [({}, (self._trust.ends_ms - now.wall_ms) / DAY_MS)],
        )
        yield _family(
            "dayshift_agent_attention",
            "gauge",
            "1 while somebody should see to certificate or revocation list.",
            [({}, int(needed))],
        )
        yield _family(
            "dayshift_agent_revocation_list",
            "gauge",
            "Number of the revocation list that counts here; 0 without one.",
            [({}, self._trust.list_number())],
        )
        yield _family(
            "dayshift_agent_contact_age_seconds",
            "gauge",
            "How long ago each controller asked last.",
            [
                ({"controller": name}, elapsed_ms(at, now) / 1_000)
                for name, at in sorted(self._counts.contacts.items())
            ],
        )

    def _asked(self) -> Iterator[str]:
        counts = self._counts
        dials = [one.name for one in self._keepers]
        for name, says, found in (
            ("reads", "Readings that were given.", counts.reads),
            ("writes", "Settings, holds and lifetimes written.", counts.writes),
            ("renewals", "Leases that a controller renewed.", counts.renewals),
        ):
            values = [({"dial": dial}, found[dial]) for dial in dials]
            yield _counter(f"dayshift_agent_{name}", says, values)
        refused = [
            ({"dial": dial, "reason": code}, count)
            for (dial, code), count in sorted(counts.refusals.items())
        ]
        yield _counter(
            "dayshift_agent_refusals", "Requests not done, by reason.", refused
        )
        yield _counter(
            "dayshift_agent_strangers",
            "Requests of those who may not ask here.",
            [({}, counts.strangers)],
        )

    def _leases(self) -> Iterator[str]:
        left = {one.name: one.lease_left_ms() for one in self._keepers}
        yield _family(
            "dayshift_agent_lease_armed",
            "gauge",
            "1 while the dial goes back by itself unless renewed.",
            [({"dial": d}, int(ms is not None)) for d, ms in left.items()],
        )
        yield _family(
            "dayshift_agent_lease_left_seconds",
            "gauge",
            "When an armed dial goes back, from now.",
            [({"dial": d}, ms / 1_000) for d, ms in left.items() if ms is not None],
        )
        yield _counter(
            "dayshift_agent_went_back",
            "Leases that ran out and were carried out.",
            [({"dial": one.name}, one.went_back) for one in self._keepers],
        )


def _counter(name: str, says: str, values: Values) -> str:
    return _family(name, "counter", says, values, suffix="_total")


def _family(name: str, kind: str, says: str, values: Values, suffix: str = "") -> str:
    lines = [f"# TYPE {name} {kind}", f"# HELP {name} {says}"]
    lines += [f"{name}{suffix}{_labels(labels)} {one}" for labels, one in values]
    return "\n".join(lines) + "\n"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    shown = (f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return "{" + ",".join(shown) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
