"""A terminal that follows a run: what ends it, and what does not."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dayshift.cli import submitted, telling
from dayshift.cli.everywhere import Cli
from dayshift.cli.foreground import Manner
from dayshift.cli.submitted import TRIES, Following
from dayshift.core.decision import Decision
from dayshift.errors import EXIT_ABORTED, DayshiftError
from dayshift.model import records as r
from dayshift.model.plan import Verb
from dayshift.model.sight import Sight
from dayshift.runtime.clock import RealClock
from dayshift.runtime.frame import Frame, encode
from dayshift.runtime.session import Session, Workspace, make_plan
from tests.kit.writing import CHANGE, ESTATE, change_of, estate_of

OFTEN = TRIES + 10


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitted, "AGAIN_MS", 1)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An estate with an open run; no controller runs."""
    session = Session.open(Workspace(tmp_path), estate_of(ESTATE, tmp_path))
    plan = make_plan(
        estate_of(ESTATE, tmp_path), change_of(CHANGE, tmp_path), Verb.MAINTAIN
    )
    session.begin(plan, "ada")
    session.close()
    return tmp_path


class Controller(socketserver.UnixStreamServer):
    """One that hangs up whenever it was asked; `says` is what it says before that, and
    may write to the journal, as controllers elsewhere do."""

    def __init__(self, place: Path, says: Callable[[Session, int], bytes]) -> None:
        super().__init__(str(Workspace(place).socket), Asked)
        self._place, self._says = place, says
        self.session: Session | None = None
        self.asked = 0

    def lead(self) -> None:
        self.session = Session.open(
            Workspace(self._place), estate_of(ESTATE, self._place)
        )
        self.serve_forever(0.01)
        self.session.close()

    def answer(self) -> bytes:
        assert self.session is not None
        self.asked += 1
        return self._says(self.session, self.asked)


class Asked(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Controller)
        self.rfile.readline()
        self.wfile.write(self.server.answer())


@contextmanager
def listening(
    place: Path, says: Callable[[Session, int], bytes]
) -> Iterator[Controller]:
    with Controller(place, says) as controller:
        thread = threading.Thread(target=controller.lead)
        thread.start()
        try:
            yield controller
        finally:
            controller.shutdown()
            thread.join()


def frame(session: Session) -> bytes:
    sight = Sight(RealClock().now())
    return encode(Frame(session.state, sight, Decision())) + b"\n"


def close(session: Session) -> None:
    session.append(r.RunClosed(r.RunResult.ABORTED, "on request"), run=run_of(session))


def run_of(session: Session) -> str:
    assert session.state.run is not None
    return session.state.run.run


def follow(home: Path) -> int:
    state = telling.peek(Workspace(home))
    assert state is not None and state.run is not None
    return Following(Cli(home), Manner(as_lines=True), state.run.run).go()


def test_a_network_that_shakes_again_and_again_ends_no_terminal(home: Path) -> None:
    """Each time it hears a little, then nothing, then half a word."""

    def says(session: Session, asked: int) -> bytes:
        if asked > OFTEN:
            close(session)
        told = frame(session)
        return (told, b"", told[:100])[asked % 3]

    with listening(home, says) as controller:
        assert follow(home) == EXIT_ABORTED
        assert controller.asked > OFTEN


def test_a_journal_that_grows_is_followed_though_nobody_answers_here(
    home: Path,
) -> None:
    def says(session: Session, asked: int) -> bytes:
        if asked > OFTEN:
            close(session)
        else:
            session.approve("0" * 64, "eve", f"number {asked}")
        return b""

    with listening(home, says) as controller:
        assert follow(home) == EXIT_ABORTED
        assert controller.asked == OFTEN + 1


def test_after_silence_it_leaves_and_says_what_goes_on_without_it(home: Path) -> None:
    def says(session: Session, asked: int) -> bytes:
        return frame(session) if asked == TRIES - 1 else b""

    with listening(home, says) as controller, pytest.raises(DayshiftError) as caught:
        follow(home)
    reason = caught.value.reason
    assert reason.code == "OUT-OF-SIGHT" and reason.because
    assert "running in" in reason.so and "goes on without it" in reason.so
    assert "dayshift watch" in reason.next
    assert controller.asked == 2 * TRIES - 1, "it counts anew from what it heard"


def test_where_nobody_listens_the_reason_says_so(home: Path) -> None:
    with pytest.raises(DayshiftError, match="OUT-OF-SIGHT") as caught:
        follow(home)
    assert caught.value.reason.because == "no controller listens here"
