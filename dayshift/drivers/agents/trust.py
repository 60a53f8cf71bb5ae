"""What one side shows and whom it believes, by files that may change at any time.

A context is made for each new stream, so that renewed certificates count without a
restart. Where the files of now are no usable pair (one of two was replaced, a copy is
under way), the last good one goes on and that is said. Not here: who the other side is
(`names`), or how TLS is set up (`tls`).
"""

from __future__ import annotations

import ssl
from asyncio import StreamWriter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from cryptography import x509

from dayshift.drivers.agents import tls
from dayshift.drivers.agents.revoked import Revoked
from dayshift.errors import DriverFault

DAY_MS = 86_400_000
LOOK_MS = 60_000
"""So long may a renewed certificate lie there until it is spoken of no more."""


def is_ending(begins_ms: int, ends_ms: int, now_ms: int) -> bool:
    """Whether what is valid from then to then should be renewed: less than a third of
    its time is left."""
    return 3 * (ends_ms - now_ms) < ends_ms - begins_ms


class Trust:
    """One side's certificate, authority and revocation list."""

    def __init__(
        self,
        files: tls.TlsFiles,
        base_dir: Path,
        secret: Callable[[str], str],
        server: bool,
    ) -> None:
        self._files = files
        self._base_dir = base_dir
        self._secret = secret
        self._server = server
        self._last: ssl.SSLContext | None = None
        self._fault = ""
        self._begins_ms = 0
        self._looked_ms = 0
        self.ends_ms = 0
        """When the certificate that is shown ends; 0 before the first stream."""
        self._revoked: Revoked | None = None
        if files.revoked:
            self._revoked = Revoked(
                base_dir / files.revoked, lambda: self._content(files.ca)
            )

    def require(self) -> None:
        """Look at every file now.

        Raises:
            DriverFault: one of them cannot be used.
        """
        self.context()
        if self._revoked is not None:
            self._revoked.refresh()

    def context(self) -> ssl.SSLContext:
        """TLS for a new stream.

        Raises:
            DriverFault: the files cannot be used, and never could.
        """
        try:
            made = tls.context(
                self._files, self._base_dir, self._secret, server=self._server
            )
        except DriverFault as error:
            if self._last is None:
                raise
            self._fault = (
                f"{error.reason.what} ({error.reason.because}); the certificate before "
                "is still shown"
            )
            return self._last
        self._last, self._fault = made, ""
        self._look()
        return made

    def refused(self, writer: StreamWriter) -> str | None:
        """Why the other side of an open stream is not believed any more, or None.

        Raises:
            DriverFault: there should be a revocation list, and there never was one.
        """
        shown = writer.get_extra_info("ssl_object")
        if self._revoked is None or shown is None:
            return None
        certificate = shown.getpeercert(binary_form=True)
        return self._revoked.reason(certificate) if certificate else None

    def list_number(self) -> int:
        """The number of the revocation list that counts here now; 0 without one."""
        return self._revoked.number() if self._revoked else 0

    def notes(self, now_ms: int) -> Iterator[str]:
        """What somebody should see to, although it works now."""
        self._look_again(now_ms)
        if self._fault:
            yield self._fault
        left_ms = self.ends_ms - now_ms
        if is_ending(self._begins_ms, self.ends_ms, now_ms):
            when = f"ends in {left_ms // DAY_MS} days" if left_ms > 0 else "has ended"
            yield f"its certificate {when}: `dayshift keys renew`"
        if self._revoked and (trouble := self._revoked.trouble(now_ms)):
            yield trouble

    def _look_again(self, now_ms: int) -> None:
        """See what a next stream would be shown, though streams live for long."""
        if abs(now_ms - self._looked_ms) >= LOOK_MS:
            self._looked_ms = now_ms
            with suppress(DriverFault):
                self.context()

    def _look(self) -> None:
        """How long the certificate that is shown is good for."""
        try:
            shown = x509.load_pem_x509_certificate(self._content(self._files.cert))
        except (OSError, ValueError):
            return  # It was replaced this very moment; the next stream looks again.
        self._begins_ms = int(shown.not_valid_before_utc.timestamp()) * 1_000
        self.ends_ms = int(shown.not_valid_after_utc.timestamp()) * 1_000

    def _content(self, named: str) -> bytes:
        return tls.content(named, self._base_dir, self._secret)
