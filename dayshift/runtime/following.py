"""What a follower does: reads the journal as it grows, shows it, gives signs of life.

Nothing is written to the journal here and nothing of the world is looked at. What it
shows is what the leader saw when it last wrote something down.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from dayshift.core.decide import decide
from dayshift.core.decision import Decision
from dayshift.core.fold import fold
from dayshift.journal.base import Head, Stir
from dayshift.journal.reader import JournalReader
from dayshift.model import records as r
from dayshift.model.sight import Sight
from dayshift.model.units import Clock, Instant, elapsed_ms
from dayshift.runtime import messages
from dayshift.runtime.frame import Frame
from dayshift.runtime.sealing import Copies
from dayshift.runtime.session import load

LOOK_MS = 1_000
BEAT_MS = 5_000
"""How often a follower gives a sign of life; silence of four of them is told."""
WANTED = frozenset({Stir.HEAD, Stir.VACANT})


class Follower:
    """Follows one journal until nobody leads."""

    def __init__(
        self,
        journal: JournalReader,
        clock: Clock,
        name: str,
        show: Callable[[Frame], None],
        answered: Callable[[r.Answered], None],
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._name = name
        self._show = show
        self._answered = answered
        self._state = load(journal)
        self._head = journal.head
        self._sight: Sight | None = None
        self._beaten: Instant | None = None
        self._copies = Copies(journal, clock, name)

    async def run(self) -> None:
        """Raises `JournalFull` when the store does not answer."""
        self._look_back()
        try:
            await self._until_vacant()
        finally:
            self._copies.close()

    async def _until_vacant(self) -> None:
        while True:
            self._beat()
            self._show(self._frame())
            self._seal()
            seen = await self._journal.watch(WANTED, self._clock, LOOK_MS, self._head)
            self._catch_up()
            if Stir.VACANT in seen:
                return

    def leave(self) -> None:
        """Say that this controller follows no more."""
        self._post(messages.LEAVING)

    def _look_back(self) -> None:
        """What the leader saw last, from the end of the journal."""
        for record in self._journal.records(max(0, self._head.seq - 200)):
            if isinstance(record.body, r.Observed):
                self._sight = _sight(record.body)

    def _catch_up(self) -> None:
        for record in self._journal.records(self._state.seq):
            self._state = fold(self._state, record)
            self._head = Head(record.seq, record.hash)
            if isinstance(record.body, r.Observed):
                self._sight = _sight(record.body)
            if isinstance(record.body, r.Answered):
                self._answered(record.body)

    def _frame(self) -> Frame:
        sight = self._sight or Sight(at=self._clock.now())
        run = self._state.open_run
        whole = self._sight is not None and bool(sight.places)
        decision = decide(self._state, sight) if run and whole else Decision()
        return Frame(self._state, sight, decision)

    def _seal(self) -> None:
        """What is known now, for whoever must act here when the store is gone."""
        run = self._state.run
        if run is not None and run.digest in self._state.plans:
            estate = self._state.plans[run.digest].estate
            self._copies.follow(self._head, self._state, estate)

    def _beat(self) -> None:
        now = self._clock.now()
        if self._beaten is None or elapsed_ms(self._beaten, now) >= BEAT_MS:
            self._beaten = now
            self._post(messages.BEAT)

    def _post(self, verb: str) -> None:
        message = messages.encode(messages.Posted(verb, self._name))
        self._journal.post(messages.beat_token(self._name), message)


def _sight(body: r.Observed) -> Sight:
    """What the leader saw; of a large estate the journal keeps too little to decide on
    it again, and nothing is made of that here."""
    if "survivors" in body.sight:
        return Sight(at=msgspec.convert(body.sight["at"], Instant))
    return msgspec.convert(body.sight, Sight)
