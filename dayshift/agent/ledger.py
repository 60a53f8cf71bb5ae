"""What the agent must still know after it was killed: one durable file for each dial.

Holds: what is written here is on the disk before anything moves because of it.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

import msgspec

from dayshift.errors import DriverFault, Reason, Refused
from dayshift.model.dial import Claim, Setting
from dayshift.model.units import Instant


class Lease(msgspec.Struct, frozen=True):
    """Where a dial goes back to unless it is renewed, counted from `armed`."""

    revert_to: Setting
    armed: Instant
    lease_ms: int

    def left_ms(self, now: Instant) -> int:
        """How long it still runs; 0 once it has run out.

        After a reboot only the wall clock is left; one that went back proves nothing,
        and then the lease has run out.
        """
        if now.boot_id == self.armed.boot_id:
            passed = now.mono_ms - self.armed.mono_ms
        else:
            passed = now.wall_ms - self.armed.wall_ms
        return max(0, self.lease_ms - passed) if passed >= 0 else 0


class Entry(msgspec.Struct, frozen=True):
    """One dial: the last claim that was let in and acknowledged by the device, one that
    was let in and whose effect is not known, the highest epoch, and the lease."""

    claim: Claim | None = None
    pending: Claim | None = None
    fence: Claim | None = None
    lease: Lease | None = None

    @property
    def newest(self) -> Claim | None:
        """The claim that may stand at the device."""
        known = [one for one in (self.claim, self.pending) if one is not None]
        return max(known, key=lambda one: (one.epoch, one.seq), default=None)


class Ledger:
    """The state directory; one agent has it at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock: IO[str] | None = None

    def open(self) -> None:
        """Take it.

        Raises:
            Refused: another agent runs on it.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (self._folder / "agent.lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise Refused(
                Reason(
                    "AGENT-RUNS",
                    f"another agent uses {self._folder}",
                    because="two agents would not know of one another's leases",
                    so="this one did not start",
                    next="stop the other one, or give this one its own `state:`",
                )
            ) from None
        self._lock = lock

    def close(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def load(self, dial: str) -> Entry:
        """What is known of a dial; nothing for a new one.

        Raises:
            DriverFault: its file is damaged: who wrote the dial last is unknown.
        """
        path = self._path(dial)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Entry)
        except FileNotFoundError:
            return Entry()
        except (OSError, msgspec.MsgspecError) as error:
            raise DriverFault(
                Reason(
                    "LEDGER-DAMAGED",
                    f"{path} cannot be read: {error}",
                    because="it says who wrote the dial last, and what expires",
                    so=f"dial {dial} is not touched",
                    next=f"look at the device; `dayshift agent --forget {dial}`",
                )
            ) from None

    def save(self, dial: str, entry: Entry) -> None:
        """Replace what is known, durably.

        Raises:
            DriverFault: the disk refuses; nothing may move then.
        """
        path = self._path(dial)
        temp = path.with_suffix(".new")
        try:
            with temp.open("wb") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(msgspec.json.encode(entry))
                file.flush()
                os.fsync(file.fileno())
            temp.rename(path)
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise DriverFault(
                Reason(
                    "LEDGER-UNWRITABLE",
                    f"{path} cannot be written: {error.strerror}",
                    because="nothing moves that the agent would not know of later",
                    so="nothing moved",
                    next="make room, or see to the rights of the state directory",
                )
            ) from None

    def forget(self, dial: str) -> bool:
        """Drop what is known of a dial; True if something was."""
        path = self._path(dial)
        known = path.exists()
        path.unlink(missing_ok=True)
        return known

    def _path(self, dial: str) -> Path:
        return self._folder / f"dial-{dial}.json"
