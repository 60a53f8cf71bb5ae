"""A real PostgreSQL on loopback, in a folder of its own, with TLS if wanted."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from dayshift.model.estate import StoreSpec
from tests.kit.daemons import Daemon, eventually, need
from tests.kit.envoys import free_ports
from tests.kit.etcds import TlsFiles

PLACES = sorted(str(one) for one in Path("/usr/lib/postgresql").glob("*/bin"))
PASSWORD = "correct horse battery staple"
USER = "dayshift"


class Postgres:
    """One server; it runs inside the `with`. As root it runs as user postgres."""

    def __init__(self, tls: TlsFiles | None = None, *settings: str):
        self._initdb = need("initdb", "postgresql", *reversed(PLACES))
        server = need("postgres", "postgresql", *reversed(PLACES))
        # Not below pytest's folder: another session there shuts it to other users.
        self._folder = folder = Path(tempfile.mkdtemp(prefix="dayshift-postgres-"))
        self._data = folder / "data"
        self._user = "postgres" if os.geteuid() == 0 else None
        self._tls = tls
        self.port = free_ports(1)[0]
        argv = [server, "-D", str(self._data), "-p", str(self.port)]
        for one in (
            "listen_addresses=127.0.0.1",
            f"unix_socket_directories={folder}",
            "shared_buffers=16MB",
            *settings,
        ):
            argv += ["-c", one]
        if tls:
            argv += ["-c", "ssl=on"]
        self.server = Daemon(argv, folder / "postgres.log", self._user)

    def __enter__(self) -> Self:
        self._log().touch()
        self._give(self._folder)
        self._give(self._log())
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        self._give(secret)
        subprocess.run(
            [
                *(self._initdb, "-D", str(self._data), "-U", USER, "--no-sync"),
                *("-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8"),
            ],
            user=self._user,
            group=self._user,
            extra_groups=[] if self._user else None,
            cwd="/",
            check=True,
            capture_output=True,
        )
        if self._tls:
            self._put_tls(self._tls)
        self.start()
        with self.connect("postgres") as connection:
            connection.execute("CREATE DATABASE journals")
        return self

    def _log(self) -> Path:
        return self._folder / "postgres.log"

    def _give(self, path: Path) -> None:
        """To the server's user."""
        if self._user is not None:
            entry = pwd.getpwnam(self._user)
            os.chown(path, entry.pw_uid, entry.pw_gid)

    def _put_tls(self, tls: TlsFiles) -> None:
        for source, name in ((tls.cert, "server.crt"), (tls.key, "server.key")):
            target = self._data / name
            shutil.copy(source, target)
            target.chmod(0o600)
            self._give(target)
        rules = self._data / "pg_hba.conf"
        rules.write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start, and wait until it answers; after a kill it recovers first."""
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        self.server.start()
        eventually(self._answers, f"postgres answers; {self.server.tell()}")

    def _answers(self) -> bool:
        assert self.server.alive, self.server.tell()
        try:
            self.connect("postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def kill(self) -> None:
        """kill -9 of the server and of every process that works for it."""
        if not self.server.alive:
            return
        for child in self.children():
            child.send_signal(9)
        self.server.kill()

    def children(self) -> list[_Child]:
        assert self.server.process is not None
        task = Path(f"/proc/{self.server.process.pid}/task")
        found = [
            int(pid)
            for one in task.iterdir()
            for pid in (one / "children").read_text().split()
        ]
        return [_Child(pid) for pid in found]

    def freeze(self) -> None:
        """Stop every process of it: connections stay open, nothing answers."""
        self.server.freeze()
        for one in self.children():
            one.send_signal(19)

    def thaw(self) -> None:
        for one in self.children():
            one.send_signal(18)
        self.server.thaw()

    def connect(self, database: str = "journals") -> psycopg.Connection[object]:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=USER,
            password=PASSWORD,
            dbname=database,
            connect_timeout=5,
            autocommit=True,
        )

    def spec(self, **options: object) -> StoreSpec:
        """The store as an estate would name it; the password in `file:password`."""
        return StoreSpec(
            "postgresql",
            {
                "hosts": [f"127.0.0.1:{self.port}"],
                "database": "journals",
                "user": USER,
                "password": f"file:{self._folder / 'password'}",
                **options,
            },
        )


class _Child:
    """A process of the server."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
