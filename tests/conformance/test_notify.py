"""Notify `exec` with real commands and `webhook` against a real receiver."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dayshift.drivers.base import Page
from dayshift.drivers.notify.exec import ExecNotify
from dayshift.drivers.notify.webhook import SIGNATURE, WebhookNotify
from dayshift.errors import DriverFault, DriverRetry
from tests.kit.driving import real_context, script

SECRET = "correct horse battery"
PAGE = Page("fra/held/1", "0197", "fra is held", f"why: {SECRET} was shown", True)


def an_exec(place: Path, page: str, ack: str | None = None) -> ExecNotify:
    options: dict[str, object] = {"argv": [script(place, "page", page)]}
    if ack is not None:
        options["ack"] = [script(place, "ack", ack)]
    return ExecNotify("on-call", options, real_context(place))


def test_a_page_reaches_the_command(tmp_path: Path) -> None:
    channel = an_exec(tmp_path, 'cat > got; echo "$DAYSHIFT_PAGE" > key')
    asyncio.run(channel.send(PAGE))
    got = json.loads((tmp_path / "got").read_text())
    assert (got["title"], got["run"], got["urgent"]) == ("fra is held", "0197", True)
    assert (tmp_path / "key").read_text() == "fra/held/1\n"


def test_a_command_need_not_read_its_page(tmp_path: Path) -> None:
    big = Page("k", "r", "t", "x" * 500_000)
    asyncio.run(an_exec(tmp_path, "exec 0<&-; exit 0").send(big))


def test_a_page_that_was_not_taken_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(DriverFault, match="modem is off"):
        asyncio.run(an_exec(tmp_path, "echo modem is off >&2; exit 1").send(PAGE))


@pytest.mark.parametrize(
    ("ack", "person"),
    [
        (None, None),
        ("exit 1", None),
        ('test "$DAYSHIFT_PAGE" = fra/held/1 && echo Ada', "Ada"),
        (r"printf '\033[31mAda\033[0m\nmore\n'", "Ada"),
    ],
)
def test_who_took_the_page(tmp_path: Path, ack: str | None, person: str | None) -> None:
    channel = an_exec(tmp_path, "true", ack)
    assert asyncio.run(channel.acknowledged(PAGE.key)) == person


@pytest.mark.parametrize("ack", ["exit 0", "exit 2"])
def test_an_acknowledgement_without_a_name_is_none(tmp_path: Path, ack: str) -> None:
    with pytest.raises(DriverFault, match="acknowledgement by on-call"):
        asyncio.run(an_exec(tmp_path, "true", ack).acknowledged(PAGE.key))


@dataclass
class Receiver:
    """What a receiver got, and what it answers."""

    url: str = ""
    status: int = 200
    answer: bytes = b"{}"
    location: str = ""
    delay_s: float = 0
    got: list[tuple[str, str, bytes]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            state.got.append((self.path, self.headers[SIGNATURE], body))
            time.sleep(state.delay_s)
            self.send_response(state.status)
            if state.location:
                self.send_header("Location", state.location)
            self.send_header("Content-Length", str(len(state.answer)))
            self.end_headers()
            self.wfile.write(state.answer)

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def a_webhook(place: Path, url: str, **options: object) -> WebhookNotify:
    (place / "secret").write_text(SECRET + "\n", encoding="utf-8")
    given = {"url": f"{url}/page", "secret": "file:secret", **options}
    return WebhookNotify("hook", given, real_context(place))


def is_signed(header: str, body: bytes) -> bool:
    """As a receiver would check it, from the words of the driver's head."""
    seconds, _, proof = header.partition(",v1=")
    assert abs(int(seconds.removeprefix("t=")) - time.time()) < 10
    text = seconds.removeprefix("t=").encode() + b"." + body
    made = hmac.new(SECRET.encode(), text, hashlib.sha256).hexdigest()
    return hmac.compare_digest(made, proof)


def test_a_page_is_posted_signed_and_redacted(
    tmp_path: Path, receiver: Receiver
) -> None:
    channel = a_webhook(tmp_path, receiver.url)
    asyncio.run(channel.send(PAGE))
    asyncio.run(channel.send(PAGE))
    path, header, body = receiver.got[-1]
    assert path == "/page" and is_signed(header, body)
    assert not is_signed(header, body + b" ")
    assert json.loads(body)["text"] == "why: [redacted] was shown"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(
    tmp_path: Path, receiver: Receiver, status: int
) -> None:
    receiver.status, receiver.location = status, f"{receiver.url}/elsewhere"
    with pytest.raises(DriverFault, match="redirects are not followed"):
        asyncio.run(a_webhook(tmp_path, receiver.url).send(PAGE))
    assert [path for path, _, _ in receiver.got] == ["/page"]


@pytest.mark.parametrize(
    ("status", "error"),
    [(503, DriverRetry), (429, DriverRetry), (401, DriverFault), (404, DriverFault)],
)
def test_a_refusal_is_told_apart_from_a_busy_receiver(
    tmp_path: Path, receiver: Receiver, status: int, error: type[Exception]
) -> None:
    receiver.status = status
    with pytest.raises(error, match=f"status {status}"):
        asyncio.run(a_webhook(tmp_path, receiver.url).send(PAGE))


def test_a_silent_or_absent_receiver_is_tried_again(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.delay_s = 0.5
    with pytest.raises(DriverRetry, match="no answer within 100 ms"):
        asyncio.run(a_webhook(tmp_path, receiver.url, timeout="100 ms").send(PAGE))
    with pytest.raises(DriverRetry, match="did not answer"):
        asyncio.run(a_webhook(tmp_path, "http://127.0.0.1:1").send(PAGE))


@pytest.mark.parametrize(
    ("status", "answer", "person"),
    [(200, b'{"person": "Ada"}', "Ada"), (204, b"", None), (404, b"no", None)],
)
def test_who_took_a_posted_page(
    tmp_path: Path, receiver: Receiver, status: int, answer: bytes, person: str | None
) -> None:
    receiver.status, receiver.answer = status, answer
    url = f"{receiver.url}/ack/{{key}}"
    channel = a_webhook(tmp_path, receiver.url, ack_url=url)
    assert asyncio.run(channel.acknowledged(PAGE.key)) == person
    path, header, body = receiver.got[-1]
    assert path == "/ack/fra%2Fheld%2F1" and is_signed(header, body)


@pytest.mark.parametrize(
    "answer", [b"{}", b"[]", b"nonsense", b'{"person": ""}', b'{"person": 1}']
)
def test_an_answer_without_a_person_is_nonsense(
    tmp_path: Path, receiver: Receiver, answer: bytes
) -> None:
    receiver.answer = answer
    channel = a_webhook(tmp_path, receiver.url, ack_url=f"{receiver.url}/ack")
    with pytest.raises(DriverFault, match="without a person's name"):
        asyncio.run(channel.acknowledged(PAGE.key))


def test_without_an_address_nobody_can_acknowledge(tmp_path: Path) -> None:
    channel = a_webhook(tmp_path, "http://127.0.0.1:1")
    assert asyncio.run(channel.acknowledged(PAGE.key)) is None


@pytest.mark.parametrize("url", ["ftp://x/", "hook.example", "https://u:p@x/"])
def test_addresses_are_strict(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        a_webhook(tmp_path, url)
