"""Every error that Dayshift raises, as one tree.

    DayshiftError
    ├── Refused            a guard said no; nothing moved             exit 5
    ├── SettingsInvalid    a file is wrong; every reason at once      exit 2
    ├── Driver
    │   ├── DriverRetry    the device is busy; try after `after_ms`
    │   └── DriverFault    the device failed, or answered nonsense    exit 1
    ├── JournalError
    │   ├── JournalBroken  the chain fails at `seq`                   exit 1
    │   ├── JournalNewer   a record asks for a newer Dayshift         exit 1
    │   ├── JournalHeld    another process is its writer              exit 5
    │   └── JournalFull    an append could not be made durable        exit 1
    └── Bug                our own mistake: logged, the process stops exit 1

Here lives what went wrong and the way out of it. No module below this one.
"""

from __future__ import annotations

import msgspec

EXIT_DONE = 0
EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_HELD = 3
EXIT_ABORTED = 4
EXIT_REFUSED = 5


class Reason(msgspec.Struct, frozen=True):
    """Why something was refused or failed: the cause, the effect and the way out."""

    code: str
    what: str
    because: str = ""
    so: str = ""
    next: str = ""

    def __str__(self) -> str:
        lines = [f"{self.code}: {self.what}"]
        for label, text in (
            ("because", self.because),
            ("so", self.so),
            ("next", self.next),
        ):
            if text:
                lines.append(f"  {label:<8} {text}")
        return "\n".join(lines)


class DayshiftError(Exception):
    """Root of the tree; carries one `Reason` and the exit code of the process."""

    exit_code = EXIT_ERROR

    def __init__(self, reason: Reason) -> None:
        super().__init__(str(reason))
        self.reason = reason


class Refused(DayshiftError):
    """A guard said no and nothing moved."""

    exit_code = EXIT_REFUSED


class SettingsInvalid(DayshiftError):
    """A file is wrong: all its reasons at once, each naming file and line."""

    exit_code = EXIT_USAGE

    def __init__(self, reasons: tuple[Reason, ...]) -> None:
        super().__init__(reasons[0])
        self.reasons = reasons

    def __str__(self) -> str:
        return "\n".join(str(reason) for reason in self.reasons)


class Driver(DayshiftError):
    """Something outside did not do as asked."""


class DriverRetry(Driver):
    """The device is busy or briefly away; the same call may succeed later."""

    def __init__(self, reason: Reason, after_ms: int) -> None:
        super().__init__(reason)
        self.after_ms = after_ms


class DriverFault(Driver):
    """The device failed or answered nonsense; a person or a new reading is needed."""


class JournalError(DayshiftError):
    """The journal cannot be used as it is."""


class JournalBroken(JournalError):
    """The chain does not verify; `seq` is the first bad record."""

    def __init__(self, reason: Reason, seq: int) -> None:
        super().__init__(reason)
        self.seq = seq


class JournalNewer(JournalError):
    """A newer Dayshift wrote a record that this one must not read."""


class JournalHeld(JournalError):
    """Another process is the journal's one writer."""

    exit_code = EXIT_REFUSED


class JournalFull(JournalError):
    """A record could not be made durable (disk full, store gone)."""


class Bug(DayshiftError):
    """Our own mistake. The process stops rather than act on a wrong belief."""

    def __init__(self, what: str) -> None:
        super().__init__(Reason("BUG", what, next="please report this"))
