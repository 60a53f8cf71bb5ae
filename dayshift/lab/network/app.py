"""The application of a region of the network lab: one process of one version.

    python -m dayshift.lab.network.app REGION PORT VERSION

`/stream/SECONDS` keeps its connection busy for so long, as a download or a feed would.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

CHUNK = b"." * 1_024
SECONDS_MAX = 60
GRACE_S = 70
KEPT_S = 90
"""Longer than an edge keeps a connection that it does not use."""


class Region:
    """What one process answers."""

    def __init__(self, region: str, version: str) -> None:
        self._body = {"region": region, "version": version}
        self._sign = {"x-region": region, "x-version": version}

    async def page(self, request: Request) -> Response:
        return JSONResponse(self._body, headers=self._sign)

    async def stream(self, request: Request) -> Response:
        seconds = min(int(request.path_params["seconds"]), SECONDS_MAX)
        size = {"content-length": str(len(CHUNK) * seconds)}
        return StreamingResponse(_slowly(seconds), headers={**self._sign, **size})


async def _slowly(seconds: int) -> AsyncIterator[bytes]:
    for _ in range(seconds):
        yield CHUNK
        await asyncio.sleep(1)


def main(argv: list[str]) -> None:
    region, port, version = argv
    here = Region(region, version)
    routes = [
        Route("/", here.page),
        Route("/version", here.page),
        Route("/stream/{seconds:int}", here.stream),
    ]
    uvicorn.run(
        Starlette(routes=routes),
        host="127.0.0.1",
        port=int(port),
        log_level="warning",
        access_log=False,
        timeout_keep_alive=KEPT_S,
        timeout_graceful_shutdown=GRACE_S,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
