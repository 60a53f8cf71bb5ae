"""TLS 1.3 in both directions, from files or secrets that may change at any time.

Here: one context from the files of now. Not here: what goes on when they change
(`trust`), or who the other side is (`names`).
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec

from dayshift.errors import DriverFault, Reason

_REFERENCE = re.compile(r"(file|env|exec|systemd):")


class TlsFiles(msgspec.Struct, frozen=True):
    """Authority, certificate and key: paths, or references to secrets. `revoked` is the
    path of a revocation list; without one nobody is revoked."""

    ca: str
    cert: str
    key: str
    revoked: str = ""


def context(
    files: TlsFiles, base_dir: Path, secret: Callable[[str], str], server: bool
) -> ssl.SSLContext:
    """A context that shows our certificate and asks for one of the same authority.

    Raises:
        DriverFault: a file is missing, unreadable, or not what it should be.
    """
    role = ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT
    made = ssl.SSLContext(role)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.verify_mode = ssl.CERT_REQUIRED
    with ExitStack() as stack:
        try:
            ca, cert, key = (
                _path(one, base_dir, secret, stack)
                for one in (files.ca, files.cert, files.key)
            )
            made.load_verify_locations(ca)
            # An encrypted key would ask at a terminal that nobody sits at.
            made.load_cert_chain(cert, key, password=lambda: "")
        except (OSError, ssl.SSLError) as error:
            raise DriverFault(_unusable(files, error)) from None
    return made


def until_ms(writer: asyncio.StreamWriter) -> int:
    """When the other side's certificate expires, in wall time; 0 where it showed none.

    Why: a handshake looks at it once, a stream may live for as long as it is busy.
    """
    cert = writer.get_extra_info("peercert") or {}
    ends = cert.get("notAfter")
    return int(ssl.cert_time_to_seconds(ends)) * 1_000 if ends else 0


def content(named: str, base_dir: Path, secret: Callable[[str], str]) -> bytes:
    """What a path or a reference to a secret holds.

    Raises:
        OSError: the file cannot be read.
    """
    if _REFERENCE.match(named):
        return secret(named).encode() + b"\n"
    return (base_dir / named).read_bytes()


def _path(
    named: str, base_dir: Path, secret: Callable[[str], str], stack: ExitStack
) -> str:
    """Where OpenSSL can read it; a secret's value never touches a disk."""
    if not _REFERENCE.match(named):
        return str(base_dir / named)
    file = os.memfd_create("dayshift-tls")
    stack.callback(os.close, file)
    os.write(file, content(named, base_dir, secret))
    return f"/proc/self/fd/{file}"


def _unusable(files: TlsFiles, error: OSError) -> Reason:
    named = ", ".join((files.ca, files.cert, files.key))
    return Reason(
        "TLS-UNUSABLE",
        f"no TLS can be made from {named}",
        because=error.strerror or str(error),
        so="no connection was made",
        next="`dayshift keys create` makes certificates; see docs/keys.md",
    )


def told(error: BaseException) -> str:
    """A TLS error in words that say what to mend."""
    detail = str(getattr(error, "verify_message", ""))
    whole = f"{error} {detail}".upper()
    for part, meaning in _MEANINGS.items():
        if part in whole:
            return meaning
    return detail or str(error) or type(error).__name__


_MEANINGS = {
    "CERTIFICATE_REQUIRED": "the other side asks for a certificate, and got none",
    "PEER_DID_NOT_RETURN": "the other side showed no certificate",
    "CERTIFICATE_EXPIRED": "the certificate has expired",
    "CERTIFICATE HAS EXPIRED": "the certificate has expired",
    "UNKNOWN_CA": "the certificate is of another authority",
    "UNABLE TO GET LOCAL ISSUER": "the certificate is of another authority",
    "SIGNATURE FAILURE": "the certificate is of another authority",
    "SELF-SIGNED": "the certificate is of another authority",
    "SELF SIGNED": "the certificate is of another authority",
    "HOSTNAME MISMATCH": "the certificate is for another host",
    "IP ADDRESS MISMATCH": "the certificate is for another host",
}
