"""Certificates and revocation lists as such: what stands in them, nothing of files.

P-256 keys. Who somebody is stands in the certificate as `drivers.agents.names` reads
it; whoever has an authority already puts the same URI into its certificates.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dayshift.drivers.agents.names import Role

CA_DAYS = 3_650
DAYS = 90
LIST_DAYS = 90
EARLY = timedelta(minutes=5)
"""Clocks of two machines differ a little."""
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
PURPOSE = {Role.AGENT: SERVER, Role.CONTROLLER: CLIENT}
COMMON_NAME_MAX = 64


class Pair(NamedTuple):
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(self, passphrase: bytes = b"") -> bytes:
        """The key, enciphered where there is a passphrase."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(passphrase)
            if passphrase
            else serialization.NoEncryption(),
        )


def authority(title: str, now_ms: int, days: int = CA_DAYS) -> Pair:
    """An authority that signs certificates and lists, and no other authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = named(title)
    made = (
        _begun(name, key.public_key(), now_ms, days)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(ca=True), critical=True)
    )
    return Pair(made.sign(key, hashes.SHA256()), key)


def certificate(
    signer: Pair,
    title: str,
    names: Iterable[x509.GeneralName],
    purposes: Sequence[x509.ObjectIdentifier],
    now_ms: int,
    days: int = DAYS,
) -> Pair:
    """A certificate with a new key, signed by `signer`."""
    key = ec.generate_private_key(ec.SECP256R1())
    by = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key())
    made = (
        _begun(named(title), key.public_key(), now_ms, days)
        .issuer_name(signer.certificate.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=not title)
        .add_extension(by, critical=False)
    )
    return Pair(made.sign(signer.key, hashes.SHA256()), key)


def revocation_list(
    signer: Pair, revoked_ms: Mapping[int, int], number: int, now_ms: int
) -> bytes:
    """A signed list of serial numbers and when each was revoked."""
    by = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key())
    made = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(signer.certificate.subject)
        .last_update(_at(now_ms) - EARLY)
        .next_update(_at(now_ms) + timedelta(days=LIST_DAYS))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(by, critical=False)
    )
    for serial, at_ms in sorted(revoked_ms.items()):
        entry = x509.RevokedCertificateBuilder().serial_number(serial)
        made = made.add_revoked_certificate(entry.revocation_date(_at(at_ms)).build())
    signed = made.sign(signer.key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


def host(text: str) -> x509.GeneralName:
    """A host's address or name, as clients compare it."""
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def named(title: str) -> x509.Name:
    """A common name; without a title none, as some servers want it."""
    text = title[:COMMON_NAME_MAX]
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])


def _begun(
    name: x509.Name, key: ec.EllipticCurvePublicKey, now_ms: int, days: int
) -> x509.CertificateBuilder:
    now = _at(now_ms)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLY if days > 0 else now + timedelta(days=days - 1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


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
