"""The application that the lab's users talk to: one process of one version.

    python -m dayshift.lab.app DIR REGION INDEX

The version is what is installed in the region when the process starts. `2-bad` is a
release that passes every probe and hurts the users: 5 % errors, and slow.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
import secrets
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dayshift.lab import estate, trouble
from dayshift.lab.envoy import PROBE_HEADER
from dayshift.lab.ledger import Ledger

BAD_VERSION = "2-bad"
BAD = trouble.Trouble(slow_ms=300, error_bp=500)
WARM_UP_S = 1.0
DOWNLOAD_CHUNKS = 32
DOWNLOAD_CHUNK = bytes(range(256)) * 384
DOWNLOAD_PAUSE_S = 0.25
DOWNLOAD_SHA256 = hashlib.sha256(DOWNLOAD_CHUNK * DOWNLOAD_CHUNKS).hexdigest()
# The longest answer is a download; a graceful stop lets it end.
GRACE_S = 12
SESSION = "session"
NOT_USERS = frozenset({"/healthz", "/version", "/counts"})
COLOURS = {"1": "#2b6cb0", "2": "#2f855a"}


class Shop:
    """The endpoints, and what one process knows."""

    def __init__(self, region: str, version: str, ledger: Ledger) -> None:
        self.region = region
        self.version = version
        self.ledger = ledger
        self.warm = False
        self.served = 0
        self.failed = 0

    async def home(self, request: Request) -> Response:
        colour = COLOURS.get(self.version, "#c53030")
        return HTMLResponse(
            f"<body style='background:{colour};color:#fff;font:2em sans-serif'>"
            f"<h1>Shop, version {self.version}</h1><p>served by {self.region}"
        )

    async def item(self, request: Request) -> Response:
        number = request.path_params["number"]
        body = {"item": number, "price_cents": 100 + number * 7 % 9900}
        if self.version != "1":
            body["delivery_days"] = 1 + number % 3
        return JSONResponse(body)

    async def order(self, request: Request) -> Response:
        try:
            order = json.loads(await request.body())["id"]
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"error": "an order needs an id"}, 400)
        self.ledger.add_order(str(order))
        return JSONResponse({"id": order}, 201)

    async def login(self, request: Request) -> Response:
        token = secrets.token_hex(16)
        user = request.query_params.get("user", "somebody")
        self.ledger.add_session(token, user)
        answer = JSONResponse({"user": user, "session": token})
        answer.set_cookie(SESSION, token, httponly=True)
        return answer

    async def account(self, request: Request) -> Response:
        user = self.ledger.user_of(request.cookies.get(SESSION, ""))
        if user is None:
            return JSONResponse({"error": "log in first"}, 401)
        return JSONResponse({"user": user})

    async def download(self, request: Request) -> Response:
        headers = {
            "content-length": str(len(DOWNLOAD_CHUNK) * DOWNLOAD_CHUNKS),
            "x-sha256": DOWNLOAD_SHA256,
        }
        return StreamingResponse(
            _slowly(), headers=headers, media_type="application/octet-stream"
        )

    async def about(self, request: Request) -> Response:
        return JSONResponse(
            {"version": self.version, "region": self.region, "warm": self.warm}
        )

    async def counts(self, request: Request) -> Response:
        return JSONResponse({"served": self.served, "failed": self.failed})

    async def health(self, request: Request) -> Response:
        return Response("ok\n")

    def routes(self) -> list[Route]:
        return [
            Route("/", self.home),
            Route("/item/{number:int}", self.item),
            Route("/orders", self.order, methods=["POST"]),
            Route("/login", self.login, methods=["POST"]),
            Route("/account", self.account),
            Route("/download", self.download),
            Route("/version", self.about),
            Route("/counts", self.counts),
            Route("/healthz", self.health),
        ]


async def _slowly() -> AsyncIterator[bytes]:
    for _ in range(DOWNLOAD_CHUNKS):
        yield DOWNLOAD_CHUNK
        await asyncio.sleep(DOWNLOAD_PAUSE_S)


class Door:
    """Signs every answer, counts the users', and lets trouble at them.

    Why: a bad release that also fails its probes would never meet the gate.
    """

    def __init__(self, inner: ASGIApp, shop: Shop, watch: trouble.Watch) -> None:
        self._inner = inner
        self._shop = shop
        self._watch = watch
        self._sign = [
            (b"x-region", shop.region.encode()),
            (b"x-version", shop.version.encode()),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def signed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._sign]
            await send(message)

        if self._is_user(scope):
            self._shop.served += 1
            if await self._spoilt():
                self._shop.failed += 1
                answer = JSONResponse({"error": "bad luck"}, 500)
                await answer(scope, receive, signed)
                return
        await self._inner(scope, receive, signed)

    def _is_user(self, scope: Scope) -> bool:
        if scope["path"] in NOT_USERS:
            return False
        probe = PROBE_HEADER.encode()
        return all(name != probe for name, _ in scope["headers"])

    async def _spoilt(self) -> bool:
        now = self._watch.now
        both = (now, BAD) if self._shop.version == BAD_VERSION else (now,)
        slow_ms = max(one.slow_ms for one in both)
        if slow_ms:
            await asyncio.sleep(slow_ms / 1000)
        return random.randrange(10_000) < max(one.error_bp for one in both)


async def _warm_up(shop: Shop) -> None:
    await asyncio.sleep(WARM_UP_S)
    shop.warm = True


async def serve(directory: Path, region: str, index: int) -> None:
    """Serve until SIGTERM, then finish what is in flight."""
    spec = estate.load(directory)
    place = spec.path("run", region)
    version = (place / "version").read_text().strip()
    shop = Shop(region, version, Ledger(spec.path("data", "shop.db"), region, version))
    watch = trouble.Watch(trouble.control_file(spec, region))
    config = uvicorn.Config(
        Door(Starlette(routes=shop.routes()), shop, watch),
        host=estate.HOST,
        port=spec.region(region).apps[index],
        http="httptools",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        # Envoy, not we, ends an idle connection: the other way round loses requests.
        timeout_keep_alive=3600,
        timeout_graceful_shutdown=GRACE_S,
    )
    beside = [
        asyncio.create_task(_warm_up(shop)),
        asyncio.create_task(watch.keep_reading()),
    ]
    await uvicorn.Server(config).serve()
    for task in beside:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    shop.ledger.close()


def main(argv: list[str]) -> None:
    directory, region, index = argv
    started = time.monotonic()
    uvloop.run(serve(Path(directory), region, int(index)))
    print(f"ended after {time.monotonic() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
