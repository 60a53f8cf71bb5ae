"""What an estate says of its PostgreSQL, and the connection that follows from it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from dayshift.journal.stores import Access
from dayshift.journal.stores.postgresql_link import Link, Settings
from dayshift.options import Millis, StrictOptions

STATEMENT_SHARE = 0.9
"""The server gives a statement up shortly before we do."""


class PostgresqlOptions(StrictOptions):
    """`hosts` are tried in turn (`host:port`); `password` is a reference to a secret.

    `synchronous_commit` is the least that the server must be set to; with `standbys`
    it must also name synchronous standbys. With `ca` the server must prove its name.
    """

    hosts: list[str] = Field(min_length=1, max_length=9)
    database: str = Field(min_length=1)
    user: str = Field(min_length=1)
    password: str = ""
    schema_: str = Field(
        default="dayshift", alias="schema", pattern=r"^[a-z_][a-z0-9_]{0,62}$"
    )
    journal: str = Field(default="main", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    ca: str = ""
    cert: str = ""
    key: str = ""
    synchronous_commit: Literal["local", "remote_write", "on", "remote_apply"] = "on"
    standbys: bool = False
    lease: Millis = Field(default=3_000, ge=2_000, le=60_000)
    timeout: Millis = Field(default=2_000, ge=500, le=10_000)

    @field_validator("hosts")
    @classmethod
    def _with_port(cls, hosts: list[str]) -> list[str]:
        for one in hosts:
            host, _, port = one.rpartition(":")
            if not host or not port.isdecimal():
                raise ValueError(f"`{one}` is not host:port")
        return hosts


def link_to(access: Access, options: PostgresqlOptions) -> Link:
    """A connection as the options say, made when it is first used."""
    statement_ms = int(options.timeout * STATEMENT_SHARE)
    conninfo: dict[str, Any] = {
        "dbname": options.database,
        "user": options.user,
        "application_name": "dayshift",
        "target_session_attrs": "any",
        "options": f"-c statement_timeout={statement_ms}",
        "sslmode": "verify-full" if options.ca else "prefer",
        "gssencmode": "disable",
        "tcp_user_timeout": options.timeout,
    }
    files = {"sslrootcert": options.ca, "sslcert": options.cert, "sslkey": options.key}
    conninfo |= {
        name: str(access.base_dir / path) for name, path in files.items() if path
    }
    settings = Settings(
        tuple(options.hosts),
        conninfo,
        options.schema_,
        options.timeout,
        options.synchronous_commit,
        options.standbys,
    )

    def password() -> str:
        return access.secret(options.password)

    known = password if options.password else None
    return Link(settings, access.need_clock(), known)
