"""A run over an estate whose world obeys at once: states to measure at.

Every record is folded as the orchestrator does it; nothing is written to a disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from dayshift.core import interlock
from dayshift.core.decide import decide
from dayshift.core.fold import fold
from dayshift.core.state import JournalState, RunState
from dayshift.core.transitions import GATED
from dayshift.model import records as r
from dayshift.model.dial import Claim, Setting
from dayshift.model.evidence import Verdict, VerdictKind
from dayshift.model.plan import Plan
from dayshift.model.sight import (
    BracketSight,
    DutySight,
    PlaceSight,
    ServiceSight,
    Sight,
    WorkSight,
    WorkStatus,
)
from dayshift.model.units import Instant
from scale_bench import estates

TURNS_MAX = 5_000
PASSING = Verdict(VerdictKind.PASS, "the region is as good as the others")


@dataclass(frozen=True)
class Moment:
    """One state, and what is seen in it."""

    name: str
    state: JournalState
    sight: Sight


class Running:
    """State and world of one run, side by side."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.state = JournalState()
        self.ms = 1_000_000
        self.seq = 0
        self.dials: dict[str, Setting] = dict(plan.baseline)
        self.claims: dict[str, Claim] = {}
        self.holders: dict[str, tuple[str, ...]] = {
            one.name: (one.regions[0],) for one in plan.estate.duties
        }
        self.open: set[str] = set()
        self.works: dict[str, WorkSight] = {}
        self.versions: dict[str, str] = {}
        self._seen: tuple[object, tuple[PlaceSight, ...]] | None = None
        self._walked: tuple[tuple[PlaceSight, ...], dict[str, ServiceSight]] | None = (
            None
        )
        self.append(r.Genesis("j", "bench"), r.Lease(1, "bench"), r.Planned(plan))
        self.append(r.RunOpened(plan.digest, "ada"))

    @property
    def run(self) -> RunState:
        """The run."""
        assert self.state.run is not None
        return self.state.run

    def now(self) -> Instant:
        """The world's time."""
        return Instant(self.ms, self.ms, "boot")

    def append(self, *bodies: r.AnyBody) -> None:
        """Fold what would be written."""
        for body in bodies:
            self.seq += 1
            record = r.Record(self.seq, "", self.now(), 1, "run", body)
            self.state = fold(self.state, record)

    def sight(self) -> Sight:
        """What is seen now."""
        seen = Sight(
            at=self.now(),
            dials={
                name: estates.dial_reading(
                    name, self.now(), setting, self.claims.get(name)
                )
                for name, setting in self.dials.items()
            },
            places=self._places(),
            works=self.works,
            duties={
                name: DutySight(name, held, at=self.now())
                for name, held in self.holders.items()
            },
            brackets={
                one.name: BracketSight(one.name, one.name in self.open)
                for one in self.plan.estate.brackets
            },
        )
        if self._walked is None or self._walked[0] is not seen.places:
            self._walked = seen.places, seen.services
        # On the way to a moment nobody measures: the walk is not taken again.
        seen.__dict__["services"] = self._walked[1]
        return seen

    def _places(self) -> tuple[PlaceSight, ...]:
        """Seen anew only where the world changed: that is not what is measured."""
        here = self.run.now_at
        gated = here.phase in GATED
        drained = all(
            self.dials[move.dial] == move.setting
            for move in self.plan.pass_of(here.region).drain[-1].moves
        )
        key = (here.region, drained, gated, tuple(self.versions.items()))
        if self._seen is None or self._seen[0] != key:
            self._seen = self._walked = None  # two of them at once would not fit
            seen = estates.places(self.plan.estate, self.dials, self.versions)
            if gated:
                seen = tuple(_judged(one, here.region) for one in seen)
            self._seen = (key, seen)
        return self._seen[1]

    def step(self) -> None:
        """One turn of the loop; whatever is asked for happens at once."""
        sight = self.sight()
        decision = decide(self.state, sight)
        self.append(*decision.records)
        for action in decision.actions:
            self.append(r.Intent(action))
            reason = interlock.reason(self.state, sight, action)
            if reason is not None:
                raise RuntimeError(str(reason))
            claim = Claim("bench", "j", 1, self.seq)
            self._obey(action, claim)
            self.append(r.Outcome(action.key, r.OutcomeKind.DONE, claim=claim))
        self.ms += 200

    def _obey(self, action: r.Action, claim: Claim) -> None:
        kind = r.ActionKind
        match action.kind:
            case kind.SET_DIAL | kind.HOLD_DIAL:
                assert action.setting is not None
                self.dials[action.target] = action.setting
                self.claims[action.target] = claim
            case kind.RELEASE_DUTY:
                self.holders[action.target] = ()
            case kind.TAKE_DUTY:
                self.holders[action.target] = (action.region,)
            case kind.ENTER_BRACKET:
                self.open.add(action.target)
            case kind.LEAVE_BRACKET:
                self.open.discard(action.target)
            case kind.START_WORK:
                done = WorkSight(action.text, WorkStatus.DONE)
                self.works = {**self.works, action.text: done}
                self.versions[action.region] = "2"

    def moments(self) -> Iterator[Moment]:
        """The run in the middle of its drain, at work, and on its way back; one after
        the other, for each sight of a large estate takes room."""
        for name, wanted in MOMENTS.items():
            for _ in range(TURNS_MAX):
                if wanted(self):
                    break
                self.step()
            else:
                raise RuntimeError(f"never {name}: {self.run.now_at}")
            yield Moment(name, self.state, self.sight())


def _judged(place: PlaceSight, region: str) -> PlaceSight:
    return replace(place, verdict=PASSING) if place.region == region else place


def _half_drained(world: Running) -> bool:
    here = world.run.now_at
    stage = world.plan.pass_of(here.region).drain[0]
    done = sum(world.dials[move.dial] == move.setting for move in stage.moves)
    return here.phase is r.Phase.DRAINING and done * 2 >= len(stage.moves)


MOMENTS: dict[str, Callable[[Running], bool]] = {
    "preflight": lambda world: world.run.now_at.phase is r.Phase.PREFLIGHT,
    "draining": _half_drained,
    "holding": lambda world: len(decide(world.state, world.sight()).actions) > 1,
    "working": lambda world: world.run.now_at.phase is r.Phase.WORKING,
    "returning": lambda world: world.run.now_at.phase is r.Phase.RETURNING,
}
