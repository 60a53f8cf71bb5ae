"""Whose certificate counts no more although it is valid: signed revocation lists.

The file is looked at whenever somebody is believed, so that a new list counts at once,
also on streams that are open. Not here: making lists (`dayshift.keys`).

Holds: whatever lies there, a certificate that was once listed is not believed again
while this process runs on the same authority's older or damaged list.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPublicKeyTypes,
)

from dayshift.errors import DriverFault, Reason

_LIST = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)
Stamp = tuple[int, int, int]


class Revoked:
    """The lists in one file, as it is now or as it could be read last."""

    def __init__(self, path: Path, authorities: Callable[[], bytes]) -> None:
        self._path = path
        self._authorities = authorities
        self._known: dict[bytes, x509.CertificateRevocationList] = {}
        self._stamp: Stamp | None = None
        self._fault = ""

    def refresh(self) -> None:
        """Read the file again if it changed.

        Raises:
            DriverFault: it cannot be used, and no list was ever read.
        """
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp != self._stamp:
                self._take()
                self._stamp = stamp
            self._fault = ""
        except (OSError, ValueError) as error:
            self._stamp = None
            why = getattr(error, "strerror", None) or str(error)
            self._fault = f"the revocation list {self._path.name} is not usable: {why}"
            if not self._known:
                raise DriverFault(self._unusable(str(why))) from None

    def reason(self, certificate: bytes) -> str | None:
        """Why this certificate (DER) is not believed any more, or None."""
        self.refresh()
        shown = x509.load_der_x509_certificate(certificate)
        known = self._known.get(shown.issuer.public_bytes())
        if known is None:
            return None
        serial = shown.serial_number
        entry = known.get_revoked_certificate_by_serial_number(serial)
        if entry is None:
            return None
        return f"serial {serial:x} was revoked on {entry.revocation_date_utc:%Y-%m-%d}"

    def number(self) -> int:
        """The newest list's number; 0 before the first."""
        self._look()
        return max(map(_number, self._known.values()), default=0)

    def _ends_ms(self) -> int:
        """When the first of the lists is old; 0 where that is not said."""
        ends = [one.next_update_utc for one in self._known.values()]
        return min((int(one.timestamp() * 1_000) for one in ends if one), default=0)

    def trouble(self, now_ms: int) -> str:
        """What is wrong with the lists, although they are still obeyed; or nothing."""
        self._look()
        if self._fault:
            then = (
                "the one before still counts" if self._known else "nobody is believed"
            )
            return f"{self._fault}; {then}"
        ends_ms = self._ends_ms()
        if 0 < ends_ms < now_ms:
            days = (now_ms - ends_ms) // 86_400_000
            return (
                f"revocation list {self.number()} is old: it ended {days} days ago, "
                "and who was revoked since is not known"
            )
        return ""

    def _look(self) -> None:
        with suppress(DriverFault):
            self.refresh()

    def _take(self) -> None:
        lists = [*map(x509.load_pem_x509_crl, _LIST.findall(self._path.read_bytes()))]
        if not lists:
            raise ValueError("it holds no list")
        signers = x509.load_pem_x509_certificates(self._authorities())
        for one in lists:
            if not any(_signed(one, signer) for signer in signers):
                raise ValueError("its authority is not one that is trusted here")
            before = self._known.get(one.issuer.public_bytes())
            if before is not None and _number(one) < _number(before):
                older, newer = _number(one), _number(before)
                raise ValueError(f"it is list {older}, older than {newer}")
        self._known = {one.issuer.public_bytes(): one for one in lists}

    def _unusable(self, why: str) -> Reason:
        return Reason(
            "REVOCATION-UNREADABLE",
            f"the revocation list {self._path} cannot be used",
            because=why,
            so="nobody is believed without it",
            next="put the authority's `revoked.pem` there; `dayshift keys list` shows "
            "it, docs/keys.md has more",
        )


def _number(one: x509.CertificateRevocationList) -> int:
    try:
        return one.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return 0


def _signed(one: x509.CertificateRevocationList, by: x509.Certificate) -> bool:
    if one.issuer != by.subject:
        return False
    key = by.public_key()
    try:
        # Of a key that signs nothing it says so itself.
        return one.is_signature_valid(cast(CertificateIssuerPublicKeyTypes, key))
    except TypeError:
        return False
