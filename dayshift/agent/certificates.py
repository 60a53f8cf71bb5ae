"""An authority of our own for those who have none: controllers, agents, nobody else.

P-256 keys, files of mode 0600, names as `drivers.agents.names` reads them. Operators
with an authority of their own need only put the same URI into their certificates.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dayshift.drivers.agents.names import Identity
from dayshift.errors import Reason, Refused

CA_DAYS = 3_650
DAYS = 90
EARLY = timedelta(minutes=5)
"""Clocks of two machines differ a little."""


def init(folder: Path, estate: str, now_ms: int) -> Path:
    """Make an authority for one estate: `ca.pem` and `ca.key`.

    Raises:
        Refused: there is one already.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (folder / "ca.key").exists():
        raise Refused(
            Reason(
                "CA-EXISTS",
                f"{folder / 'ca.key'} exists",
                because="a new authority would cut every agent off",
                so="nothing was written",
                next="`dayshift agent-ca issue`, or another --ca-dir",
            )
        )
    key = ec.generate_private_key(ec.SECP256R1())
    name = _named(f"Dayshift authority of {estate}")
    usage = _usage(ca=True)
    certificate = (
        _begun(name, key.public_key(), now_ms, CA_DAYS)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    _write(folder / "ca.pem", certificate.public_bytes(serialization.Encoding.PEM))
    _write(folder / "ca.key", _key_bytes(key))
    return folder / "ca.pem"


def issue(
    folder: Path, who: Identity, hosts: Sequence[str], now_ms: int, days: int = DAYS
) -> tuple[Path, Path]:
    """Make or renew the certificate and key of one controller or agent.

    Raises:
        Refused: there is no authority in `folder`.
    """
    try:
        ca = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
        signer = serialization.load_pem_private_key(
            (folder / "ca.key").read_bytes(), None
        )
    except (OSError, ValueError) as error:
        raise Refused(
            Reason(
                "NO-AUTHORITY",
                f"there is no usable authority in {folder}",
                because=str(error),
                so="nothing was written",
                next="`dayshift agent-ca init` makes one",
            )
        ) from None
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if who.role.value == "agent":
        purposes = [ExtendedKeyUsageOID.SERVER_AUTH]
    names = [x509.UniformResourceIdentifier(str(who)), *map(_host, hosts)]
    certificate = (
        _begun(_named(f"{who.role.value} {who.name}"), key.public_key(), now_ms, days)
        .issuer_name(ca.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(signer, hashes.SHA256())
    )
    stem = folder / f"{who.role.value}-{who.name}"
    cert, secret = stem.with_suffix(".pem"), stem.with_suffix(".key")
    _write(secret, _key_bytes(key))
    _write(cert, certificate.public_bytes(serialization.Encoding.PEM))
    return cert, secret


def shown(folder: Path, now_ms: int) -> list[tuple[str, str, int]]:
    """Every certificate of a folder: file, who it is, and days until it expires."""
    found = []
    for path in sorted(folder.glob("*.pem")):
        one = x509.load_pem_x509_certificate(path.read_bytes())
        left = one.not_valid_after_utc - datetime.fromtimestamp(now_ms / 1000, UTC)
        try:
            kind = x509.SubjectAlternativeName
            names = one.extensions.get_extension_for_class(kind).value
            uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        except x509.ExtensionNotFound:
            uris = []
        found.append((path.name, ", ".join(uris) or "authority", left.days))
    return found


def _begun(
    name: x509.Name, key: ec.EllipticCurvePublicKey, now_ms: int, days: int
) -> x509.CertificateBuilder:
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLY if days > 0 else now + timedelta(days=days - 1))
        .not_valid_after(now + timedelta(days=days))
    )


def _named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _usage(ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, content: bytes) -> None:
    """Replace a file whole; only its owner may read it."""
    temp = path.with_name(f".{path.name}.new")
    temp.unlink(missing_ok=True)
    file = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "wb") as out:
        out.write(content)
    temp.rename(path)
