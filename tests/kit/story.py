"""A hand-made run for the surfaces: two regions, one after the other.

Every record is written here by hand, with its instant, and folded by the real fold, so
that a rendering is tested on what a journal can really hold and changes only when the
rendering does. `run_until` tells the tale up to a scene; `the_tale` tells all of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from dayshift.core import planner
from dayshift.core.decision import Decision, Waiting
from dayshift.core.exits import exits
from dayshift.core.fold import fold
from dayshift.core.state import JournalState
from dayshift.core.steering import served
from dayshift.core.times import times
from dayshift.errors import Reason
from dayshift.model import estate as e
from dayshift.model import records as r
from dayshift.model import sight as s
from dayshift.model.dial import Claim, DialKind, DialReading, InstanceReading, Setting
from dayshift.model.evidence import Side, SignalSight, Verdict, VerdictKind
from dayshift.model.plan import Plan, Verb
from dayshift.model.records import ActionKind, Phase
from dayshift.model.units import Instant
from dayshift.surfaces.report import SamplePoint
from dayshift.surfaces.story import Event, Story, event_of, tell

START_MS = 1_790_000_000_000
"""2026-09-21 14:13:20 UTC."""
RUN = "01999f3a-7c40-7000-8000-0000000000a1"
REF = e.DriverRef("test")
ODDS = "odds of 20:1 that less than 1 % more fail than elsewhere"


def signals(
    here: tuple[int, int, int],
    elsewhere: tuple[int, int, int],
    against: tuple[int, int, int],
    promote: tuple[int, int],
    ratios: tuple[tuple[int, int, int], tuple[int, int, int]],
) -> tuple[SignalSight, ...]:
    """Errors, answers above 250 ms and the absolute guard; requests stand first."""
    errors, slow = ratios
    shop: dict[str, Any] = {"stream": "shop", "against_need": 2000}
    return (
        SignalSight(
            **shop,
            signal="errors",
            canary=here[0],
            canary_bad=here[1],
            others=elsewhere[0],
            others_bad=elsewhere[1],
            against_mlog10=against[0],
            promote_mlog10=promote[0],
            promote_need=1301,
            ratio_ppm=errors[0],
            ratio_low_ppm=errors[1],
            ratio_high_ppm=errors[2],
            tolerated_ppm=1_100_000,
        ),
        SignalSight(
            **shop,
            signal="slow",
            bound_us=250_000,
            canary=here[0],
            canary_bad=here[2],
            others=elsewhere[0],
            others_bad=elsewhere[2],
            against_mlog10=against[1],
            promote_mlog10=promote[1],
            promote_need=1301,
            ratio_ppm=slow[0],
            ratio_low_ppm=slow[1],
            ratio_high_ppm=slow[2],
            tolerated_ppm=1_331_000,
        ),
        SignalSight(
            **shop,
            signal="absolute",
            canary=here[0],
            canary_bad=here[1],
            against_mlog10=against[2],
        ),
    )


GOOD = Verdict(
    VerdictKind.PASS,
    "1 of 640 requests failed in fra (0.16 %), 0.18 % elsewhere; odds 24:1 that less "
    "than 1 % more fail than elsewhere; needed 20:1",
    rollback_mlog10=-210,
    rollback_need=2000,
    promote_mlog10=1380,
    promote_need=1301,
    smallest_bp=120,
    requests=640,
    errors=1,
    slow=4,
    decides="errors",
    wait_ms=0,
    signals=signals(
        (640, 1, 4),
        (12_160, 22, 90),
        (-60, -240, -980),
        (1380, 1512),
        ((863_636, 96_000, 3_410_000), (844_444, 310_000, 2_060_000)),
    ),
)
THIN = Verdict(
    VerdictKind.HOLD,
    "evidence still thin: 1 of 210 requests failed in fra (0.48 %), 0.2 % elsewhere; "
    "odds 6.3:1 that less than 1 % more fail than elsewhere; needed 20:1",
    rollback_mlog10=40,
    rollback_need=2000,
    promote_mlog10=800,
    promote_need=1301,
    smallest_bp=310,
    requests=210,
    errors=1,
    slow=1,
    decides="errors",
    needs=ODDS,
    wait_ms=38_000,
    signals=signals(
        (210, 1, 1),
        (20_790, 41, 160),
        (115, -80, -520),
        (800, 1020),
        ((2_414_634, 120_000, 11_800_000), (618_750, 40_000, 3_900_000)),
    ),
)
BAD = Verdict(
    VerdictKind.FAIL,
    "6 of 41 requests failed in fra (14.63 %), 0.2 % elsewhere; odds 1,413:1 that fra "
    "is worse; limit 100:1",
    rollback_mlog10=3150,
    rollback_need=2000,
    promote_mlog10=-1900,
    promote_need=1301,
    requests=41,
    errors=6,
    slow=9,
    decides="errors",
    signals=signals(
        (41, 6, 9),
        (4_059, 8, 30),
        (3410, 2120, 940),
        (-1900, -640),
        ((74_250_000, 14_200_000, 310_000_000), (29_700_000, 9_100_000, 88_000_000)),
    ),
)
GATE_FAILED = Reason(
    "GATE-FAILED",
    f"shop in fra: {BAD.why}",
    because="gate, rung 1 of 4 at 1.00 %",
    so="all traffic left fra; it stays drained; no other region is touched",
    next="`dayshift abort` undoes the work and returns it; or mend it and "
    "`dayshift retry`",
)


def estate(name: str = "demo", title: str = "Frankfurt") -> e.Estate:
    """One service over two regions, one split of two instances, two meters, a duty."""
    both = ("fra", "ber")
    shop = e.Service(
        "shop",
        {"fra": 5000, "ber": 5000},
        {"fra": 900, "ber": 900},
        (e.DialSpec("entry", DialKind.SPLIT, REF),),
        (
            e.MeterSpec("entry", Side.USERS, REF, both),
            e.MeterSpec("edge", Side.REGION, REF, both, gate=False),
        ),
        (e.ProbeSpec("shop", REF, both),),
        (e.ResidueClass("probe", e.Disposition.EXPECTED, "dayshift itself", 600),),
    )
    return e.Estate(
        name,
        (e.Region("fra", title), e.Region("ber", "Berlin")),
        (shop,),
        (e.Duty("nightly", REF, both),),
        (e.Bracket("alert-silence", REF),),
        (e.NotifySpec("on-call", REF, 300_000),),
        e.Policy(
            quiet_ms=3_000,
            soak_ms=10_000,
            drain_bp=(2500, 0),
            ramp_bp=(100, 500, 2500, 5000),
            approvals=1,
            gate=e.GatePolicy(blast_bp=100, trusted=True),
        ),
    )


def change(name: str = "shop-2", reason: str = "upgrade the shop to version 2") -> Any:
    steps = (e.WorkStep("upgrade", REF, e.Interrupt.NEVER, 60_000, undo=True),)
    works = tuple(e.RegionWork(region, steps, "2") for region in ("fra", "ber"))
    return e.Change(name, reason, works, ticket="OPS-1", author="ada")


class Tale:
    """Records, the state they fold to, and a world that the teller sets by hand."""

    def __init__(self, plan: Plan | None = None) -> None:
        self.plan = plan or planner.make(estate(), change(), Verb.MAINTAIN)
        self.ms = 0
        self.state = JournalState()
        self.records: list[r.Record] = []
        self.dial: Setting = self.plan.baseline["entry"]
        self.claim = Claim("demo", "j1", 1, 1)
        self.holders: tuple[str, ...] = ("fra",)
        self.versions = {"fra": "1", "ber": "1"}
        self.error_ppm = {"fra": 0, "ber": 0}
        self.p99_us = {"fra": 11_000, "ber": 12_000}
        self.quiet_ms = 0
        self.in_flight = 0
        self.streak = 9
        self.works: dict[str, s.WorkSight] = {}
        self.verdict: Verdict | None = None
        self.waiting: tuple[Waiting, ...] = ()
        self.silent: tuple[str, ...] = ()
        self.torn = False
        """One instance of the dial disagrees."""

    def now(self) -> Instant:
        return Instant(START_MS + self.ms, self.ms, "boot")

    def wait(self, ms: int) -> None:
        self.ms += ms

    def add(self, *bodies: r.AnyBody) -> int:
        """Append and fold; returns the sequence number of the last one."""
        for body in bodies:
            seq = len(self.records) + 1
            run = RUN if self.state.run or isinstance(body, r.RunOpened) else ""
            record = r.Record(seq, "", self.now(), 1, run, body)
            again = msgspec.json.decode(msgspec.json.encode(record), type=r.Record)
            self.state = fold(self.state, again)
            self.records.append(again)
        return len(self.records)

    def observed(self) -> None:
        self.add(r.Observed(msgspec.to_builtins(self.sight())))

    def phase(self, region: str, *phases: Phase, why: str = "") -> None:
        """Enter the phases one after the other, each after an observation."""
        for new in phases:
            run = self.state.run
            assert run is not None
            old = next(one.phase for one in run.passes if one.region == region)
            self.observed()
            self.add(r.Phased(region, old, new, why))

    def act(self, kind: ActionKind, target: str, region: str, **more: Any) -> None:
        """An intent and, 40 ms later, its good outcome."""
        key = f"{region}/{kind.value}/{target}/{len(self.records)}"
        seq = self.add(r.Intent(r.Action(kind, key, target, region, **more)))
        self.wait(40)
        self.claim = Claim("demo", "j1", 1, seq)
        self.add(r.Outcome(key, r.OutcomeKind.DONE, claim=self.claim))

    def move(self, setting: Setting, region: str) -> None:
        self.observed()
        self.act(ActionKind.SET_DIAL, "entry", region, setting=setting)
        self.dial = setting

    def sight(self) -> s.Sight:
        at = self.now()
        other = InstanceReading("two", self.dial, self.claim)
        if self.torn:
            other = InstanceReading("two", self.plan.baseline["entry"], None)
        one = InstanceReading("one", self.dial, self.claim)
        return s.Sight(
            at=at,
            dials={"entry": DialReading("entry", at, (one, other))},
            places=tuple(self._place(region) for region in ("fra", "ber")),
            works=self.works,
            duties={"nightly": s.DutySight("nightly", self.holders, at=at)},
            brackets={"alert-silence": s.BracketSight("alert-silence", True)},
        )

    def _place(self, region: str) -> s.PlaceSight:
        shop = self.plan.estate.services[0]
        share = (served(shop, {"entry": self.dial}) or {})[region]
        mrps, drained = 37 * share, not share
        common: dict[str, Any] = {
            "age_ms": None if region in self.silent else 120,
            "counted": True,
            "quiet_ms": self.quiet_ms if drained else 0,
            "in_flight": self.in_flight if drained else 3,
            "mrps": mrps,
            "error_ppm": self.error_ppm[region],
            "p50_us": 6_000 if share else 0,
            "p99_us": self.p99_us[region] if share else 0,
            "fault": "connection refused" if region in self.silent else "",
        }
        meters = (
            s.MeterSight("entry", Side.USERS, **common),
            s.MeterSight("edge", Side.REGION, **common),
        )
        probe = s.ProbeSight("shop", self.streak, 0, 150, self.versions[region])
        run = self.state.run
        here = run.now_at.region if run else ""
        verdict = self.verdict if region == here else None
        return s.PlaceSight("shop", region, meters, (probe,), verdict)

    def decision(self) -> Decision:
        run = self.state.run
        if run is None:
            return Decision(waiting=self.waiting)
        return Decision(
            waiting=self.waiting,
            exits=exits(self.state, self.sight),
            times=times(run.now_at, self.plan, self.now()),
        )

    def events(self) -> list[Event]:
        return [one for record in self.records if (one := event_of(record))]

    def story(self, watched: bool = True) -> Story:
        sight, decision = (self.sight(), self.decision()) if watched else (None, None)
        return tell(self.state, sight, decision, self.events(), self.now(), watched)


def opened(tale: Tale) -> None:
    tale.add(r.Genesis("j1", "demo"), r.Lease(1, "console-1"), r.Planned(tale.plan))
    tale.wait(1_000)
    tale.add(r.Approved(tale.plan.digest, "grace", "seen with ada"))
    tale.wait(4_000)
    tale.add(r.RunOpened(tale.plan.digest, "ada"))


def drained(tale: Tale, region: str = "fra") -> None:
    """From serving to zero, both drain stages read back."""
    tale.phase(region, Phase.PREFLIGHT)
    tale.act(ActionKind.ENTER_BRACKET, "alert-silence", region)
    tale.wait(300)
    tale.phase(region, Phase.DRAINING)
    for number, stage in enumerate(tale.plan.pass_of(region).drain):
        tale.move(stage.moves[0].setting, region)
        tale.add(r.Staged(region, number, stage.share_bp))
        tale.wait(1_000)


def emptying(tale: Tale, region: str = "fra") -> None:
    other = "ber" if region == "fra" else "fra"
    tale.phase(region, Phase.HANDING_OVER)
    if tale.holders == (region,):
        tale.act(ActionKind.RELEASE_DUTY, "nightly", region)
        tale.act(ActionKind.TAKE_DUTY, "nightly", other)
        tale.holders = (other,)
    tale.phase(region, Phase.EMPTYING)
    tale.quiet_ms, tale.in_flight = 1_200, 1
    tale.waiting = (
        Waiting(
            "EMPTYING",
            "meter entry (shop) sees 1 requests in flight",
            "the region is proven empty",
        ),
    )
    tale.wait(1_200)


def working(tale: Tale, region: str = "fra") -> None:
    tale.wait(2_900)
    tale.quiet_ms, tale.in_flight, tale.waiting = 3_100, 0, ()
    residue = ("shop/edge: probe 60/min, expected (dayshift itself)",)
    meters = ("shop/edge", "shop/entry")
    tale.observed()
    tale.add(r.Certified(region, 3_000, meters, residue, dict.fromkeys(meters, 9_000)))
    tale.phase(region, Phase.EMPTY, Phase.WORKING)
    key = f"{region}-upgrade-0"
    tale.act(ActionKind.START_WORK, "upgrade", region, text=key)
    tale.works = {
        key: s.WorkSight(
            key, s.WorkStatus.RUNNING, progress="stopping version 1\nstarting version 2"
        )
    }
    text = f"step upgrade in {region}: starting version 2"
    tale.waiting = (Waiting("WORK", text, "it ends"),)
    tale.wait(2_000)


def returning(tale: Tale, region: str = "fra") -> None:
    """The work is done, the first rung reached; the gate has seen little yet."""
    key = f"{region}-upgrade-0"
    tale.works = {key: s.WorkSight(key, s.WorkStatus.DONE, progress="version 2 is up")}
    tale.versions[region] = "2"
    tale.add(r.Worked(region, "upgrade", 0, output="3b1f" * 16))
    tale.phase(region, Phase.CATCHING_UP, Phase.WARMING, Phase.VALIDATING)
    tale.wait(900)
    tale.phase(region, Phase.RETURNING)
    _rung(tale, region, 0)
    tale.verdict = THIN
    tale.waiting = (Waiting("GATE", f"shop: {THIN.why}", "the gate passes"),)
    tale.wait(2_400)


def _rung(tale: Tale, region: str, number: int) -> None:
    stage = tale.plan.pass_of(region).ramp[number]
    tale.move(stage.moves[0].setting, region)
    tale.add(r.Staged(region, number, stage.share_bp))


def soaking(tale: Tale, region: str = "fra") -> None:
    tale.verdict = GOOD
    last = len(tale.plan.pass_of(region).ramp) - 1
    for number in range(last + 1):
        if number:
            _rung(tale, region, number)
        tale.wait(3_000)
        tale.add(r.Judged(region, "shop", number, GOOD))
    tale.phase(region, Phase.SOAKING)
    tale.waiting = (
        Waiting("SOAK", f"{region} at its full share", "the soak is over", 6_000),
    )
    tale.wait(4_000)


def finished(tale: Tale, region: str = "fra") -> None:
    tale.wait(6_000)
    tale.waiting, tale.verdict = (), None
    tale.act(ActionKind.LEAVE_BRACKET, "alert-silence", region)
    tale.phase(region, Phase.DONE)


def held(tale: Tale) -> None:
    """Version 2 is bad: the gate fails on the first rung of fra."""
    tale.verdict, tale.error_ppm["fra"] = BAD, 146_300
    tale.p99_us["fra"] = 640_000
    tale.observed()
    tale.add(
        r.Judged("fra", "shop", 0, BAD),
        r.Retreating("fra", "zero", -1, BAD.why),
        r.Held(GATE_FAILED, "fra"),
    )
    tale.move(tale.plan.pass_of("fra").drain[-1].moves[0].setting, "fra")
    tale.error_ppm["fra"] = 0
    tale.phase("fra", Phase.VALIDATING, why="back to zero")
    tale.act(ActionKind.NOTIFY, "on-call", "fra", text=GATE_FAILED.what)
    tale.verdict = None
    tale.waiting = (Waiting("HELD", GATE_FAILED.what, "a person chooses an exit"),)
    tale.wait(12_000)


FRA = (opened, drained, emptying, working, returning, soaking, finished)
SCENES = {scene.__name__: scene for scene in (*FRA, held)}


def run_until(scene: str, plan: Plan | None = None) -> Tale:
    """The tale of fra up to and with `scene`; `held` follows `returning`."""
    tale = Tale(plan)
    for one in FRA:
        one(tale)
        if one.__name__ == scene:
            return tale
        if scene == "held" and one is returning:
            held(tale)
            return tale
    raise KeyError(scene)


def the_tale(plan: Plan | None = None) -> Tale:
    """Both regions, to the good end, with a pause in the second."""
    tale = run_until("finished", plan)
    for one in (drained, emptying, working):
        one(tale, "ber")
    tale.add(r.Requested("pause", "ada", {}, "t1"), r.Answered("t1", True))
    tale.wait(5_000)
    tale.add(r.Requested("adopt", "ada", {}, "t2"))
    not_held = Reason("NOT-HELD", "the run is not held", so="nothing moved")
    tale.add(r.Answered("t2", False, not_held))
    tale.add(r.Requested("resume", "ada", {}, "t3"), r.Answered("t3", True))
    for one in (returning, soaking, finished):
        one(tale, "ber")
    tale.add(r.RunClosed(r.RunResult.DONE))
    return tale


def samples(tale: Tale) -> list[SamplePoint]:
    """One point per second and region, the shares as the records moved them."""
    moves = [
        (record.at.wall_ms, record.body.action.setting)
        for record in tale.records
        if isinstance(record.body, r.Intent) and record.body.action.setting
    ]
    shop, points = tale.plan.estate.services[0], []
    for wall_ms in range(START_MS, START_MS + tale.ms, 1_000):
        setting = tale.plan.baseline["entry"]
        for at, moved in moves:
            if at <= wall_ms:
                setting = moved
        row = served(shop, {"entry": setting}) or {}
        for region, share in row.items():
            slow = 4_000 * (wall_ms // 1_000 % 3)
            points.append(
                SamplePoint(
                    wall_ms=wall_ms,
                    service="shop",
                    region=region,
                    share_bp=share,
                    mrps=37 * share,
                    error_ppm=0,
                    p50_us=6_000 if share else 0,
                    p99_us=11_000 + slow if share else 0,
                )
            )
    return points


USERS: dict[str, Any] = {
    "start_ms": START_MS,
    "end_ms": START_MS + 90_000,
    "complete": True,
    "requests": 32_410,
    "hurt": 0,
    "wrong": 0,
    "resets": 0,
    "timeouts": 0,
    "unsent": 0,
    "slow": 3,
    "by_region": {"ber": 20_110, "fra": 12_300},
    "before": {"requests": 1_800, "p50_us": 6_000, "p99_us": 14_000},
    "during": {"requests": 29_000, "p50_us": 6_100, "p99_us": 16_000},
    "after": {"requests": 1_610, "p50_us": 6_000, "p99_us": 13_000},
    "orders": {"sent": 1_944, "confirmed": 1_944, "missing": 0, "duplicate": 0},
    "logins": 40,
    "sessions_lost": 0,
    "downloads": 30,
    "downloads_broken": 0,
    "job": {"slots": 44, "missing": 0, "duplicate": 0, "latest_ms": 400},
    "redirect_ms": {"fra": 21, "ber": 18},
    "weather": "dry",
    "series": [],
}


def texts(events: Iterable[Event]) -> list[str]:
    return [f"{one.region:<4}{one.text}" for one in events]
