"""Whom both sides believe while files change under them: revoked, renewed, old lists,
half a copy, another version. Real TLS on loopback; only the clocks are moved."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from dayshift.agent import server as agent_server
from dayshift.drivers.agents import link as link_module
from dayshift.drivers.agents import messages as m
from dayshift.drivers.agents.names import Role
from dayshift.drivers.agents.revoked import Revoked
from dayshift.errors import DriverFault, DriverRetry, Reason, Refused
from dayshift.model.speech import Speech
from tests.kit.agents import Authority
from tests.kit.streams import DAY_MS, ME, Pair, asked, played

READ = m.Read("entry")


def test_a_revoked_controller_is_refused_on_the_stream_that_it_has(
    tmp_path: Path,
) -> None:
    async def deed(pair: Pair) -> None:
        port = await pair.listen()
        reader, writer = await pair.raw(port)
        assert b"NOT-MY-DIAL" in (await asked(reader, writer) or b"")
        pair.authority.revoke(Role.CONTROLLER, "a")
        assert b"CERTIFICATE-REVOKED" in (await asked(reader, writer) or b"")
        assert await reader.read() == b"", "and then it is closed"
        writer.close()
        with pytest.raises(DriverFault, match="counts no more: serial"):
            await pair.link(port).call(READ)
        pair.mine = pair.authority.issue(Role.CONTROLLER, "a")
        with pytest.raises(Refused, match="NOT-MY-DIAL"):
            await pair.link(port).call(READ)

    assert any("counts no more" in one for one in played(tmp_path, deed).said)


def test_a_revoked_agent_is_asked_nothing_more(tmp_path: Path) -> None:
    async def deed(pair: Pair) -> None:
        link = pair.link(await pair.listen())
        with pytest.raises(Refused, match="NOT-MY-DIAL"):
            await link.call(READ)
        pair.authority.revoke(Role.AGENT, "edge")
        for _ in range(2):
            with pytest.raises(DriverFault, match="does not count: serial"):
                await link.call(READ)
        assert pair.accepted == 3, "the stream that was open was not used again"
        pair.authority.issue(Role.AGENT, "edge")
        with pytest.raises(Refused, match="NOT-MY-DIAL"):
            await link.call(READ)
        await link.close()

    played(tmp_path, deed)


def test_an_old_list_still_counts_and_both_sides_say_that_it_is_old(
    tmp_path: Path,
) -> None:
    async def deed(pair: Pair) -> None:
        link = pair.link(await pair.listen())
        assert (await link.attest()).notes == ()
        pair.agents.ahead_ms = pair.ours.ahead_ms = 95 * DAY_MS
        notes = (await link.attest()).notes
        assert [one for one in notes if "it ended 5 days ago" in one] == [*notes]
        assert any(one.startswith("this controller: ") for one in notes)
        pair.authority.revoke(Role.CONTROLLER, "a")
        with pytest.raises(DriverFault, match="counts no more"):
            await link.call(READ)
        await link.close()

    pair = played(tmp_path, deed, days=300)
    assert sum("it ended 5 days ago" in one for one in pair.said) == 1, "said once"


def test_an_agent_whose_list_is_behind_is_told_of(tmp_path: Path) -> None:
    async def deed(pair: Pair) -> None:
        link = pair.link(await pair.listen())
        behind = tmp_path / "behind.pem"
        behind.write_bytes(pair.authority.revoked.read_bytes())
        assert pair.believed._revoked is not None
        pair.believed._revoked._path = behind
        await link.attest()
        pair.authority.revoke(Role.CONTROLLER, "b")
        (note,) = (await link.attest()).notes
        assert re.fullmatch("it has revocation list 3; .* has list 4", note)
        await link.close()

    played(tmp_path, deed)


@pytest.mark.parametrize("harm", ["damaged", "gone", "older", "of another authority"])
def test_no_list_that_is_worse_takes_the_place_of_a_good_one(
    harm: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "ca")
    cert, _ = authority.issue(Role.CONTROLLER, "a")
    older = authority.revoked.read_bytes()
    authority.revoke(Role.CONTROLLER, "a")
    shown = _der(cert)
    known = Revoked(authority.revoked, authority.ca.read_bytes)
    assert "was revoked on" in (known.reason(shown) or "")
    match harm:
        case "damaged":
            authority.revoked.write_bytes(authority.revoked.read_bytes()[:-80])
        case "gone":
            authority.revoked.unlink()
        case "older":
            authority.revoked.write_bytes(older)
        case _:
            other = Authority(tmp_path / "other")
            authority.revoked.write_bytes(other.revoked.read_bytes())
    assert "was revoked on" in (known.reason(shown) or "")
    assert "the one before still counts" in known.trouble(authority.now_ms)
    if harm != "older":
        fresh = Revoked(authority.revoked, authority.ca.read_bytes)
        with pytest.raises(DriverFault, match="cannot be used"):
            fresh.reason(shown)
    authority.issue(Role.CONTROLLER, "b")
    assert "was revoked on" in (known.reason(shown) or "")
    assert known.trouble(authority.now_ms) == ""


def _der(cert: Path) -> bytes:
    return x509.load_pem_x509_certificate(cert.read_bytes()).public_bytes(Encoding.DER)


def test_half_a_copy_cuts_nobody_off(tmp_path: Path) -> None:
    """The new certificate is there and its key is not yet; on either side."""

    async def deed(pair: Pair) -> None:
        link = pair.link(await pair.listen())
        await link.attest()
        await link.close()
        for _, key in (pair.mine, pair.theirs):
            key.write_bytes((tmp_path / "ca.key").read_bytes())
        notes = (await link.attest()).notes
        assert len(notes) == 2
        assert all("certificate before is still shown" in one for one in notes)
        await link.close()
        pair.authority.issue(Role.CONTROLLER, "a")
        pair.authority.issue(Role.AGENT, "edge")
        assert (await link.attest()).notes == ()
        await link.close()

    played(tmp_path, deed, days=60)


def test_a_certificate_near_its_end_is_spoken_of(tmp_path: Path) -> None:
    async def deed(pair: Pair) -> None:
        link = pair.link(await pair.listen())
        assert (await link.attest()).notes == ()
        pair.agents.ahead_ms = pair.ours.ahead_ms = 50 * DAY_MS
        (theirs, mine) = (await link.attest()).notes
        assert theirs.startswith("its certificate ends in 9 days")
        assert mine.startswith("this controller: its certificate ends in 9 days")
        await link.close()

    played(tmp_path, deed, days=60)


NEWER = Speech("9.0.0", m.PROTOCOL + 1)


def test_an_agent_of_another_version_is_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def deed(pair: Pair) -> None:
        monkeypatch.setattr(agent_server, "OURS", NEWER)
        link = pair.link(await pair.listen())
        seen = await link.attest()
        assert seen.theirs == NEWER and seen.ours == link_module.OURS
        with pytest.raises(DriverFault) as found:
            await link.call(READ)
        reason = found.value.reason
        assert reason.code == "AGENT-VERSION"
        assert "agent edge is Dayshift 9.0.0 and speaks protocol 3" in reason.what
        assert "install Dayshift 9.0.0 on the controllers" in reason.next
        await link.close()

    played(tmp_path, deed)


def test_an_agent_asks_who_speaks_before_anything_else(tmp_path: Path) -> None:
    """Also where a controller asks nothing of the kind: one of an older version."""

    async def deed(pair: Pair) -> None:
        port = await pair.listen()
        for attest in (None, m.Attest("0.0.9", 1), m.Attest("9.0.0", 9)):
            reader, writer = await pair.raw(port, attest)
            said = m.REPLIES.decode(await asked(reader, writer) or b"")
            assert isinstance(said, m.Failed) and said.reason.code == "AGENT-VERSION"
            writer.write(m.framed(ME))
            assert isinstance(
                m.REPLIES.decode(await m.frame(reader) or b""), m.Attested
            )
            assert b"NOT-MY-DIAL" in (await asked(reader, writer) or b"")
            writer.close()

    played(tmp_path, deed)


def test_an_agent_that_knows_no_version_is_of_the_first(tmp_path: Path) -> None:
    async def deed(pair: Pair) -> None:
        async def answer(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            while (body := await m.frame(reader)) is not None:
                asks = msgspec.json.decode(body)["do"]
                assert asks == "attest", "nothing else is asked of it"
                why = Reason("NOT-A-REQUEST", "this is no request")
                writer.write(m.framed(m.Failed(m.Failure.FAULT, why)))
            writer.close()

        context = pair._trust(pair.theirs, server=True).context()
        old = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
        link = pair.link(int(old.sockets[0].getsockname()[1]))
        assert (await link.attest()).theirs == Speech("", 1)
        with pytest.raises(DriverFault, match="agent edge says no version") as found:
            await link.call(READ)
        assert "beside the agent and restart it" in found.value.reason.next
        await link.close()
        old.close()

    played(tmp_path, deed)


def test_an_expired_controller_gets_no_stream(tmp_path: Path) -> None:
    async def deed(pair: Pair) -> None:
        pair.authority.issue(Role.CONTROLLER, "a", days=-1)
        with pytest.raises(DriverRetry, match="its log says which"):
            await pair.link(await pair.listen()).call(READ)

    assert any("has expired" in one for one in played(tmp_path, deed).said)
