"""What to do with what is found at open: a table, exhaustive and without overlap.

Each cell says for which findings it holds, what is done, and why. `findings` looks;
this only decides. A torn tail has no cell: SQLite drops what was never committed, and
what was committed is missed by the witnesses (`Witness.BEHIND`).
"""

from __future__ import annotations

from enum import Enum, StrEnum, auto

import msgspec

from dayshift.errors import Bug, Reason


class Lock(Enum):
    """Who may write. HELD: another process here has this folder. LED: the folder is
    ours, but another controller leads the shared store."""

    FREE = auto()
    HELD = auto()
    LED = auto()


class Database(Enum):
    """FOREIGN: a whole journal, but of another estate. EMPTY: it has no record.
    MOVED: it goes on in another store."""

    MISSING = auto()
    EMPTY = auto()
    MALFORMED = auto()
    FOREIGN = auto()
    MOVED = auto()
    SOUND = auto()


class Wal(Enum):
    """FOLDED: the last writer closed. GONE: it was killed, and left no log. A shared
    store has no log here: always FOLDED."""

    FOLDED = auto()
    PRESENT = auto()
    GONE = auto()


class Chain(Enum):
    """Of the records since the newest snapshot."""

    WHOLE = auto()
    BROKEN = auto()


class Witness(Enum):
    """The head, as seen from what was kept beside the database: the signed head, the
    mark of the last append, and the claims at dials. AHEAD of them is what a crash
    between an append and the next signature leaves, and what another controller of a
    shared store appended while this one did not lead."""

    NONE = auto()
    LEVEL = auto()
    AHEAD = auto()
    BEHIND = auto()
    FORKED = auto()


class Emergency(Enum):
    """READY: no entry. CHAINED: follows our chain. SPENT: was merged already."""

    ABSENT = auto()
    READY = auto()
    CHAINED = auto()
    SPENT = auto()
    FOREIGN = auto()
    DAMAGED = auto()


class Findings(msgspec.Struct, frozen=True):
    """What lies in a journal's directory."""

    lock: Lock
    database: Database
    wal: Wal
    chain: Chain
    witness: Witness
    emergency: Emergency


class Doing(StrEnum):
    """CREATE a journal, OPEN it, RESET a merged emergency file and open, MERGE its
    entries and open, or REFUSE."""

    CREATE = "create"
    OPEN = "open"
    RESET = "reset"
    MERGE = "merge"
    REFUSE = "refuse"


class Cell(msgspec.Struct, frozen=True):
    """One answer, for every combination of the listed findings."""

    code: str
    doing: Doing
    lock: frozenset[Lock] = frozenset(Lock)
    database: frozenset[Database] = frozenset(Database)
    wal: frozenset[Wal] = frozenset(Wal)
    chain: frozenset[Chain] = frozenset(Chain)
    witness: frozenset[Witness] = frozenset(Witness)
    emergency: frozenset[Emergency] = frozenset(Emergency)
    what: str = ""
    because: str = ""
    next: str = ""

    def holds(self, found: Findings) -> bool:
        return (
            found.lock in self.lock
            and found.database in self.database
            and found.wal in self.wal
            and found.chain in self.chain
            and found.witness in self.witness
            and found.emergency in self.emergency
        )

    def reason(self, detail: str) -> Reason:
        """The refusal, with what was found."""
        return Reason(
            self.code,
            f"{self.what} ({detail})" if detail else self.what,
            because=self.because,
            so="nothing was written and nothing moved",
            next=self.next,
        )


_FREE = frozenset({Lock.FREE})
_NOTHING = frozenset({Database.MISSING, Database.EMPTY})
_SOUND = frozenset({Database.SOUND})
_WHOLE = frozenset({Chain.WHOLE})
_REACHED = frozenset({Witness.NONE, Witness.LEVEL, Witness.AHEAD})
_UNUSED = frozenset({Emergency.ABSENT, Emergency.READY})
_RESTORE = (
    "bring back the newest copy of the whole directory; if there is none, begin anew "
    "as docs/stores.md says"
)

TABLE: tuple[Cell, ...] = (
    Cell(
        "JOURNAL-HELD",
        Doing.REFUSE,
        lock=frozenset({Lock.HELD}),
        what="another process is the journal's writer",
        because="a journal has one writer, the controller",
        next="ask that controller (`dayshift status`), or wait until it ends",
    ),
    Cell(
        "JOURNAL-LED",
        Doing.REFUSE,
        lock=frozenset({Lock.LED}),
        what="another controller leads",
        because="a journal has one writer, the controller whose lease has not ended",
        next="ask it (`dayshift status` names it); when it is gone, its lease ends by "
        "itself within seconds",
    ),
    Cell(
        "JOURNAL-MOVED-AWAY",
        Doing.REFUSE,
        lock=_FREE,
        database=frozenset({Database.MOVED}),
        what="this journal goes on in another store",
        because="it was moved there with `dayshift journal move`",
        next="write that store under `journal:` in dayshift.yaml",
    ),
    Cell(
        "JOURNAL-NEW",
        Doing.CREATE,
        lock=_FREE,
        database=frozenset({Database.MISSING}),
        wal=frozenset({Wal.FOLDED, Wal.GONE}),
        witness=_REACHED,
        emergency=_UNUSED,
    ),
    Cell(
        # A controller that was killed while it made its first journal.
        "JOURNAL-UNBORN",
        Doing.CREATE,
        lock=_FREE,
        database=frozenset({Database.EMPTY}),
        witness=_REACHED,
        emergency=_UNUSED,
    ),
    Cell(
        "JOURNAL-GONE",
        Doing.REFUSE,
        lock=_FREE,
        database=frozenset({Database.MISSING}),
        wal=frozenset({Wal.PRESENT}),
        witness=_REACHED,
        emergency=_UNUSED,
        what="the database is gone, its write-ahead log is not",
        because="somebody removed one file of several that belong together",
        next=_RESTORE,
    ),
    Cell(
        "JOURNAL-GONE",
        Doing.REFUSE,
        lock=_FREE,
        database=_NOTHING,
        witness=frozenset({Witness.BEHIND, Witness.FORKED}),
        what="the journal has no record, but it once had",
        because="its database was removed or emptied, or `journal:` names another "
        "store than the one where its records lie",
        next=f"`dayshift journal move` brings them over; else {_RESTORE}",
    ),
    Cell(
        "JOURNAL-GONE",
        Doing.REFUSE,
        lock=_FREE,
        database=_NOTHING,
        witness=_REACHED,
        emergency=frozenset(Emergency) - _UNUSED,
        what="an emergency journal is here, the journal that it continues is not",
        because="its database was removed or emptied",
        next=_RESTORE,
    ),
    Cell(
        "JOURNAL-MALFORMED",
        Doing.REFUSE,
        lock=_FREE,
        database=frozenset({Database.MALFORMED}),
        what="the database is damaged",
        because="its pages are not those that were written",
        next=_RESTORE,
    ),
    Cell(
        "JOURNAL-OF-ANOTHER-ESTATE",
        Doing.REFUSE,
        lock=_FREE,
        database=frozenset({Database.FOREIGN}),
        what="the journal belongs to another estate",
        because="a journal belongs to the one estate that its first record names",
        next="give this estate a state directory of its own",
    ),
    Cell(
        "JOURNAL-BROKEN",
        Doing.REFUSE,
        lock=_FREE,
        database=_SOUND,
        chain=frozenset({Chain.BROKEN}),
        what="the chain does not hold",
        because="the stored bytes are not those that were written",
        next=f"`dayshift audit` names what changed; {_RESTORE}",
    ),
    Cell(
        "JOURNAL-WAL-LOST",
        Doing.REFUSE,
        lock=_FREE,
        database=_SOUND,
        wal=frozenset({Wal.GONE}),
        chain=_WHOLE,
        witness=frozenset({Witness.BEHIND}),
        what="records are missing, and so is the write-ahead log that held them",
        because="the last controller was killed, then the log was removed",
        next=f"put journal.db-wal back if it was moved; else {_RESTORE}",
    ),
    Cell(
        "JOURNAL-BEHIND",
        Doing.REFUSE,
        lock=_FREE,
        database=_SOUND,
        wal=frozenset({Wal.FOLDED, Wal.PRESENT}),
        chain=_WHOLE,
        witness=frozenset({Witness.BEHIND}),
        what="the journal ends before what it is known to have held",
        because="an older copy was restored, or its end was cut off",
        next=_RESTORE,
    ),
    Cell(
        "JOURNAL-FORKED",
        Doing.REFUSE,
        lock=_FREE,
        database=_SOUND,
        chain=_WHOLE,
        witness=frozenset({Witness.FORKED}),
        what="the journal is not the one that was written here",
        because="an older copy was restored and went on by itself, or it was rewritten",
        next=_RESTORE,
    ),
    Cell(
        "JOURNAL-OPEN",
        Doing.OPEN,
        lock=_FREE,
        database=_SOUND,
        chain=_WHOLE,
        witness=_REACHED,
        emergency=_UNUSED,
    ),
    Cell(
        "EMERGENCY-MERGE",
        Doing.MERGE,
        lock=_FREE,
        database=_SOUND,
        chain=_WHOLE,
        witness=_REACHED,
        emergency=frozenset({Emergency.CHAINED}),
    ),
    Cell(
        # Killed between the merge and the reset of the file.
        "EMERGENCY-SPENT",
        Doing.RESET,
        lock=_FREE,
        database=_SOUND,
        chain=_WHOLE,
        witness=_REACHED,
        emergency=frozenset({Emergency.SPENT}),
    ),
    Cell(
        "EMERGENCY-FOREIGN",
        Doing.REFUSE,
        lock=_FREE,
        database=_SOUND,
        chain=_WHOLE,
        witness=_REACHED,
        emergency=frozenset({Emergency.FOREIGN}),
        what="the emergency journal continues another journal",
        because="its first entry follows a record that is not in this one",
        next="move the file `emergency` to the journal that it belongs to",
    ),
    Cell(
        "EMERGENCY-DAMAGED",
        Doing.REFUSE,
        lock=_FREE,
        database=_SOUND,
        chain=_WHOLE,
        witness=_REACHED,
        emergency=frozenset({Emergency.DAMAGED}),
        what="the emergency journal lost entries",
        because="what was written there in an emergency cannot be read any more",
        next="compare the dials with `dayshift check`, put back what is not as it "
        "should be, and move the file `emergency` aside",
    ),
)


def decide(found: Findings) -> Cell:
    """The one cell for what was found."""
    cells = [cell for cell in TABLE if cell.holds(found)]
    if len(cells) != 1:
        raise Bug(f"{len(cells)} recovery cells for {found}")
    return cells[0]
