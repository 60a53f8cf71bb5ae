"""One connection to PostgreSQL that comes back by itself, bounded in time.

Here live connecting, durability as the server promises it, and the meaning of its
errors. A statement may be sent twice, when its answer was lost: callers send only what
may be repeated.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, LiteralString, TypeVar

import msgspec
import psycopg
from psycopg import errors, sql

from dayshift.errors import (
    Bug,
    JournalBroken,
    JournalFull,
    JournalHeld,
    Reason,
    Refused,
)
from dayshift.journal.stores.reasons import full_reason, malformed_reason, moved_reason
from dayshift.model.units import Clock, elapsed_ms

T = TypeVar("T")
Values = Sequence[object] | Mapping[str, object]
CONNECT_S = 2
"""The least that libpq takes."""
PAUSE_MS = 60
LEVELS = ("off", "local", "remote_write", "on", "remote_apply")
_PROMISES = (
    "SELECT current_setting('synchronous_commit'), current_setting('fsync'),"
    " current_setting('synchronous_standby_names'), pg_is_in_recovery()"
)
_DENIED = (
    errors.InsufficientPrivilege,
    errors.InvalidAuthorizationSpecification,
    errors.InvalidPassword,
    errors.InvalidCatalogName,
)
_DAMAGED = (errors.DataCorrupted, errors.IndexCorrupted)
_FULL = (errors.DiskFull, errors.OutOfMemory, errors.ConfigurationLimitExceeded)


class Settings(msgspec.Struct, frozen=True):
    """Where the server is, and what it must promise. `conninfo` is for libpq."""

    hosts: tuple[str, ...]
    conninfo: dict[str, Any]
    schema: str
    timeout_ms: int
    synchronous_commit: str
    standbys: bool


class _Bounded(psycopg.Connection[Any]):
    """A connection on which no wait outlasts the time that is left."""

    left_s: Callable[[], float] = staticmethod(lambda: float(CONNECT_S))

    def wait(
        self,
        gen: Generator[Any, Any, T],
        interval: float = 0.1,
        timeout: float | None = None,
    ) -> T:
        return super().wait(gen, interval, self.left_s())


class Link:
    """A connection to the first host that takes writes. Not shared between threads."""

    def __init__(
        self, settings: Settings, clock: Clock, password: Callable[[], str] | None
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._password = password
        self._connection: _Bounded | None = None
        self._at = 0
        self._pause = threading.Event()
        self._begun = clock.now()

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def rows(self, text: LiteralString, values: Values = ()) -> list[tuple[Any, ...]]:
        """Run one statement, in a transaction of its own; its rows.

        Raises:
            JournalFull: no server answered in time, or it takes no more.
            JournalBroken: the server says that its data are damaged.
            Refused: the server does not let us in, or does not promise durability.
        """
        schema = sql.Identifier(self._settings.schema)
        statement = sql.SQL(text).format(s=schema)

        def run(connection: _Bounded) -> list[tuple[Any, ...]]:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

        return self._within(run)

    def _within(self, run: Callable[[_Bounded], T]) -> T:
        self._begun = self._clock.now()
        fault = "no answer"
        while True:
            try:
                return run(self._connected())
            except errors.UndefinedTable:
                raise
            except psycopg.Error as error:
                self._understood(error)
                fault = str(error).strip() or type(error).__name__
                self.close()
                self._at = (self._at + 1) % len(self._settings.hosts)
            if self._left_s() <= 0:
                raise JournalFull(gone_reason(self._settings, fault))
            self._pause.wait(PAUSE_MS / 1000)

    def _left_s(self) -> float:
        spent = elapsed_ms(self._begun, self._clock.now())
        return max(0, self._settings.timeout_ms - spent) / 1000

    def _connected(self) -> _Bounded:
        if self._connection is None or self._connection.closed:
            self._connection = self._connect(self._settings.hosts[self._at])
        return self._connection

    def _connect(self, where: str) -> _Bounded:
        host, _, port = where.rpartition(":")
        conninfo = self._settings.conninfo | {"host": host, "port": port}
        if self._password is not None:
            conninfo["password"] = self._password()
        made = _Bounded.connect(connect_timeout=CONNECT_S, autocommit=True, **conninfo)
        made.left_s = self._left_s
        promised = made.execute(_PROMISES).fetchone()
        assert promised is not None
        level, fsync, standbys, standby = promised
        if standby:
            made.close()
            raise psycopg.OperationalError(f"{where} is a standby: it takes no writes")
        reason = promise_reason(self._settings, level, fsync, standbys)
        if reason is not None:
            made.close()
            raise Refused(reason)
        return made

    def _understood(self, error: psycopg.Error) -> None:
        """Raise what no second try would change."""
        text = str(error).strip()
        if isinstance(error, _DENIED) or "password authentication failed" in text:
            raise Refused(_denied(text)) from None
        if isinstance(error, psycopg.IntegrityError):
            raise JournalHeld(moved_reason(text)) from None
        if isinstance(error, _DAMAGED):
            reason = malformed_reason("the PostgreSQL database", text)
            raise JournalBroken(reason, 0) from None
        if isinstance(error, _FULL):
            raise JournalFull(full_reason(text)) from None
        if isinstance(error, psycopg.ProgrammingError | psycopg.DataError):
            raise Bug(f"a statement to PostgreSQL is wrong: {text}") from error

    def each_host(self) -> dict[str, str | None]:
        """What is wrong with each host; None for one that could be led on."""
        out: dict[str, str | None] = {}
        for where in self._settings.hosts:
            self._begun = self._clock.now()
            try:
                self._connect(where).close()
                out[where] = None
            except Refused as error:
                out[where] = error.reason.what
            except psycopg.Error as error:
                out[where] = str(error).strip() or type(error).__name__
        return out


def promise_reason(
    settings: Settings, level: str, fsync: str, standbys: str
) -> Reason | None:
    """Why a server's promise of durability is not enough, or None."""
    needed = settings.synchronous_commit
    told = f"synchronous_commit {level}, fsync {fsync}, standbys `{standbys}`"
    if fsync != "on":
        what, way = "fsync is off", "fsync = on"
    elif LEVELS.index(level) < LEVELS.index(needed):
        what = f"synchronous_commit is {level} (at least {needed})"
        way = f"ALTER ROLE … SET synchronous_commit = {needed}"
    elif settings.standbys and not standbys:
        what = "synchronous_standby_names is empty (`standbys: true` asks for some)"
        way = "set synchronous_standby_names"
    else:
        return None
    return Reason(
        "STORE-NOT-DURABLE",
        f"PostgreSQL would lose records that it acknowledged: {what}",
        because=f"it says {told}",
        so="nothing was read or written",
        next=f"{way} at the server; or ask for less under `journal.options`",
    )


def gone_reason(settings: Settings, fault: str) -> Reason:
    """Why a PostgreSQL that should be there is not."""
    return Reason(
        "STORE-GONE",
        f"PostgreSQL did not answer within {settings.timeout_ms} ms ({fault})",
        because=f"none of {', '.join(settings.hosts)} took a statement in that time",
        so="no further action is taken, but for those that make things safe",
        next="bring the server back; `dayshift check` shows which host answers",
    )


def _denied(text: str) -> Reason:
    return Reason(
        "STORE-DENIED",
        f"PostgreSQL does not let Dayshift in ({text})",
        because="database, user, password or rights are not those that it knows",
        so="nothing was read or written",
        next="correct `database`, `user` and `password` under `journal.options`, or "
        "grant the user its schema",
    )
