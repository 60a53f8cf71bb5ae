"""A stream between controller and agent lives no longer than a certificate, however
busy it is. Real TLS on loopback; only the clock is moved."""

from __future__ import annotations

from pathlib import Path

import pytest

from dayshift.drivers.agents import messages as m
from dayshift.drivers.agents import tls
from dayshift.errors import DriverRetry, Refused
from tests.kit.streams import DAY_MS, Pair, asked, played


def test_the_agent_closes_a_busy_stream_of_an_expired_controller(
    tmp_path: Path,
) -> None:
    async def deed(pair: Pair) -> None:
        reader, writer = await pair.raw(await pair.listen())
        for _ in range(3):
            assert b"NOT-MY-DIAL" in (await asked(reader, writer) or b"")
        pair.agents.ahead_ms = 3 * DAY_MS
        assert await asked(reader, writer) is None
        writer.close()

    assert any("certificate has expired" in one for one in played(tmp_path, deed).said)


def test_the_agent_closes_an_idle_stream_at_the_very_moment(tmp_path: Path) -> None:
    """Nobody asks anything any more."""

    async def deed(pair: Pair) -> None:
        reader, writer = await pair.raw(await pair.listen())
        assert await asked(reader, writer)
        left_ms = tls.until_ms(writer) - pair.agents.now().wall_ms
        assert left_ms > DAY_MS
        pair.agents.ahead_ms = left_ms - 2_000
        assert await asked(reader, writer), "two seconds are left"
        assert await reader.read() == b"", "it is closed"
        writer.close()

    assert any("certificate has expired" in one for one in played(tmp_path, deed).said)


def test_the_controller_keeps_no_stream_of_an_expired_agent(tmp_path: Path) -> None:
    async def deed(pair: Pair) -> None:
        link = pair.link(await pair.listen())
        for _ in range(3):
            with pytest.raises(Refused, match="NOT-MY-DIAL"):
                await link.call(m.Read("entry"))
        assert pair.accepted == 1, "one stream is enough"
        pair.ours.ahead_ms = 3 * DAY_MS
        for _ in range(3):
            with pytest.raises(Refused, match="NOT-MY-DIAL"):
                await link.call(m.Read("entry"))
        assert pair.accepted == 4, "each call shook hands anew"
        pair.agents.ahead_ms = 3 * DAY_MS
        with pytest.raises(DriverRetry, match="certificate"):
            await link.call(m.Read("entry"))
        await link.close()

    played(tmp_path, deed)
