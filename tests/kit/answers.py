"""A small real HTTP server that gives the answer it was told to give."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answers:
    """What the server says next, and what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b""
        self.wait_s = 0.0
        self.url = ""
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.to: Callable[[str, dict[str, str]], tuple[str, bytes]] | None = None
        """Path and headers → content type and body, where one body is not enough."""


@contextmanager
def answering() -> Iterator[Answers]:
    answers = Answers()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            headers = {key.lower(): value for key, value in self.headers.items()}
            answers.asked.append((self.path, headers))
            time.sleep(answers.wait_s)
            kind, body = "text/plain", answers.body
            if answers.to is not None:
                kind, body = answers.to(self.path, headers)
            self.send_response(answers.status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(BrokenPipeError):  # the client left
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    answers.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield answers
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
