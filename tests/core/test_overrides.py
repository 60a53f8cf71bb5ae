"""The table of overrides, cell by cell: guard × verb × persons × what is down.

Each cell drives the real core to its guard and looks whether the run goes on.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from dayshift.core import interlock, overrides, planner
from dayshift.core.overrides import Down, Outcome
from dayshift.core.state import Status
from dayshift.model import records as r
from dayshift.model.dial import ALL, Claim, split
from dayshift.model.estate import NotifySpec, Policy, RegionWork, WorkStep
from dayshift.model.evidence import Verdict, VerdictKind
from dayshift.model.plan import Verb
from dayshift.model.records import ActionKind, OutcomeKind, Phase
from dayshift.model.sight import AgentSight, DutySight, PlaceSight, Sight
from dayshift.model.speech import Speech
from tests.core.test_interlock import CASES
from tests.kit.play import REF, Play, estate
from tests.tidy.code import dotted, modules, tree

THREE = ("ber", "fra", "muc")
STEP_MS = 500
STEPS = 150
Bend = Callable[[Sight], Sight]


def places(sight: Sight, change: Callable[[PlaceSight], PlaceSight]) -> Sight:
    return replace(sight, places=tuple(change(one) for one in sight.places))


def unseen(one: PlaceSight) -> PlaceSight:
    return replace(one, meters=tuple(replace(m, age_ms=60_000) for m in one.meters))


def dead(one: PlaceSight) -> PlaceSight:
    probes = tuple(replace(p, streak=0, failures=9) for p in one.probes)
    return replace(one, probes=probes)


def failing(one: PlaceSight) -> PlaceSight:
    meters = tuple(replace(m, errors=900, error_ppm=300_000) for m in one.meters)
    return replace(one, meters=meters)


def loaded(one: PlaceSight) -> PlaceSight:
    meters = tuple(replace(m, mrps=m.mrps * 10) for m in one.meters)
    return replace(one, meters=meters)


def with_residue(one: PlaceSight) -> PlaceSight:
    meters = tuple(replace(m, ignored_rpm={"crawler": 60}) for m in one.meters)
    return replace(one, meters=meters)


def of_another_version(one: PlaceSight) -> PlaceSight:
    probes = tuple(replace(p, streak=0, failures=1) for p in one.probes)
    return replace(one, probes=probes)


def in_region(region: str, change: Callable[[PlaceSight], PlaceSight]) -> Bend:
    return lambda sight: places(
        sight, lambda one: change(one) if one.region == region else one
    )


def everywhere(change: Callable[[PlaceSight], PlaceSight]) -> Bend:
    return lambda sight: places(sight, change)


def readings(change: Callable[[Any], Any]) -> Bend:
    def bend(sight: Sight) -> Sight:
        dials = {
            name: replace(one, instances=change(one.instances))
            for name, one in sight.dials.items()
        }
        return replace(sight, dials=dials)

    return bend


def claimed(claim: Claim) -> Bend:
    return readings(lambda all_: tuple(replace(one, claim=claim) for one in all_))


def without_answer(all_: Any) -> Any:
    return tuple(replace(one, setting=None, fault="no answer") for one in all_)


def disagreeing(all_: Any) -> Any:
    other = split({"ber": 1_000, "fra": 1_000, "muc": 8_000})
    return (*all_, replace(all_[0], instance="b", setting=other))


def nobody_known(sight: Sight) -> Sight:
    return replace(
        sight, duties={"nightly": DutySight("nightly", (), "no answer", sight.at)}
    )


def no_room(sight: Sight) -> Sight:
    return replace(sight, store_room_bytes=0)


def other_agent(sight: Sight) -> Sight:
    seen = AgentSight("edge", Speech("0.0.9", 1), Speech("0.1.0", 2))
    return replace(sight, agents={"edge": seen})


FAILING = Verdict(VerdictKind.FAIL, "12 of 40 requests failed")
BENDS: dict[str, Bend] = {
    "LAST-SERVER": everywhere(dead),
    "FENCED-OFF": claimed(Claim("demo", "another", 1, 1)),
    "JOURNAL-BEHIND": claimed(Claim("demo", "j", 1, 10**6)),
    "DRIFT": readings(
        lambda all_: tuple(
            replace(one, setting=split({"ber": 1_000, "fra": 1_000, "muc": 8_000}))
            for one in all_
        )
    ),
    "DIAL-UNREACHABLE": readings(without_answer),
    "DIAL-MIXED": readings(disagreeing),
    "BLIND": everywhere(unseen),
    "SURVIVOR-TROUBLE": in_region("ber", failing),
    "DUTY-UNCLEAR": nobody_known,
    "STORE-FULL": no_room,
    "AGENT-VERSION": other_agent,
    "CAPACITY-EXCEEDED": everywhere(loaded),
    "RESIDUE": in_region("fra", with_residue),
    "NOT-VALIDATED": in_region("fra", of_another_version),
}
"""What makes a guard speak, where a sight does."""
PLAIN: dict[str, Verb] = {
    "GATE-FAILED": Verb.RETURN,
    "NOT-VALIDATED": Verb.RETURN,
    "ABSENCE-LIMIT": Verb.MAINTAIN,
}
"""The ordinary run that meets the guard; a drain unless named."""
INTERLOCK = {
    "EXPLICIT-TARGET",
    "NOT-APPROVED-SETTING",
    "NOT-EMPTY",
    "TWO-HOLDERS",
    "RECEIVER-NOT-READY",
    "REGION-AT-WORK",
}
"""Only the interlock raises these: `test_interlock_yields_to_no_verb`."""
DOWNS: dict[Down, Bend] = {
    Down.NOTHING: lambda sight: sight,
    Down.IDENTITY: lambda sight: sight,
    Down.NOTIFY: lambda sight: sight,
    Down.METERS: everywhere(unseen),
    Down.DIALS: readings(without_answer),
}


class Scene:
    """One run in the circumstances of a guard, with something down."""

    def __init__(self, guard: str, verb: Verb, down: Down) -> None:
        self.guard, self.down = guard, down
        self.bending = False
        base = estate(
            THREE,
            approvals=int(guard == "NOT-APPROVED"),
            absence_ms=60_000,
            return_time_ms=3_000,
            empty_limit_ms=3_000,
        )
        base = replace(base, notify=(NotifySpec("duty", REF),))
        limit = {"ABSENCE-LIMIT": 120_000, "ABSENT": 50_000}.get(guard, 1_000)
        steps = (WorkStep("upgrade", REF, undo=True, limit_ms=limit),)
        work = RegionWork("fra", steps if verb is Verb.MAINTAIN else (), "")
        change = replace(planner.simple_change("x", ("fra",), "test"), regions=(work,))
        self.play = Play(base, change, verb)
        self.play.bend = self._bend
        self.play.obey = self._obey
        if guard == "GATE-FAILED":
            self.play.verdict = lambda region: FAILING
        if guard == "OTHER-REGION-OUT":
            self._leave_out("muc")
        if verb is Verb.RETURN:
            self._leave_out("fra")

    def _leave_out(self, region: str) -> None:
        play = self.play
        gone = (*play.state.left_drained, region)
        service = planner.steering.without(play.estate.services[0], gone)
        now = {"entry": split(service.shares)}
        play.dials = dict(now)
        out = tuple(name for name in gone if name != "fra")
        emergency = play.plan.verb in (Verb.EVACUATE, Verb.RETURN)
        play.plan = planner.make(
            play.estate, play.plan.change, play.plan.verb, out=out if emergency else ()
        )
        digest = play.plan.digest
        run = replace(play.run, digest=digest)
        play.state = replace(
            play.state,
            confirmed=now,
            left_drained=gone,
            plans={digest: play.plan},
            run=run,
        )

    def _bend(self, sight: Sight) -> Sight:
        if not self.bending:
            return sight
        sight = DOWNS[self.down](sight)
        return BENDS.get(self.guard, lambda one: one)(sight)

    def _obey(self, action: r.Action) -> OutcomeKind:
        lost = self.down is Down.NOTIFY and action.kind is ActionKind.NOTIFY
        away = "DIAL-UNREACHABLE" if self.down is Down.DIALS else self.guard
        moves = action.kind in (ActionKind.SET_DIAL, ActionKind.HOLD_DIAL)
        gone = away == "DIAL-UNREACHABLE" and self.bending and moves
        return OutcomeKind.RETRY if lost or gone else OutcomeKind.DONE

    def share(self) -> int:
        return self.play.dials["entry"].rows[ALL]["fra"]

    def goes_on(self, done: Callable[[Scene], bool]) -> bool:
        for _ in range(STEPS):
            if done(self):
                return True
            if self.play.run.status is Status.CLOSED:
                return done(self)
            self.play.step(STEP_MS)
        return done(self)

    def codes(self) -> str:
        """Every word of why it stands."""
        play = self.play
        said = [play.run.why, str(play.run.hold), *map(str, self._waiting())]
        said += [str(one.reason) for one in play.run.asked.values()]
        return " ".join(said)

    def _waiting(self) -> list[Any]:
        return list(self.play.step(0).waiting)


def out(scene: Scene) -> bool:
    return scene.share() == 0


def worked(scene: Scene) -> bool:
    return bool(scene.play.here.started)


def proven(scene: Scene) -> bool:
    return scene.play.here.phase is Phase.LEFT_DRAINED


def closed(scene: Scene) -> bool:
    return scene.play.run.status is Status.CLOSED


def back(scene: Scene) -> bool:
    return scene.share() == scene.play.plan.baseline["entry"].rows[ALL]["fra"]


GOALS: dict[str, Callable[[Scene], bool]] = {
    "RESIDUE": proven,
    "ABSENCE-LIMIT": worked,
    "GATE-FAILED": back,
    "NOT-VALIDATED": back,
}
"""What an ordinary run reaches only beyond the guard; zero traffic unless named."""


def plainly(guard: str, down: Down, persons: int) -> tuple[Scene, bool]:
    """Nobody overrides."""
    scene = Scene(guard, PLAIN.get(guard, Verb.DRAIN), down)
    scene.bending = True
    return scene, scene.goes_on(GOALS.get(guard, out))


def evacuated(guard: str, down: Down, persons: int) -> tuple[Scene, bool]:
    scene = Scene(guard, Verb.EVACUATE, down)
    scene.bending = True
    return scene, scene.goes_on(out)


def hurried(guard: str, down: Down, persons: int) -> tuple[Scene, bool]:
    scene = Scene(guard, Verb.RETURN, down)
    scene.play.ask("return", region="fra")
    scene.bending = True
    return scene, scene.goes_on(back)


def aborted(guard: str, down: Down, persons: int) -> tuple[Scene, bool]:
    verb = PLAIN.get(guard, Verb.DRAIN)
    if guard == "OTHER-REGION-OUT":
        verb = Verb.EVACUATE
    scene = Scene("ABSENT" if guard == "ABSENCE-LIMIT" else guard, verb, down)
    scene.play.append(r.Approved(scene.play.plan.digest, "grace"))
    phase = Phase.RETURNING if verb is Verb.RETURN else Phase.HANDING_OVER
    if guard == "NOT-VALIDATED":
        phase = Phase.VALIDATING
    scene.play.until(lambda one: one.here.phase is phase)
    if guard == "ABSENCE-LIMIT":
        scene.play.ms += 30_000
        scene.play.until_held()
    scene.bending = True
    scene.play.ask("abort")
    return scene, scene.goes_on(closed)


def accepted(guard: str, down: Down, persons: int) -> tuple[Scene, bool]:
    scene = Scene(guard, PLAIN.get(guard, Verb.DRAIN), down)
    second = "bob" if persons > 1 and down is not Down.IDENTITY else ""
    scene.play.ask("accept", code=guard, reason="known", second=second)
    scene.bending = True
    return scene, scene.goes_on(GOALS.get(guard, out))


VERBS = {
    "evacuate": evacuated,
    "return --now": hurried,
    "abort": aborted,
    "accept": accepted,
}


ALSO = {
    "LAST-SERVER": {"NOT-VALIDATED", "RECEIVER-NOT-READY"},
    "DIAL-UNREACHABLE": {"ACTION-FAILED"},
    "DIAL-MIXED": {"DRIFT"},
}
"""Guards that stand before this one on the ways of some verbs."""
APART = {
    "SHARED-FATE": "test_fate",
    "WORK-ELSEWHERE": "test_fences",
    "UNFENCED": "test_fences",
    "NOT-FENCED-YET": "test_fences",
    "LEASE-MISPLACED": "test_leases",
    "OUT-OF-ORDER": "test_layers",
    "BREAK-GLASS-UNMERGED": "test_glass",
    "BREAK-GLASS-ELSEWHERE": "test_glass",
    "EVACUATED": "test_glass",
}
"""Guards of several controllers, which a play of one cannot meet, and their tests."""
MET = sorted(set(overrides.TABLE) - INTERLOCK - set(APART))
POLICY = Policy()


def stops_rightly(scene: Scene, guard: str, down: Down) -> bool:
    """It says why: the guard itself, one before it, or what is down."""
    reasons = {guard, *ALSO.get(guard, ())}
    if down is Down.DIALS:
        reasons |= {"DIAL-UNREACHABLE", "ACTION-FAILED"}
    if down is Down.METERS:
        reasons |= {"BLIND"}
    return any(code in scene.codes() for code in reasons)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("guard", MET)
def test_every_cell(guard: str, verb: str) -> None:
    for down in DOWNS:
        for persons in (0, 1, 2):
            drive = VERBS[verb] if persons else plainly
            scene, on = drive(guard, down, persons)
            wanted = overrides.outcome(guard, verb, persons, down, POLICY)
            where = f"{persons} persons, {down.value}: {scene.codes()}"
            assert on is (wanted is Outcome.GRANTED), where
            assert on or stops_rightly(scene, guard, down), where
            assert not scene.play.refused or not on or verb != "accept", where


@pytest.mark.parametrize("code", ["LAST-SERVER", "EXPLICIT-TARGET", "FENCED-OFF"])
def test_these_never_yield(code: str) -> None:
    for verb in VERBS:
        for down in Down:
            for persons in range(10):
                found = overrides.outcome(code, verb, persons, down, POLICY)
                assert found is Outcome.STOPPED


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("verb", VERBS)
def test_the_interlock_yields_to_no_verb(case: str, verb: str) -> None:
    """Whatever is in force, accepted, or written on the action."""
    make, action, bend, code = CASES[case]
    play = make()
    flags = {"aborting": verb == "abort", "hurry": verb == "return --now"}
    plan = play.plan
    if verb == "evacuate":
        plan = replace(plan, verb=Verb.EVACUATE)
    run = replace(play.run, accepted=(code,), digest=plan.digest, **flags)
    state = replace(play.state, run=run, plans={plan.digest: plan})
    sight = bend(play.sight())
    found = interlock.reason(state, sight, replace(action, override=verb))
    assert found is not None and found.code == code


def codes_of_the_core() -> dict[str, set[str]]:
    """Every code of the core and its nouns by the modules that raise it; plans
    apart."""
    found: dict[str, set[str]] = {}
    for path in modules("dayshift/core", "dayshift/model"):
        if path.name in ("planner.py", "review.py"):
            continue
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            prefix = RAISERS.get(dotted(node.func))
            for part in ast.walk(node.args[0]) if prefix is not None else ():
                word = str(getattr(part, "value", ""))
                word = word.upper() if prefix == "NOT-" else word
                if isinstance(part, ast.Constant) and CODE.fullmatch(word):
                    found.setdefault(f"{prefix}{word}", set()).add(path.name)
    return found


RAISERS = dict.fromkeys(("Reason", "_no", "_refused", "_fenced"), "")
RAISERS |= {"_dial": "DIAL-", "_not": "NOT-"}
CODE = re.compile(r"[A-Z]+(-[A-Z]+)*")


def test_every_code_is_a_guard_of_the_table_or_named_as_none() -> None:
    raised = set(codes_of_the_core())
    named = set(overrides.TABLE) | set(overrides.NOT_GUARDS)
    assert raised - named == set()
    assert named - raised <= set(APART), "named, and nobody raises it"
    assert not set(overrides.TABLE) & set(overrides.NOT_GUARDS)


def test_every_guard_is_driven_to() -> None:
    known = set(BENDS) | set(PLAIN) | INTERLOCK
    known |= {"CAPACITY-EXCEEDED", "OTHER-REGION-OUT", "NOT-APPROVED"}
    assert set(overrides.TABLE) == known | set(APART)
    for code, module in APART.items():
        text = (Path(__file__).parent / f"{module}.py").read_text("utf-8")
        assert code in text, f"{module} does not meet {code}"


def test_the_page_is_current() -> None:
    page = Path(__file__).parents[2] / "docs" / "overrides.md"
    assert page.read_text("utf-8") == overrides.page()
