"""What every dial of routes is told: regions, prefixes, speakers, transit routers."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from ipaddress import ip_address, ip_network
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from dayshift.drivers.base import Millis, StrictOptions
from dayshift.drivers.process import Argv


def _prefix(text: str) -> str:
    net = ip_network(text)
    if not net.prefixlen:
        raise ValueError(f"{text} is every address there is")
    return str(net)


def _address(text: str) -> str:
    return str(ip_address(text))


SHUT_PAUSE_MS = 1_000
Prefix = Annotated[str, AfterValidator(_prefix)]
Address = Annotated[str, AfterValidator(_address)]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$", max_length=63)]


def family_of(prefix: str) -> int:
    """4 or 6."""
    return ip_network(prefix).version


class SpeakerOptions(StrictOptions):
    """One speaker: its region, and how transit routers know it in their tables."""

    name: Word
    region: Word
    next_hops: tuple[Address, ...] = ()

    def commands(self) -> tuple[tuple[str, ...], ...]:
        """What is run to talk to it."""
        return ()


class CommandedSpeakerOptions(SpeakerOptions):
    """One speaker that is talked to by its daemon's own `command`."""

    command: Argv

    def commands(self) -> tuple[tuple[str, ...], ...]:
        """What is run to talk to it."""
        return (self.command,)


class PeerKind(StrEnum):
    """What answers at a transit router."""

    BIRD = "bird"
    FRR = "frr"


class PeerOptions(StrictOptions):
    """A transit router that is asked what it has of each speaker.

    `command` asks its daemon, `kernel` (`[ip]`, perhaps through ssh) its kernel.
    Without `ecmp` a router uses one route of several: its kernel then need not have
    every one that is announced.
    """

    name: Word
    kind: PeerKind
    command: Argv
    kernel: Argv | None = None
    ecmp: bool = True


class RouteOptions(StrictOptions):
    """What all dials of routes share.

    `shut_pause` is how long GRACEFUL_SHUTDOWN stands before the withdrawal; `settle`
    how long every layer has to show what was written. `one_machine` vouches that every
    controller runs on this machine.
    """

    regions: tuple[Word, ...] = Field(min_length=2)
    prefixes: tuple[Prefix, ...] = Field(min_length=1)
    peers: tuple[PeerOptions, ...] = ()
    shut_pause: Annotated[Millis, Field(le=3_000)] = SHUT_PAUSE_MS
    settle: Annotated[Millis, Field(gt=0, le=3_000)] = 2_000
    one_machine: bool = False

    def of_speakers(self) -> Sequence[SpeakerOptions]:
        """The speakers, whatever else the daemon's own options say of each."""
        found: Sequence[SpeakerOptions] = self.__dict__["speakers"]
        return found

    def commands(self) -> tuple[tuple[str, ...], ...]:
        """As `RunsCommands`."""
        speakers = [argv for one in self.of_speakers() for argv in one.commands()]
        peers = [argv for one in self.peers for argv in (one.command, one.kernel)]
        return tuple(argv for argv in [*speakers, *peers] if argv)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        speakers = self.of_speakers()
        for what, values in (
            ("region", list(self.regions)),
            ("prefix", list(self.prefixes)),
            ("speaker", [one.name for one in speakers]),
            ("peer", [one.name for one in self.peers]),
            ("next hop", [hop for one in speakers for hop in one.next_hops]),
        ):
            twice = sorted({one for one in values if values.count(one) > 1})
            if twice:
                raise ValueError(f"{what} {twice[0]!r} is named twice")
        families = {family_of(one) for one in self.prefixes}
        for one in speakers:
            if one.region not in self.regions:
                raise ValueError(f"speaker {one.name!r} is of no region of `regions`")
            known = {ip_address(hop).version for hop in one.next_hops}
            if self.peers and families - known:
                raise ValueError(
                    f"speaker {one.name!r} needs a next hop for each family of "
                    "`prefixes`, by which the peers know it"
                )
        return self
