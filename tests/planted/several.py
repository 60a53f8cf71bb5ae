"""Bugs of several controllers and of the store that they share: who leads, who follows,
what a takeover begins with, what is asked at two places (invariants 2, 3, 13)."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec.structs import replace

from dayshift.errors import JournalHeld
from dayshift.journal.base import Head, Stir
from dayshift.model.dial import Token
from dayshift.model.records import ActionKind, Lease, Phase
from tests.planted import plans
from tests.planted.agents import ANY_CLAIM, no_lock
from tests.planted.frame import CALM, Mutant, Patch, Storm, without_checks, wraps

SET = ActionKind.SET_DIAL
KILLED = (Storm("controller-killed", Phase.RETURNING, within_ms=20_000),)
STOPPED = (Storm("controller-sleeps", Phase.RETURNING, 60_000, 9_000),)
STOPPED_WRITING = (Storm("controller-sleeps-writing", Phase.DRAINING, 90_000),)
CUT_OFF = (Storm("store-cut-off", Phase.RETURNING, 60_000, 9_000),)


async def _never_lost(self: Any, session: Any) -> None:
    await asyncio.Event().wait()


@wraps
def _goes_on_alone(former: Any) -> Any:
    """Whose store does not answer writes into its own emergency file, and goes on."""
    return lambda *args: True


@wraps
def _held_is_full(former: Any) -> Any:
    """That another leads is taken for a store without room."""

    def append(self: Any, *bodies: Any, run: str = "") -> Any:
        try:
            return former(self, *bodies, run=run)
        except JournalHeld:
            return self.append_emergency(*bodies, run=run)

    return append


@wraps
def _not_replaced(former: Any) -> Any:
    """Nobody asks, before a write, whether another leads by now."""

    def init(self: Any, *args: Any) -> None:
        former(self, *args)
        self.replaced = lambda: False

    return init


LEADS_FOR_EVER: tuple[Patch, ...] = (
    ("dayshift.runtime.serving.Serving._until_lost", _never_lost),
    ("dayshift.runtime.actuator.Actuator.__init__", _not_replaced),
    ("dayshift.runtime.orchestrator.overrides.goes_on_without_store", _goes_on_alone),
    ("dayshift.journal.journal.Journal.append", _held_is_full),
)


def _same_epoch(store: Any, seen: Any) -> int:
    """Whoever takes over goes on under the number that it finds."""
    return max(1, int(seen.epoch))


@wraps
def _any_epoch(former: Any) -> Any:
    """A journal whose numbers do not rise is read all the same."""

    def apply(body: Any, state: Any, record: Any) -> Any:
        if isinstance(body, Lease):
            state = replace(state, epoch=min(state.epoch, body.epoch - 1))
        return former(body, state, record)

    return apply


FOLDS_ANY: Patch = ("dayshift.core.fold._apply", _any_epoch)


@wraps
def _number_kept(former: Any) -> Any:
    """A controller that led before takes its old number again."""
    known: dict[str, int] = {}

    def lead(self: Any, lease: Any, seen: Any, access: Any) -> None:
        epoch = known.setdefault(str(self.folder), lease.epoch)
        former(self, replace(lease, epoch=epoch), seen, access)

    return lead


@wraps
def _fence_once(former: Any) -> Any:
    def fence(desk: Any) -> Any:
        return former(desk) if desk.state.epoch == 1 else None

    return fence


def _predecessor_fenced(self: Any) -> bool:
    """The claim of whoever led before is taken for one's own fence."""
    return self.state.epoch > 1 or self.hold_dials(f"fence/{self.state.epoch}")


@wraps
def _follower_mends(former: Any) -> Any:
    """A follower that hears nothing for a while writes again what was confirmed."""

    async def follow(self: Any) -> None:
        helping = asyncio.create_task(_help(self))
        try:
            await former(self)
        finally:
            helping.cancel()
            await asyncio.gather(helping, return_exceptions=True)

    return follow


async def _help(serving: Any) -> None:
    while True:
        await serving.ground.clock.sleep(2_000)
        follower = serving._follower
        state = follower._state if follower else None
        if state is None or state.open_run is None:
            continue
        place = serving.ground
        dials = place.crew.stage.drivers(place.machine).dials
        for name, setting in state.confirmed.items():
            seen = state.claims.get(name)
            if seen is None or seen.epoch != state.epoch:
                continue
            claim = replace(seen, seq=seen.seq + 1)
            await dials[name].read()
            await dials[name].set(setting, Token(claim, tuple(setting.rows["*"]), seen))


@wraps
def _follower_keeps(former: Any) -> Any:
    """A follower keeps the leader's leases alive, to be of help."""

    async def follow(self: Any) -> None:
        helping = asyncio.create_task(_renew(self))
        try:
            await former(self)
        finally:
            helping.cancel()
            await asyncio.gather(helping, return_exceptions=True)

    return follow


async def _renew(serving: Any) -> None:
    while True:
        await serving.ground.clock.sleep(2_000)
        follower = serving._follower
        state = follower._state if follower else None
        place = serving.ground
        for name, leased in (state.leases if state else {}).items():
            dial = place.crew.stage.drivers(place.machine).dials[name]
            await dial.renew(leased.claim, leased.lease_ms)


def _compares_nothing(self: Any, rows: Any, after: Head) -> None:
    """The store takes what it is given, from whomever, wherever it belongs."""
    self._at.rows.extend(rows)
    self._at.stir()


@wraps
def _whatever_leads(former: Any) -> Any:
    """Only the place is compared, and that is asked of the store right before."""

    def keep(self: Any, rows: Any) -> None:
        self._stored = self._store.head()
        former(self, rows)

    return keep


@wraps
def _misses_vacancy(former: Any) -> Any:
    return lambda store, head, wanted: former(store, head, wanted) - {Stir.VACANT}


def _not_released(self: Any, journal: str = "") -> None:
    return None


@wraps
def _released_when_good(former: Any) -> Any:
    """The token is given back by the controller that took it, and by no other."""

    def release(self: Any, journal: str = "") -> None:
        if self.epoch == 1:
            former(self, journal)

    return release


def _nothing_known(self: Any) -> set[str]:
    return set()


@wraps
def _asked_everywhere(former: Any) -> Any:
    """Whoever asks leaves it for the leader twice, to be sure, under the same name."""

    async def take(self: Any, message: Any) -> None:
        await former(self, message)
        if b'"beat' not in message.data and b'"leaving' not in message.data:
            await former(self, message)

    return take


SEVERAL = (
    Mutant(
        "leads-after-lease",
        "fencing",
        "a leader whose lease is over goes on, and writes down what it does elsewhere",
        LEADS_FOR_EVER,
        CUT_OFF,
        plans.several,
    ),
    Mutant(
        "wakes-and-leads",
        "fencing",
        "a leader that was stopped past its lease goes on where it stood",
        LEADS_FOR_EVER,
        STOPPED,
        plans.several,
    ),
    Mutant(
        "takeover-without-fence",
        "fencing",
        "who takes over does not stand at the dials before it moves users",
        (
            ("dayshift.core.decide._fence", _fence_once),
            without_checks(SET, "_fence_first"),
        ),
        KILLED,
        plans.several,
    ),
    Mutant(
        "predecessor-fenced",
        "fencing",
        "the fence of the leader before counts for the one that takes over",
        (
            ("dayshift.core.desk.Desk.fence", _predecessor_fenced),
            without_checks(SET, "_fence_first"),
        ),
        KILLED,
        plans.several,
    ),
    Mutant(
        "epoch-not-raised",
        "fencing",
        "who takes over leads under the number that it finds",
        (("dayshift.journal.journal._next_epoch", _same_epoch), FOLDS_ANY),
        KILLED,
        plans.several,
    ),
    Mutant(
        "number-kept",
        "fencing",
        "a controller that led before takes its old number again",
        (("dayshift.journal.journal.Journal._lead", _number_kept), FOLDS_ANY),
        (Storm("controller-dies-often", Phase.DRAINING, 300_000),),
        plans.several,
    ),
    Mutant(
        "follower-mends",
        "fencing",
        "a follower writes again what the leader has confirmed",
        (("dayshift.runtime.serving.Serving._follow", _follower_mends),),
        CALM,
        plans.several,
    ),
    Mutant(
        "follower-keeps",
        "fencing",
        "a follower keeps alive what the leader armed",
        (("dayshift.runtime.serving.Serving._follow", _follower_keeps),),
        CALM,
        plans.several,
    ),
    Mutant(
        "old-leader-passes",
        "fencing",
        "a stopped leader's write is let in by agent and device when it wakes up",
        (*ANY_CLAIM, *LEADS_FOR_EVER),
        STOPPED_WRITING,
        plans.several,
    ),
    Mutant(
        "agent-without-lock",
        "fencing",
        "the agent compares a claim, and writes when others have written meanwhile",
        (("dayshift.agent.keeper.Keeper.__init__", no_lock),),
        (
            Storm("dial-slow", Phase.DRAINING, 1_500, 1, after_ms=19_500),
            Storm("controller-killed", Phase.DRAINING, within_ms=1, after_ms=20_300),
        ),
        plans.slow_leased,
    ),
    Mutant(
        "store-compares-nothing",
        "break-glass",
        "the store takes records from whoever led, late and out of place",
        (("dayshift.rehearsal.shared.SharedStore.land", _compares_nothing),),
        (Storm("store-late", Phase.RETURNING, 60_000, 9_000),),
        plans.several,
    ),
    Mutant(
        "head-asked-late",
        "break-glass",
        "the head to follow is read right before the append, whoever moved it",
        (
            ("dayshift.journal.journal.Journal._keep", _whatever_leads),
            ("dayshift.rehearsal.shared.SharedStore.land", _compares_nothing),
        ),
        STOPPED,
        plans.several,
    ),
    Mutant(
        "watch-misses-vacancy",
        "fencing",
        "a watch does not tell that nobody leads",
        (("dayshift.journal.stores.watching.stirred", _misses_vacancy),),
        KILLED,
        plans.several,
    ),
    Mutant(
        "wave-not-released",
        "ending",
        "the estate's one wave token is kept after the run",
        (("dayshift.journal.journal.Journal.release_wave", _not_released),),
        CALM,
        plans.several,
    ),
    Mutant(
        "wave-of-who-took-it",
        "ending",
        "only the controller that took the wave token gives it back",
        (("dayshift.journal.journal.Journal.release_wave", _released_when_good),),
        KILLED,
        plans.several,
    ),
    Mutant(
        "asked-twice",
        "journal-before-act",
        "what was left for the leader twice is done twice",
        (
            ("dayshift.runtime.leading.Leader._take", _asked_everywhere),
            ("dayshift.runtime.leading.Leader._answered_before", _nothing_known),
        ),
        CALM,
        plans.several,
    ),
    Mutant(
        "asked-again",
        "journal-before-act",
        "who takes over does again what the leader before had answered",
        (("dayshift.runtime.leading.Leader._answered_before", _nothing_known),),
        (Storm("people-ask-twice", Phase.SOAKING, within_ms=2_000),),
        plans.several,
    ),
)
