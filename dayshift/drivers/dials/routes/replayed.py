"""Speakers that forget their routes when they end: a file keeps them, to be replayed.

Its first line is the mark, for which such a daemon has no place of its own. Here: what
the estate says of such a speaker, and its file. Not here: the daemon.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from dayshift.drivers.dials.routes import kept_file
from dayshift.drivers.dials.routes.mark import Mark, parse_mark
from dayshift.drivers.dials.routes.options import (
    Address,
    RouteOptions,
    SpeakerOptions,
    family_of,
)
from dayshift.errors import DriverFault, Reason


class ReplayedSpeakerOptions(SpeakerOptions):
    """One speaker: the file to replay, and its neighbours of each family.

    `next_hops` are what it announces the routes with.
    """

    file: str = Field(min_length=1)
    ipv4: tuple[Address, ...] = ()
    ipv6: tuple[Address, ...] = ()

    def hops(self, prefixes: Sequence[str]) -> dict[str, str]:
        """The next hop of each prefix."""
        return {
            prefix: hop
            for prefix in prefixes
            for hop in self.next_hops
            if (":" in hop) == (":" in prefix)
        }


def check_replayed(
    options: RouteOptions, speakers: Sequence[ReplayedSpeakerOptions]
) -> None:
    """Raise ValueError unless each speaker can announce every prefix by itself."""
    for family in sorted({family_of(one) for one in options.prefixes}):
        for one in speakers:
            if not (one.ipv4 if family == 4 else one.ipv6):
                raise ValueError(
                    f"speaker {one.name!r} names no neighbour in `ipv{family}`"
                )
            six = family == 6
            hops = [hop for hop in one.next_hops if (":" in hop) == six]
            if len(hops) != 1:
                raise ValueError(
                    f"speaker {one.name!r} needs one next hop of IPv{family}"
                )
    files = [one.file for one in speakers]
    if len(set(files)) < len(files):
        raise ValueError("two speakers have one `file`")


class Replay:
    """The file of one speaker: the mark, then one line for each route."""

    def __init__(self, speaker: str, file: Path) -> None:
        self._speaker = speaker
        self._file = file
        self.lock = kept_file.lock_of(file)

    def mark(self) -> Mark:
        """What it says now.

        Raises:
            DriverFault: it cannot be read, or has no mark.
        """
        first = kept_file.load(self._file).partition("\n")[0]
        mark = parse_mark(first.removeprefix("#"))
        if mark is None:
            raise DriverFault(
                Reason(
                    "ROUTES-UNUSABLE",
                    f"{self._speaker} has no mark in the first line of {self._file}",
                    next="mend the file as docs/dials says, then `dayshift check`",
                )
            )
        return mark

    def keep(self, mark: Mark, lines: Sequence[str]) -> None:
        """Let the next start of the daemon bring just these routes."""
        kept_file.replace(self._file, "\n".join([f"# {mark}", *lines, ""]))
