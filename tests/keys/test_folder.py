"""An authority's folder: what is written, what is never overwritten, what a kill leaves
behind, and what is told of it. Certificates are checked by OpenSSL, not by our reading.
"""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography import x509

from dayshift.drivers.agents.names import Identity, Role
from dayshift.errors import Refused
from dayshift.keys import folder, making, reading
from dayshift.keys.reading import State

NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000
EDGE = Identity("shop", Role.AGENT, "edge")
A = Identity("shop", Role.CONTROLLER, "a")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An authority with one agent and one controller."""
    here = tmp_path / "keys"
    folder.make(here, "shop", NOW_MS)
    with folder.opened(here, NOW_MS) as authority:
        authority.create(EDGE, ["10.0.0.5", "edge.example"])
        authority.create(A)
    return here


def states(place: Path, now_ms: int = NOW_MS) -> dict[str, State]:
    return {one.file: one.state for one in reading.listing(place, now_ms).certificates}


def test_keys_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder.make(tmp_path / "k", "shop", NOW_MS)
        with folder.opened(tmp_path / "k", NOW_MS) as authority:
            authority.create(A)
    finally:
        os.umask(before)
    modes = {one.name: one.stat().st_mode & 0o777 for one in tmp_path.rglob("*.*")}
    assert modes["ca.key"] == modes["controller-a.key"] == modes["issued.json"] == 0o600
    assert modes["ca.pem"] == modes["revoked.pem"] == 0o644
    assert (tmp_path / "k").stat().st_mode & 0o077 == 0
    assert not [name for name in modes if name.endswith(".new")]


def test_openssl_agrees_with_what_was_made(place: Path) -> None:
    """Also with the purposes, the host and the list, and strictly by RFC 5280."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here")
    with folder.opened(place, NOW_MS) as authority:
        authority.revoke(A)
    base = [openssl, "verify", "-x509_strict", "-CAfile", str(place / "ca.pem")]
    base += ["-attime", str(NOW_MS // 1_000), "-CRLfile", str(place / "revoked.pem")]
    base += ["-crl_check"]
    edge, a = str(place / "agent-edge.pem"), str(place / "controller-a.pem")

    def says(*more: str) -> str:
        ran = subprocess.run(
            [*base, *more], capture_output=True, text=True, check=False
        )
        return ran.stdout + ran.stderr

    assert says("-purpose", "sslserver", "-verify_ip", "10.0.0.5", edge).endswith(
        "OK\n"
    )
    assert "mismatch" in says("-verify_hostname", "other.example", edge)
    assert "purpose" in says("-purpose", "sslclient", edge)
    assert "revoked" in says("-purpose", "sslclient", a)


def test_a_key_is_overwritten_by_its_own_word_only(place: Path) -> None:
    before = {one.name: one.read_bytes() for one in place.glob("*.key")}
    with (
        pytest.raises(Refused, match="KEY-EXISTS"),
        folder.opened(place, NOW_MS) as one,
    ):
        one.create(EDGE, ["10.0.0.6"])
    with pytest.raises(Refused, match="AUTHORITY-EXISTS"):
        folder.make(place, "shop", NOW_MS)
    assert {one.name: one.read_bytes() for one in place.glob("*.key")} == before
    with folder.opened(place, NOW_MS) as one:
        one.create(EDGE, ["10.0.0.6"], replacing=True)
    after = {one.name: one.read_bytes() for one in place.glob("*.key")}
    assert [name for name in after if after[name] != before[name]] == ["agent-edge.key"]


def test_what_is_renewed_keeps_its_names_and_has_another_key(place: Path) -> None:
    before = x509.load_pem_x509_certificate((place / "agent-edge.pem").read_bytes())
    later = NOW_MS + 60 * DAY_MS
    with folder.opened(place, later) as authority:
        authority.renew(EDGE)
    after = x509.load_pem_x509_certificate((place / "agent-edge.pem").read_bytes())
    kind = x509.SubjectAlternativeName
    names = [one.extensions.get_extension_for_class(kind) for one in (before, after)]
    assert names[0] == names[1] and before.public_key() != after.public_key()
    assert states(place, later + DAY_MS) == {
        "agent-edge.pem": State.GOOD,
        "ca.pem": State.GOOD,
        "controller-a.pem": State.ENDING,
    }
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
        place / "agent-edge.pem", place / "agent-edge.key"
    )


def test_a_revocation_reaches_every_certificate_of_the_name(place: Path) -> None:
    """The one before a renewal is still valid: it is the one that was stolen."""
    old = x509.load_pem_x509_certificate((place / "controller-a.pem").read_bytes())
    with folder.opened(place, NOW_MS) as authority:
        authority.renew(A)
    with folder.opened(place, NOW_MS) as authority:
        assert len(authority.revoke(A)) == 2
    revoked = x509.load_pem_x509_crl((place / "revoked.pem").read_bytes())
    assert revoked.get_revoked_certificate_by_serial_number(old.serial_number)
    assert len(revoked) == 2 and states(place)["controller-a.pem"] is State.REVOKED
    with (
        pytest.raises(Refused, match="KEY-REVOKED"),
        folder.opened(place, NOW_MS) as one,
    ):
        one.renew(A)
    with folder.opened(place, NOW_MS) as authority:
        authority.create(A, replacing=True)
    assert states(place)["controller-a.pem"] is State.GOOD


def test_who_was_revoked_is_listed_also_if_the_list_was_not_written(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the register and the list; the next command mends it."""

    def killed(authority: folder.Authority) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(folder.Authority, "sign_list", killed)
        with pytest.raises(KeyboardInterrupt), folder.opened(place, NOW_MS) as one:
            one.revoke(A)
    with folder.opened(place, NOW_MS):
        """Any command signs the list."""
    assert states(place)["controller-a.pem"] is State.REVOKED


def test_a_list_grows_newer_with_every_command(place: Path) -> None:
    numbers = []
    for day in range(3):
        with folder.opened(place, NOW_MS + day * DAY_MS):
            """Nothing else."""
        found = reading.listing(place, NOW_MS).list
        assert found is not None
        numbers.append((found.number, found.ends_ms))
    assert numbers == sorted(set(numbers)) and numbers[0] < numbers[-1]


def test_two_commands_never_work_on_one_folder(place: Path) -> None:
    with (
        folder.opened(place, NOW_MS),
        pytest.raises(Refused, match="AUTHORITY-BUSY"),
        folder.opened(place, NOW_MS),
    ):
        """Not reached."""


def test_a_key_with_a_passphrase_opens_with_it_alone(tmp_path: Path) -> None:
    place, word = tmp_path / "k", b"correct horse battery"
    folder.make(place, "shop", NOW_MS, word)
    assert folder.is_locked(place) and b"ENCRYPTED" in (place / "ca.key").read_bytes()
    for wrong, says in ((b"", "with a passphrase only"), (b"guess", "does not open")):
        with pytest.raises(Refused, match=says), folder.opened(place, NOW_MS, wrong):
            """Not reached."""
    with folder.opened(place, NOW_MS, word) as authority:
        authority.create(A)
    assert b"ENCRYPTED" not in (place / "controller-a.key").read_bytes()


@pytest.mark.parametrize("harm", ["no key", "damaged", "of another authority"])
def test_an_authority_that_cannot_sign_says_why(harm: str, place: Path) -> None:
    if harm == "no key":
        (place / "ca.key").unlink()
    elif harm == "damaged":
        (place / "ca.key").write_text("nothing")
    else:
        other = making.authority("another", NOW_MS)
        (place / "ca.key").write_bytes(other.key_pem())
    with (
        pytest.raises(Refused, match="NO-AUTHORITY") as found,
        folder.opened(place, NOW_MS),
    ):
        """Not reached."""
    assert found.value.reason.because and found.value.reason.next


@pytest.mark.parametrize(
    ("day", "state"), [(59, State.GOOD), (61, State.ENDING), (91, State.EXPIRED)]
)
def test_who_is_near_the_end_is_told(day: int, state: State, place: Path) -> None:
    now_ms = NOW_MS + day * DAY_MS
    told = reading.listing(place, now_ms).certificates
    assert {one.file: one.state for one in told}["controller-a.pem"] is state
    due = [one.file for one in told if reading.is_due(one)]
    assert bool(due) is (state is not State.GOOD) and "ca.pem" not in due


def test_what_a_certificate_of_another_authority_lacks_is_told(tmp_path: Path) -> None:
    """The fields that docs/keys.md asks for, each found when it is missing."""
    signer = making.authority("Example Ltd", NOW_MS)
    (tmp_path / "ca.pem").write_bytes(signer.pem)
    uri = x509.UniformResourceIdentifier("dayshift://shop/agent/edge")
    cases: dict[str, tuple[list[x509.GeneralName], list[x509.ObjectIdentifier], str]]
    cases = {
        "nameless": ([making.host("edge.example")], [making.SERVER], "no URI"),
        "client": ([uri, making.host("e.x")], [making.CLIENT], "lacks serverAuth"),
        "nowhere": ([uri], [making.SERVER], "no address or name"),
        "right": ([uri, making.host("e.x")], [making.SERVER, making.CLIENT], ""),
    }
    for name, (names, purposes, _) in cases.items():
        pair = making.certificate(signer, name, names, purposes, NOW_MS)
        (tmp_path / f"{name}.pem").write_bytes(pair.pem)
    stranger = making.authority("another", NOW_MS)
    names = [uri, making.host("e.x")]
    pair = making.certificate(stranger, "x", names, [making.SERVER], NOW_MS)
    (tmp_path / "stranger.pem").write_bytes(pair.pem)
    (tmp_path / "right.key").write_bytes(pair.key_pem())
    (tmp_path / "right.key").chmod(0o640)
    told = reading.listing(tmp_path, NOW_MS).certificates
    faults = {one.file.removesuffix(".pem"): one.faults for one in told}
    for name, (_, _, says) in cases.items():
        if says:
            assert len(faults[name]) == 1 and says in faults[name][0]
    assert faults["stranger"] == ("it is not of the authority in ca.pem",)
    assert "mode 0640" in faults["right"][0] and faults["ca"] == ()
