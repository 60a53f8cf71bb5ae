"""A certificate authority for one test, and one pair that serves both ends."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.kit.etcds import TlsFiles

PEM = serialization.Encoding.PEM


def make_authority(folder: Path, name: str = "test") -> TlsFiles:
    """Files of an authority of its own; etcd's gateway is a client of its server, so
    the pair is good for both."""
    folder.mkdir(parents=True, exist_ok=True)
    signer = ec.generate_private_key(ec.SECP256R1())
    ca = _certificate(f"{name} authority", signer, signer, f"{name} authority", True)
    key = ec.generate_private_key(ec.SECP256R1())
    # No common name: etcd with users refuses one that comes through its gateway.
    pair = _certificate("", key, signer, f"{name} authority", False)
    files = TlsFiles(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    files.ca.write_bytes(ca.public_bytes(PEM))
    files.cert.write_bytes(pair.public_bytes(PEM))
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    files.key.write_bytes(key.private_bytes(PEM, form, plain))
    files.key.chmod(0o600)
    return files


def _named(name: str) -> x509.Name:
    told = [x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else []
    return x509.Name(told)


def _certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    issuer: str,
    authority: bool,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(_named(subject))
        .issuer_name(_named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(authority, None), True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
            False,
        )
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False
        )
    )
    if not authority:
        loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        names = [x509.DNSName("localhost"), loopback]
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        made = made.add_extension(x509.SubjectAlternativeName(names), False)
        made = made.add_extension(x509.ExtendedKeyUsage(usage), False)
    return made.sign(signer, hashes.SHA256())
