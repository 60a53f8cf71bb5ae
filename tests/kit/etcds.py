"""A real etcd cluster on loopback: any number of members, TLS and users if wanted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from dayshift.journal.stores.etcd_gateway import Tls, b64
from dayshift.journal.stores.etcd_layout import after
from dayshift.model.estate import StoreSpec
from tests.kit.daemons import Daemon, eventually, need
from tests.kit.envoys import free_ports

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class TlsFiles:
    """An authority, and one pair for servers and clients, as PEM files."""

    ca: Path
    cert: Path
    key: Path


class Etcds:
    """Members with their data in `folder`; all run inside the `with`."""

    def __init__(self, folder: Path, count: int = 3, tls: TlsFiles | None = None):
        self._program = need("etcd", "etcd-server")
        self._folder = folder
        self._tls = tls
        ports = free_ports(2 * count)
        scheme = "https" if tls else "http"
        self.endpoints = [f"{scheme}://127.0.0.1:{one}" for one in ports[:count]]
        self._peers = [f"{scheme}://127.0.0.1:{one}" for one in ports[count:]]
        self.members = [self._member(number) for number in range(count)]

    def _member(self, number: int) -> Daemon:
        name = f"m{number}"
        cluster = ",".join(f"m{at}={one}" for at, one in enumerate(self._peers))
        argv = [
            self._program,
            f"--name={name}",
            f"--data-dir={self._folder / name}",
            f"--listen-client-urls={self.endpoints[number]}",
            f"--advertise-client-urls={self.endpoints[number]}",
            f"--listen-peer-urls={self._peers[number]}",
            f"--initial-advertise-peer-urls={self._peers[number]}",
            f"--initial-cluster={cluster}",
            "--logger=zap",
            "--log-level=error",
        ]
        if self._tls:
            argv += [
                f"--cert-file={self._tls.cert}",
                f"--key-file={self._tls.key}",
                f"--trusted-ca-file={self._tls.ca}",
                "--client-cert-auth",
                f"--peer-cert-file={self._tls.cert}",
                f"--peer-key-file={self._tls.key}",
                f"--peer-trusted-ca-file={self._tls.ca}",
                "--peer-client-cert-auth",
            ]
        return Daemon(argv, self._folder / f"{name}.log")

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        for one in self.members:
            one.start()
        self.wait(len(self.members))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for one in self.members:
            one.kill()

    def wait(self, count: int) -> None:
        """Until `count` members answer a read that needs the majority."""
        told = "; ".join(one.tell() for one in self.members if not one.alive)
        eventually(lambda: self.answering() >= count, f"{count} members {told}")

    def answering(self) -> int:
        return sum(self._answers(one) for one in self.endpoints)

    def _answers(self, endpoint: str) -> bool:
        try:
            answer = self._post(endpoint, "/v3/kv/range", {"key": "YQ=="})
        except httpx.HTTPError:
            return False
        # With users switched on, a nameless read is refused: also an answer.
        return answer.status_code in (200, 400, 401)

    def _post(self, endpoint: str, path: str, body: object) -> httpx.Response:
        if self._tls is None:
            return httpx.post(endpoint + path, json=body, timeout=2, trust_env=False)
        context = Tls(self._tls.ca, self._tls.cert, self._tls.key).context()
        return httpx.post(
            endpoint + path, json=body, timeout=2, verify=context, trust_env=False
        )

    def call(self, path: str, body: object) -> dict[str, object]:
        """A request to the first member that is there."""
        for one, member in zip(self.endpoints, self.members, strict=True):
            if member.alive:
                answer = self._post(one, path, body)
                assert answer.status_code == httpx.codes.OK, answer.text
                found: dict[str, object] = answer.json()
                return found
        raise AssertionError("no member is alive")

    def with_users(self, prefix: str) -> None:
        """Switch on authentication: root, and `dayshift`, who may use `prefix`."""
        mine = {
            "permType": "READWRITE",
            "key": b64(prefix),
            "range_end": b64(after(prefix)),
        }
        for path, body in (
            ("user/add", {"name": "root", "password": PASSWORD}),
            ("user/grant", {"user": "root", "role": "root"}),
            ("role/add", {"name": "dayshift"}),
            ("role/grant", {"name": "dayshift", "perm": mine}),
            ("user/add", {"name": "dayshift", "password": PASSWORD}),
            ("user/grant", {"user": "dayshift", "role": "dayshift"}),
            ("enable", {}),
        ):
            self.call(f"/v3/auth/{path}", body)

    def spec(self, **options: object) -> StoreSpec:
        """The store as an estate would name it."""
        return StoreSpec("etcd", {"endpoints": self.endpoints, **options})
