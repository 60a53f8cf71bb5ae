"""Broken glass: what becomes of a run that somebody overtook without the store.

Here: how the entries of a break-glass fold onto any state, and the guards that only
broken glass needs. Their numbers are in `model.glass`. Not here: the sealed bundle
(`journal.sealed`), the verbs.
"""

from __future__ import annotations

from msgspec.structs import replace

from dayshift.core.grant import put
from dayshift.core.state import Glass, Hold, JournalState, PassState, RunState, Status
from dayshift.core.transitions import BEFORE_WORK, ENDED
from dayshift.errors import Reason
from dayshift.model.dial import Claim, DialKind, DialReading
from dayshift.model.estate import AgentSpec, ControllerSpec
from dayshift.model.glass import floor, is_glass, mark, mark_in
from dayshift.model.plan import Plan
from dayshift.model.records import (
    Adopted,
    GlassAdopted,
    GlassBroken,
    Phase,
    Record,
)
from dayshift.model.sight import Sight
from dayshift.model.units import Instant

AT_WORK = frozenset({Phase.WORKING, Phase.CATCHING_UP, Phase.WARMING, Phase.VALIDATING})
"""Phases in which a region was worked at and is not validated yet."""


def broken(body: GlassBroken, state: JournalState, record: Record) -> JournalState:
    """The state once somebody acts without the store.

    Why: entries are merged onto whatever the journal became meanwhile, so they must
    fold onto every state.
    Holds: a run that was open is parked, held; nothing of it is forgotten.
    """
    at = record.at
    state = replace(
        state,
        epoch=max(state.epoch, body.epoch),
        holder=f"{body.person}@{body.machine}",
        led=at,
        glasses=(*state.glasses, body.epoch),
    )
    if body.goes_on and state.glass is not None:
        return state
    glass = Glass(body.epoch, body.machine, body.person, body.reason, at)
    first = state.glass or glass
    return replace(_parking(state, _reason(glass), at), glass=first)


def adopted(body: GlassAdopted, state: JournalState, record: Record) -> JournalState:
    """The state once the entries of a lost machine are given up: as if merged, with
    what the dials show in their place."""
    at = record.at
    reason = Reason(
        "BREAK-GLASS",
        f"{body.person} gave up the entries of a machine that broke the glass: "
        f"{body.reason}",
        because=f"the dials were written under epoch {body.epoch}, unknown here",
        so="what the dials show counts; the run stands where that left its region",
        next="see where things stand (`dayshift status`), then choose an exit",
    )
    drained = tuple(sorted({*state.left_drained, *body.drained}))
    state = replace(
        _parking(state, reason, at),
        glasses=(*state.glasses, body.epoch),
        left_drained=drained,
    )
    for region in body.drained:
        state = _overtaken(state, region, out=True)
    return unparked(_overtaken(state, "", out=False))


def _parking(state: JournalState, reason: Reason, at: Instant) -> JournalState:
    run = state.open_run
    if run is None:
        return state
    hold = Hold(reason, run.now_at.region, at)
    held = replace(run, status=Status.HELD, hold=hold, paused_by="")
    return replace(state, run=None, parked=(*state.parked, held))


def unparked(state: JournalState) -> JournalState:
    """The run that was overtaken is the open one again, held."""
    if state.glass is not None or state.open_run or not state.parked:
        return state
    return replace(state, run=state.parked[-1], parked=state.parked[:-1])


def overtaken(state: JournalState) -> JournalState:
    """The state after a run closed that overtook others: they stand where it left
    their regions, so that whoever goes on with them begins from what is true."""
    run = state.run
    if run is None or not state.parked:
        return state
    for one in run.passes:
        out = one.phase is Phase.LEFT_DRAINED
        state = _overtaken(state, one.region, out)
    return unparked(state)


def _overtaken(state: JournalState, region: str, out: bool) -> JournalState:
    parked = []
    for run in state.parked:
        plan = state.plans[run.digest]
        for here in run.passes:
            if out and here.region == region:
                run = put(run, _evacuated(run, here))
        here = run.now_at
        if not (out and here.region == region) and _full(state, plan, here.region):
            run = _serving(run, here, plan)
        parked.append(run)
    return replace(state, parked=tuple(parked))


def _evacuated(run: RunState, here: PassState) -> PassState:
    """Out for good: its work may end, but this run does not bring it back."""
    if here.phase in ENDED and here.phase is not Phase.LEFT_DRAINED:
        return here
    waits = here.region != run.now_at.region
    if waits or at_work(here):
        return replace(here, kept_out=True, retreat=None)
    return replace(
        here, phase=Phase.LEFT_DRAINED, share_bp=0, kept_out=True, retreat=None
    )


def _serving(run: RunState, here: PassState, plan: Plan) -> RunState:
    """It has its users again: as before the pass, or as at the end of a hurried one."""
    here = replace(here, kept_out=False)
    if here.phase in (Phase.SERVING, Phase.PREFLIGHT, Phase.DONE, Phase.DONE_PARTIAL):
        return put(run, here)
    if here.phase is Phase.LEFT_DRAINED or here.phase in BEFORE_WORK:
        back = replace(
            here,
            phase=Phase.SERVING,
            index=-1,
            index_since=None,
            share_bp=None,
            certified=False,
            trip_base={},
            retreat=None,
        )
        return put(run, back)
    ramp = plan.pass_of(here.region).ramp
    soaking = replace(
        here,
        phase=Phase.SOAKING,
        index=len(ramp) - 1,
        share_bp=ramp[-1].share_bp,
        certified=False,
        trip_base={},
        retreat=None,
    )
    return replace(put(run, soaking), hurry=True)


def _full(state: JournalState, plan: Plan, region: str) -> bool:
    """True when every dial was confirmed to give the region its usual share or more."""
    shares = [
        (row.get(region, 0), plan.baseline[dial].rows.get(key, {}).get(region, 0))
        for dial, setting in state.confirmed.items()
        if dial in plan.baseline
        for key, row in setting.rows.items()
        if setting.kind is not DialKind.FORWARD
    ]
    return bool(shares) and all(has >= usual for has, usual in shares)


def at_work(here: PassState) -> bool:
    """True while a step of the region was begun and neither ended nor undone."""
    return bool(set(here.started) - set(here.done) - set(here.undone))


def parked_reason(state: JournalState, region: str, returning: bool) -> Reason | None:
    """Why an overtaken run forbids this verb: it works in a region that would get
    users.

    Args:
        region: the region that the verb moves.
        returning: whether it would get users (else the others would).
    """
    for run in state.parked:
        here = run.now_at
        if returning and here.region == region and at_work(here):
            return _busy(run, here, "its work was begun and its end was not seen")
        if not returning and here.region != region and here.phase in AT_WORK:
            return _busy(run, here, "it would get users and is not validated")
    return None


def _busy(run: RunState, here: PassState, why: str) -> Reason:
    return Reason(
        "REGION-AT-WORK",
        f"{here.region} was {here.phase.value} in run {run.run}: {why}",
        because="invariant: no user in a region whose work is under way",
        so="nothing moved",
        next=f"`dayshift return {here.region} --now` first, if its work has ended",
    )


def numbered(state: JournalState, claim: Claim) -> bool:
    """True for a claim whose record number is one of this journal's."""
    return not is_glass(claim.epoch) and not outranked(state, claim)


def outranked(state: JournalState, claim: Claim) -> bool:
    """True for what a regular controller wrote before the glass was broken."""
    return state.glass is not None and claim.epoch < floor(state.glass.first)


def ours(state: JournalState, claim: Claim, epoch: int, seq: int) -> bool:
    """True for a claim that the writer of (`epoch`, `seq`) may replace as its own."""
    if (claim.estate, claim.journal) != (state.estate, state.journal):
        return False
    if is_glass(claim.epoch):
        # Its entries got other numbers when they were merged: only epochs compare.
        known = claim.epoch in state.glasses
        return known and (claim.epoch, claim.seq) < (epoch, seq)
    before = claim.epoch <= epoch and claim.seq < seq
    return before or outranked(state, claim)


def unmerged(state: JournalState, sight: Sight) -> Reason | None:
    """Why the dials show that somebody else broke the glass, or None."""
    for dial, reading in sorted(sight.dials.items()):
        for one in reading.instances:
            ours = one.claim is not None and one.claim.journal == state.journal
            if ours and one.claim is not None:
                reason = unmerged_reason(state, dial, one.claim)
                if reason is not None:
                    return reason
    return None


def unmerged_reason(state: JournalState, dial: str, claim: Claim) -> Reason | None:
    """Why a claim shows that somebody else broke the glass, or None (invariant 12)."""
    if not is_glass(claim.epoch) or claim.epoch in state.glasses:
        return None
    where = _machine(state, claim.epoch)
    if state.glass is not None:
        return Reason(
            "BREAK-GLASS-ELSEWHERE",
            f"dial {dial} was written with broken glass {where}",
            because=f"it carries epoch {claim.epoch}; this one is {state.epoch}",
            so="nothing moved; two who break the glass do not overrule each other",
            next="go on there: `dayshift evacuate` or `dayshift return --now` on that "
            "machine",
        )
    return Reason(
        "BREAK-GLASS-UNMERGED",
        f"dial {dial} was written with broken glass {where}; this journal does not "
        "have the entries",
        because=f"the dial carries epoch {claim.epoch}, record {claim.seq}; this "
        f"journal has epoch {state.epoch}",
        so="nothing moved; what was done there stays",
        next="on that machine `dayshift seal now` merges them; or bring them: there "
        "`dayshift seal entries FILE`, here `dayshift seal merge FILE`; if it is lost "
        "for good, `dayshift seal adopt --reason TEXT`",
    )


def _machine(state: JournalState, epoch: int) -> str:
    known = [one.name for plan in state.plans.values() for one in _names(plan)]
    last = state.holder.partition("@")[2].split(" ")[0]
    wanted = mark_in(epoch)
    for name in (*known, last):
        if name and mark(name) == wanted:
            return f"on {name}"
    return f"on the machine with mark {wanted} (`dayshift seal show` prints each)"


def _names(plan: Plan) -> tuple[ControllerSpec | AgentSpec, ...]:
    return (*plan.estate.controllers, *plan.estate.agents)


def taken_over(state: JournalState, sight: Sight) -> tuple[Adopted, ...]:
    """What regular controllers wrote after the bundle was sealed: that stands.

    Why: the bundle is as old as it is; a dial that its own journal moved since has not
    drifted.
    """
    if state.glass is None:
        return ()
    found = []
    for dial, reading in sorted(sight.dials.items()):
        claim, setting = _claimed(reading), reading.setting
        if claim is None or setting is None or setting.fault():
            continue
        ours = (claim.estate, claim.journal) == (state.estate, state.journal)
        known = state.claims.get(dial)
        newer = known is None or (claim.epoch, claim.seq) > (known.epoch, known.seq)
        if ours and newer and outranked(state, claim):
            found.append(Adopted(dial, setting, claim))
    return tuple(found)


def overruled(state: JournalState, dial: str, claim: Claim | None) -> bool:
    """True when the journal knows something newer of the dial than an entry that is
    merged late: then the entry does not say how the dial is."""
    known = state.claims.get(dial)
    if known is None or claim is None or state.glass is None:
        return False
    return (known.epoch, known.seq) > (claim.epoch, claim.seq)


def _claimed(reading: DialReading) -> Claim | None:
    """The one claim that every instance carries."""
    claims = {one.claim for one in reading.instances}
    return claims.pop() if len(claims) == 1 and not reading.fault else None


def _reason(glass: Glass) -> Reason:
    return Reason(
        "BREAK-GLASS",
        f"{glass.person} broke the glass on {glass.machine}: {glass.reason}",
        because="the journal's store could not be reached",
        so="the run was overtaken; it stands where that left its region",
        next="see what was done (`dayshift status`), then choose an exit",
    )
