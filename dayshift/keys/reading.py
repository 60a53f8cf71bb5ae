"""What certificates and lists of a folder say, until when, and what is wrong with them.

Any folder with PEM files will do, also one of another authority, and also without its
key: nothing is opened here that could sign, and nothing is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from dayshift.drivers.agents.names import Identity, Role, parse_identity
from dayshift.drivers.agents.trust import DAY_MS, is_ending
from dayshift.keys.folder import CA, LIST
from dayshift.keys.making import PURPOSE

OTHERS = 0o077
E = TypeVar("E", bound=x509.ExtensionType)
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----")


class State(StrEnum):
    """Whether a certificate counts; `ending` has less than a third of its life left."""

    GOOD = "good"
    ENDING = "ending"
    EXPIRED = "expired"
    REVOKED = "revoked"


class Told(msgspec.Struct, frozen=True):
    """One certificate: `who` is what its names say, or what its authority is called."""

    file: str
    who: str
    hosts: tuple[str, ...]
    serial: str
    ends_ms: int
    days_left: int
    state: State
    faults: tuple[str, ...] = ()


class ListTold(msgspec.Struct, frozen=True):
    """The revocation list."""

    file: str
    number: int
    revoked: int
    ends_ms: int
    days_left: int
    state: State


class Listing(msgspec.Struct, frozen=True):
    """Everything that a folder holds."""

    certificates: tuple[Told, ...]
    list: ListTold | None


def listing(folder: Path, now_ms: int) -> Listing:
    """Read a folder; files that hold no certificate are passed over."""
    revoked = _revoked(folder)
    authorities = [*_certificates(folder / CA)]
    told = []
    for path in sorted(folder.glob("*.pem")):
        for one in _certificates(path):
            told.append(_told(path, one, authorities, revoked, now_ms))
    return Listing(tuple(told), _list(folder, revoked, now_ms))


def is_due(one: Told) -> bool:
    """Whether it should be renewed now."""
    return one.state in (State.ENDING, State.EXPIRED) and one.file != CA


def faults(one: x509.Certificate) -> Iterator[str]:
    """Why a certificate would not let its holder be a controller or an agent."""
    who = _identities(one)
    if not who:
        yield "it has no URI dayshift://ESTATE/controller|agent/NAME among its names"
    usage = _extension(one, x509.ExtendedKeyUsage)
    for each in who:
        if usage is not None and PURPOSE[each.role] not in usage:
            word = "serverAuth" if each.role is Role.AGENT else "clientAuth"
            yield f"its extended key usage lacks {word}"
        if each.role is Role.AGENT and not _hosts(one):
            yield "it has no address or name of the agent's machine"


def _told(
    path: Path,
    one: x509.Certificate,
    authorities: list[x509.Certificate],
    revoked: x509.CertificateRevocationList | None,
    now_ms: int,
) -> Told:
    basic = _extension(one, x509.BasicConstraints)
    authority = basic is not None and basic.ca
    who = ", ".join(map(str, _identities(one))) or one.subject.rfc4514_string()
    wrong = [] if authority else [*faults(one), *_beside(path, one)]
    if authorities and not any(_signed_by(one, each) for each in authorities):
        wrong.append(f"it is not of the authority in {CA}")
    ends_ms = int(one.not_valid_after_utc.timestamp()) * 1_000
    begins_ms = int(one.not_valid_before_utc.timestamp()) * 1_000
    state = _state(begins_ms, ends_ms, now_ms)
    if revoked is not None and one.issuer == revoked.issuer:
        serial = one.serial_number
        if revoked.get_revoked_certificate_by_serial_number(serial) is not None:
            state = State.REVOKED
    return Told(
        path.name,
        who,
        _hosts(one),
        f"{one.serial_number:x}",
        ends_ms,
        (ends_ms - now_ms) // DAY_MS,
        state,
        tuple(wrong),
    )


def _beside(path: Path, one: x509.Certificate) -> Iterator[str]:
    """What is wrong with the key of a certificate, where it lies beside it."""
    key = path.with_suffix(".key")
    if key.exists() and key.stat().st_mode & OTHERS:
        mode = key.stat().st_mode & 0o777
        yield f"{key.name} may be read by others (mode {mode:04o}, should be 0600)"


def _list(
    folder: Path, revoked: x509.CertificateRevocationList | None, now_ms: int
) -> ListTold | None:
    if revoked is None:
        return None
    ends, begins = revoked.next_update_utc, revoked.last_update_utc
    ends_ms = int(ends.timestamp()) * 1_000 if ends else 0
    number = _extension(revoked, x509.CRLNumber)
    return ListTold(
        LIST,
        number.crl_number if number else 0,
        len(revoked),
        ends_ms,
        (ends_ms - now_ms) // DAY_MS,
        _state(int(begins.timestamp()) * 1_000, ends_ms, now_ms),
    )


def _state(begins_ms: int, ends_ms: int, now_ms: int) -> State:
    if now_ms >= ends_ms:
        return State.EXPIRED
    return State.ENDING if is_ending(begins_ms, ends_ms, now_ms) else State.GOOD


def _certificates(path: Path) -> list[x509.Certificate]:
    try:
        content = path.read_bytes()
        if _CERTIFICATE.search(content) is None:
            return []
        return x509.load_pem_x509_certificates(content)
    except (OSError, ValueError):
        return []


def _revoked(folder: Path) -> x509.CertificateRevocationList | None:
    try:
        return x509.load_pem_x509_crl((folder / LIST).read_bytes())
    except (OSError, ValueError):
        return None


def _signed_by(one: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        one.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _names(one: x509.Certificate) -> x509.SubjectAlternativeName | None:
    return _extension(one, x509.SubjectAlternativeName)


def _identities(one: x509.Certificate) -> list[Identity]:
    names = _names(one)
    if names is None:
        return []
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return [found for uri in uris if (found := parse_identity(uri))]


def _hosts(one: x509.Certificate) -> tuple[str, ...]:
    names = _names(one)
    if names is None:
        return ()
    addresses = map(str, names.get_values_for_type(x509.IPAddress))
    return (*names.get_values_for_type(x509.DNSName), *addresses)


def _extension(
    one: x509.Certificate | x509.CertificateRevocationList, kind: type[E]
) -> E | None:
    try:
        return one.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
