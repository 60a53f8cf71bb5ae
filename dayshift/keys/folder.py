"""The folder of an authority: its key, what it issued, and its revocation list.

Here: files and their order. Every file is there whole or not at all, keys for their
owner alone, and none is replaced unless that very word was given. Not here: what stands
in a certificate (`making`), or what is told of one (`reading`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace

from dayshift.drivers.agents.names import Identity, parse_identity
from dayshift.drivers.files import locked
from dayshift.errors import Reason, Refused
from dayshift.journal.durable import make_folder, write_whole
from dayshift.keys import making
from dayshift.keys.making import DAYS, Pair

CA, CA_KEY, LIST, REGISTER = "ca.pem", "ca.key", "revoked.pem", "issued.json"
SECRET, PUBLIC = 0o600, 0o644


class Issued(msgspec.Struct, frozen=True):
    """One certificate that the authority signed."""

    serial: str
    who: str
    hosts: tuple[str, ...]
    ends_ms: int
    revoked_ms: int = 0

    @property
    def identity(self) -> Identity:
        """Whose it is."""
        found = parse_identity(self.who)
        assert found is not None, self.who
        return found


class Register(msgspec.Struct, frozen=True):
    """What the authority knows of itself; `list_number` counts revocation lists."""

    estate: str
    list_number: int = 0
    issued: tuple[Issued, ...] = ()

    def of(self, who: Identity) -> tuple[Issued, ...]:
        """Every certificate of one holder, oldest first."""
        return tuple(one for one in self.issued if one.who == str(who))


def stem(who: Identity) -> str:
    """How the files of one holder are called, without their endings."""
    return f"{who.role.value}-{who.name}"


def register_of(folder: Path) -> Register | None:
    """What the authority wrote down; None where there is no authority.

    Raises:
        Refused: its register cannot be read.
    """
    path = folder / REGISTER
    try:
        return msgspec.json.decode(path.read_bytes(), type=Register)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise Refused(_unusable(folder, f"{path}: {error}")) from None


def make(folder: Path, estate: str, now_ms: int, passphrase: bytes = b"") -> None:
    """Make the authority of one estate; a folder has one, for ever.

    Raises:
        Refused: there is one already.
    """
    make_folder(folder)
    for name in (CA, CA_KEY, REGISTER):
        if (folder / name).exists():
            raise Refused(
                Reason(
                    "AUTHORITY-EXISTS",
                    f"{folder / name} exists",
                    because="a new authority would cut every agent off",
                    so="nothing was written",
                    next="go on with this one, or name another --keys-dir",
                )
            )
    signer = making.authority(f"Dayshift authority of {estate}", now_ms)
    write_whole(folder / CA_KEY, signer.key_pem(passphrase), SECRET)
    write_whole(folder / CA, signer.pem, PUBLIC)
    _keep(folder, Register(estate))
    with opened(folder, now_ms, passphrase):
        """An empty list is there from the first day: nobody has to add it later."""


@contextmanager
def opened(folder: Path, now_ms: int, passphrase: bytes = b"") -> Iterator[Authority]:
    """The authority with its key, alone; its list is signed anew at the end.

    Raises:
        Refused: there is none, its key does not open, or somebody else is at it.
    """
    register = register_of(folder)
    if register is None:
        raise Refused(_unusable(folder, f"there is no {REGISTER}"))
    with locked(folder / REGISTER) as mine:
        if not mine:
            raise Refused(
                Reason(
                    "AUTHORITY-BUSY",
                    f"another `dayshift keys` is at work in {folder}",
                    because="two would lose what one of them issued",
                    so="nothing was written",
                    next="the same command again",
                )
            )
        signer = _signer(folder, passphrase)
        found = register_of(folder)
        assert found is not None
        authority = Authority(folder, signer, found, now_ms)
        try:
            yield authority
        finally:
            authority.sign_list()


def is_locked(folder: Path) -> bool:
    """True when the authority's key wants a passphrase."""
    try:
        return b"ENCRYPTED" in (folder / CA_KEY).read_bytes()
    except OSError:
        return False


class Authority:
    """An authority that was opened: it issues, renews and revokes."""

    def __init__(
        self, folder: Path, signer: Pair, register: Register, now_ms: int
    ) -> None:
        self.folder = folder
        self.register = register
        self._signer = signer
        self._now_ms = now_ms

    @property
    def estate(self) -> str:
        return self.register.estate

    def create(
        self,
        who: Identity,
        hosts: Sequence[str] = (),
        days: int = DAYS,
        replacing: bool = False,
    ) -> Issued:
        """A first certificate and key of somebody.

        Raises:
            Refused: there are files of that name, and nobody said to replace them.
        """
        if not replacing:
            self.require_vacant(who)
        return self._issue(who, tuple(hosts), days)

    def require_vacant(self, who: Identity) -> None:
        """Nothing of somebody may lie here.

        Raises:
            Refused: something does.
        """
        for path in self.files(who):
            if path.exists():
                shown = f"{who.role.value}/{who.name}"
                raise Refused(
                    Reason(
                        "KEY-EXISTS",
                        f"{path} exists",
                        because="a key is never overwritten by the way",
                        so="nothing was written",
                        next=f"`dayshift keys renew {shown}`, or the same command with "
                        "`--replace`",
                    )
                )

    def renew(self, who: Identity, days: int = DAYS) -> Issued:
        """A new key and certificate in the place of the old, for the same hosts; the
        old certificate stays valid until its end.

        Raises:
            Refused: none was ever issued, or the last one was revoked.
        """
        known = self.register.of(who)
        if not known or known[-1].revoked_ms:
            shown = f"{who.role.value}/{who.name}"
            raise Refused(
                Reason(
                    "KEY-REVOKED" if known else "KEY-UNKNOWN",
                    f"the certificate of {shown} was revoked"
                    if known
                    else f"no certificate of {shown} was issued here",
                    because="what is renewed was good before",
                    so="nothing was written",
                    next="`dayshift keys list` shows what there is; `dayshift keys "
                    "create` makes a certificate, with `--replace` after a revocation",
                )
            )
        return self._issue(who, known[-1].hosts, days)

    def revoke(self, who: Identity) -> tuple[Issued, ...]:
        """Let no certificate of somebody count any more; the ones that still did."""
        gone = tuple(
            one
            for one in self.register.of(who)
            if not one.revoked_ms and one.ends_ms > self._now_ms
        )
        self._keep(
            tuple(
                replace(one, revoked_ms=self._now_ms) if one in gone else one
                for one in self.register.issued
            )
        )
        return gone

    def sign_list(self) -> None:
        """Sign the revocation list anew, so that its end moves on."""
        number = self.register.list_number + 1
        self.register = replace(self.register, list_number=number)
        _keep(self.folder, self.register)
        revoked = {
            int(one.serial, 16): one.revoked_ms
            for one in self.register.issued
            if one.revoked_ms
        }
        content = making.revocation_list(self._signer, revoked, number, self._now_ms)
        write_whole(self.folder / LIST, content, PUBLIC)

    def files(self, who: Identity) -> tuple[Path, Path]:
        """Certificate and key of somebody."""
        name = stem(who)
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def _issue(self, who: Identity, hosts: tuple[str, ...], days: int) -> Issued:
        title = f"{who.role.value} {who.name}"
        names = [x509.UniformResourceIdentifier(str(who)), *map(making.host, hosts)]
        purpose = [making.PURPOSE[who.role]]
        pair = making.certificate(
            self._signer, title, names, purpose, self._now_ms, days
        )
        ends_ms = int(pair.certificate.not_valid_after_utc.timestamp()) * 1_000
        serial = f"{pair.certificate.serial_number:x}"
        one = Issued(serial, str(who), hosts, ends_ms)
        # Written down first: what was signed can be revoked, whatever happens next.
        self._keep((*self.register.issued, one))
        path, key = self.files(who)
        write_whole(key, pair.key_pem(), SECRET)
        write_whole(path, pair.pem, PUBLIC)
        return one

    def _keep(self, issued: tuple[Issued, ...]) -> None:
        self.register = replace(self.register, issued=issued)
        _keep(self.folder, self.register)


def _keep(folder: Path, register: Register) -> None:
    content = msgspec.json.format(msgspec.json.encode(register), indent=1)
    write_whole(folder / REGISTER, content + b"\n", SECRET)


def _signer(folder: Path, passphrase: bytes) -> Pair:
    try:
        certificate = x509.load_pem_x509_certificate((folder / CA).read_bytes())
        key = serialization.load_pem_private_key(
            (folder / CA_KEY).read_bytes(), passphrase or None
        )
    except TypeError:
        raise Refused(_locked(folder, bool(passphrase))) from None
    except (OSError, ValueError) as error:
        if passphrase and is_locked(folder):
            raise Refused(_locked(folder, True)) from None
        raise Refused(_unusable(folder, str(error))) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Refused(_unusable(folder, f"{CA_KEY} is no key of an elliptic curve"))
    if certificate.public_key() != key.public_key():
        raise Refused(_unusable(folder, f"{CA_KEY} is not the key of {CA}"))
    return Pair(certificate, key)


def _unusable(folder: Path, why: str) -> Reason:
    return Reason(
        "NO-AUTHORITY",
        f"there is no usable authority in {folder}",
        because=why,
        so="nothing was written",
        next="`dayshift keys create --estate NAME` makes one; `--keys-dir` names "
        "another place",
    )


def _locked(folder: Path, tried: bool) -> Reason:
    key = folder / CA_KEY
    return Reason(
        "AUTHORITY-LOCKED",
        f"the passphrase does not open {key}"
        if tried
        else f"{key} opens with a passphrase only",
        because="it is another one, or the key has none"
        if tried
        else "no passphrase was given, and nobody could be asked",
        so="nothing was written",
        next="`--passphrase file:PATH`, or `--passphrase ask` at a terminal",
    )
