"""Replicas: for each incident in the notes a bug by which Dayshift would have lived
through it, and the checker that finds it. What cannot be told in a simulated estate is
in `ELSEWHERE`, with the reason."""

from __future__ import annotations

from typing import Any

from dayshift.core.desk import Desk
from dayshift.core.state import JournalState
from dayshift.errors import Reason
from dayshift.model import records as r
from dayshift.model.dial import ALL, DialKind, Setting
from dayshift.model.records import ActionKind, Phase
from tests.planted import plans
from tests.planted.frame import CALM, Mutant, Storm, without_checks, wraps
from tests.planted.proofs import FAILED_WORK, exit_code_ignored, in_phase
from tests.planted.shares import (
    ASLEEP,
    NO_DEVICE_CHECK,
    NO_FAULT,
    SURGE,
    a_bit_more,
    neighbour_instead,
    next_one_too,
)

SET, TAKE = ActionKind.SET_DIAL, ActionKind.TAKE_DUTY
ELSEWHERE = {
    "Optus 2022": "an interface without authentication: the simulated estate has no "
    "interface to call. `tests/agent` calls the agent without and with a foreign "
    "certificate, and `tests/runtime` the control socket as another user.",
}


@wraps
def _everything_off(former: Any) -> Any:
    """A drain of one region that takes every region out."""

    def setting(dial: Any, service: Any, region: str, row: Any) -> Setting:
        made: Setting = former(dial, service, region, row)
        if made.kind is not DialKind.SWITCH or row[region]:
            return made
        return Setting(made.kind, {ALL: dict.fromkeys(made.rows[ALL], 0)})

    return setting


@wraps
def _all_to_one(former: Any) -> Any:
    """Any change gives all users to the region that is listed last."""

    def row_with(shares: dict[str, int], region: str, share: int) -> dict[str, int]:
        if share == shares[region]:
            return dict(shares)
        last = [name for name in shares if name != region][-1]
        return {**dict.fromkeys(shares, 0), last: 10_000}

    return row_with


@wraps
def _listed_twice(former: Any) -> Any:
    """Every entry of a generated row is there twice."""

    def row_with(shares: dict[str, int], region: str, share: int) -> dict[str, int]:
        row: dict[str, int] = former(shares, region, share)
        return {name: 2 * one for name, one in row.items()}

    return row_with


@wraps
def _empty_means_all(former: Any) -> Any:
    """A region at nothing is left out of the row, and an empty row means all."""

    def forward(usual: Any, service: Any, region: str, share: int) -> Setting:
        made: Setting = former(usual, service, region, share)
        return made if share else Setting(made.kind, {**made.rows, region: {}})

    return forward


@wraps
def _first_pass_only(former: Any) -> Any:
    """What went well once is not asked again."""

    def reason(state: JournalState, sight: Any, action: r.Action) -> Reason | None:
        if state.run is not None and state.run.current > 0:
            return None
        found: Reason | None = former(state, sight, action)
        return found

    return reason


@wraps
def _later_a_bit_more(former: Any) -> Any:
    later = a_bit_more(former)

    def set_dial(self: Desk, *args: Any) -> bool:
        return bool((later if self.run.current > 0 else former)(self, *args))

    return set_dial


@wraps
def _blank_is_no_limit(former: Any) -> Any:
    """A policy with a blank field limits nothing."""
    return lambda plan, *seen: None


def _fails_over(desk: Desk, former: Any) -> None:
    """Whoever does not answer is gone: the other side takes over at once."""
    for duty in desk.plan.estate.duties:
        to, seen = desk.route.duties_to.get(duty.name), desk.sight.duties.get(duty.name)
        if to is None or seen is None or (seen.holders and to in seen.holders):
            continue
        if seen.fault or not seen.holders:
            key = f"{desk.region}/take-duty/{duty.name}/{to}/{desk.run.round}"
            if not desk.want(r.Action(TAKE, key, duty.name, region=to)):
                return
    former(desk)


INCIDENTS = (
    Mutant(
        "facebook-2021",
        "last-server",
        "a command takes every region out; the tool that should stop it lets it pass",
        (
            ("dayshift.core.steering._setting", _everything_off),
            NO_FAULT,
            NO_DEVICE_CHECK,
            without_checks(SET, "_last_server", "_one_region"),
        ),
        plan=plans.wide,
        incident="Facebook 2021",
    ),
    Mutant(
        "google-2019",
        "one-region",
        "maintenance of one region takes several out",
        (
            ("dayshift.core.steering._setting", next_one_too),
            ("dayshift.core.interlock.reason", lambda *args: None),
        ),
        plan=plans.wide,
        incident="Google 2019",
    ),
    Mutant(
        "cloudflare-2022",
        "one-region",
        "the terms of a row are in another order: the neighbour is withdrawn",
        (
            ("dayshift.core.steering.row_with", neighbour_instead),
            without_checks(SET, "_one_region"),
        ),
        plan=plans.two_must_serve,
        incident="Cloudflare 2022",
    ),
    Mutant(
        "cloudflare-2023",
        "shared-fate",
        "the control plane's store stands in the region that goes",
        (
            ("dayshift.core.fate._store", lambda *args: ()),
            without_checks(SET, "_fate"),
        ),
        plan=plans.store_in_fra,
        incident="Cloudflare 2023",
    ),
    Mutant(
        "cloudflare-2025-07",
        "last-server",
        "a change of one region gives all users to a site that is offline",
        (
            ("dayshift.core.steering.row_with", _all_to_one),
            ("dayshift.core.proof.serving", lambda *args: True),
            ("dayshift.core.proof.trouble", lambda *args: None),
            ("dayshift.core.guards.capacity_reason", lambda *args: None),
            ("dayshift.core.interlock.reason", lambda *args: None),
        ),
        (Storm("survivor-dies", Phase.DRAINING, 20_000, 1_000),),
        plan=plans.two_must_serve,
        incident="Cloudflare 2025-07",
    ),
    Mutant(
        "cloudflare-2025-11",
        "explicit-targets",
        "a generated row lists everything twice, and nothing bounds it",
        (("dayshift.core.steering.row_with", _listed_twice), NO_FAULT),
        incident="Cloudflare 2025-11",
    ),
    Mutant(
        "cloudflare-2026",
        "explicit-targets",
        "an empty selector means everything",
        (("dayshift.core.steering._forward", _empty_means_all), NO_FAULT),
        plan=plans.wide,
        incident="Cloudflare 2026-02",
    ),
    Mutant(
        "aws-2025",
        "last-server",
        "freshness is asked once, when the enactor starts, and it is delayed",
        (("dayshift.runtime.actuator.elapsed_ms", lambda *args: 0),),
        ASLEEP,
        incident="AWS 2025-10",
    ),
    Mutant(
        "aws-2025-overwrites",
        "fencing",
        "a delayed enactor writes over what a newer one set",
        (
            ("dayshift.core.guards.claims_reason", lambda *args: None),
            ("dayshift.drivers.base.fresh_claim_reason", lambda *args: None),
            ("dayshift.core.interlock.reason", lambda *args: None),
        ),
        (Storm("second-laptop", None, 600_000),),
        incident="AWS 2025-10",
    ),
    Mutant(
        "azure-2025",
        "blind-is-not-green",
        "the validator is passed by, and a bad configuration is released",
        (
            ("dayshift.core.coming_back._probe_gap", lambda desk, streak: None),
            ("dayshift.core.coming_back._judge", lambda desk, rung: False),
        ),
        (Storm("bad-release", Phase.WORKING, 900_000, 100),),
        incident="Azure Front Door 2025",
    ),
    Mutant(
        "google-2025",
        "receiver-ready",
        "a blank field of the policy limits nothing",
        (("dayshift.core.guards.capacity_reason", _blank_is_no_limit),),
        SURGE,
        incident="Google 2025",
    ),
    Mutant(
        "github-2018",
        "never-two-holders",
        "a short partition makes the other side take over while this one still holds",
        (
            in_phase(Phase.HANDING_OVER, _fails_over),
            without_checks(TAKE, "_nobody_holds"),
        ),
        (Storm("cut-duties", Phase.DRAINING, 5_000, 2_000, 1),),
        incident="GitHub 2018",
    ),
    Mutant(
        "roblox-2021",
        "shared-fate",
        "what sees the survivors stands in the region that goes",
        (("dayshift.core.fate._meters", lambda *args: ()),),
        CALM,
        plans.meters_in_fra,
        "Roblox 2021",
    ),
    Mutant(
        "optus-2023",
        "receiver-ready",
        "the limits of the receiving path are not those of the one that goes",
        (
            ("dayshift.core.capacity.worst", lambda *args: None),
            without_checks(SET, "_last_server"),
        ),
        SURGE,
        incident="Optus 2023",
    ),
    Mutant(
        "optus-2025",
        "proven-empty",
        "work begins in a gateway that calls still reach, and nobody looks",
        (
            ("dayshift.core.proof.empty_gaps", lambda *args: ()),
            ("dayshift.core.proof.tripped", lambda *args: None),
        ),
        (Storm("users-stray", Phase.DRAINING, 900_000, 500),),
        incident="Optus 2025",
    ),
    Mutant(
        "rogers-2022",
        "executed-approved",
        "what went well in the first region is not checked in the next one",
        (
            ("dayshift.core.interlock.reason", _first_pass_only),
            ("dayshift.core.desk.Desk.set_dial", _later_a_bit_more),
        ),
        incident="Rogers 2022",
    ),
    Mutant(
        "knight-2012",
        "ending",
        "one of several machines is left with the old version",
        (
            ("dayshift.runtime.observer.Observer.work", exit_code_ignored),
            ("dayshift.core.coming_back._probe_gap", lambda desk, streak: None),
        ),
        FAILED_WORK,
        incident="Knight 2012",
    ),
)
