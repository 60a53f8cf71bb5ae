"""Who waits for the answer to which request. Nothing is decided here."""

from __future__ import annotations

import asyncio

from dayshift.errors import Reason
from dayshift.model.records import Answered


class Answers:
    """Open questions, by token."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[Answered]] = {}

    def ask(self, token: str) -> asyncio.Future[Answered]:
        """A question is open from here on."""
        answer: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self._waiting[token] = answer
        return answer

    def forget(self, token: str) -> None:
        self._waiting.pop(token, None)

    def tell(self, answered: Answered) -> None:
        """Pass an answer to whoever waits for it."""
        waiting = self._waiting.pop(answered.token, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(answered)

    def refuse_the_rest(self) -> None:
        """Whoever asked too late is told so."""
        late = Reason("RUN-CLOSED", "the run closed before this was answered")
        for token in list(self._waiting):
            self.tell(Answered(token, False, late))
