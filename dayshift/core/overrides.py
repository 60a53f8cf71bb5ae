"""Which guard a person may override, with which verb, and how many persons it takes.

Zero means never. `accept` is `--accept CODE --reason`, by the estate's policy with a
second person; the emergency verbs need one person and a reason, always recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from dayshift.core.state import JournalState, RunState
from dayshift.model.estate import Policy
from dayshift.model.plan import Verb
from dayshift.model.records import AnyBody, Retreating

EMERGENCY = ("evacuate", "return --now", "abort")
NEVER = 0

TABLE: dict[str, dict[str, int]] = {
    "LAST-SERVER": {"evacuate": 0, "return --now": 0, "abort": 0, "accept": 0},
    "EXPLICIT-TARGET": {"evacuate": 0, "return --now": 0, "abort": 0, "accept": 0},
    "FENCED-OFF": {"evacuate": 0, "return --now": 0, "abort": 0, "accept": 0},
    "JOURNAL-BEHIND": {"evacuate": 0, "return --now": 0, "abort": 0, "accept": 0},
    "NOT-APPROVED-SETTING": {"evacuate": 0, "return --now": 0, "abort": 0, "accept": 0},
    "NOT-EMPTY": {"evacuate": 0, "return --now": 0, "abort": 0, "accept": 0},
    "TWO-HOLDERS": {"evacuate": 0, "return --now": 0, "abort": 0, "accept": 0},
    "DRIFT": {"evacuate": 0, "return --now": 0, "abort": 0, "accept": 0},
    "CAPACITY-EXCEEDED": {"evacuate": 1, "return --now": 1, "abort": 1, "accept": 2},
    "BLIND": {"evacuate": 1, "return --now": 1, "abort": 1, "accept": 2},
    "GATE-FAILED": {"evacuate": 1, "return --now": 1, "abort": 1, "accept": 0},
    "OTHER-REGION-OUT": {"evacuate": 1, "return --now": 1, "abort": 1, "accept": 0},
    "NOT-APPROVED": {"evacuate": 1, "return --now": 1, "abort": 1, "accept": 0},
    "SURVIVOR-TROUBLE": {"evacuate": 1, "return --now": 1, "abort": 1, "accept": 2},
    "DUTY-UNCLEAR": {"evacuate": 1, "return --now": 1, "abort": 0, "accept": 2},
    "STORE-FULL": {"evacuate": 1, "return --now": 1, "abort": 1, "accept": 0},
    "ABSENCE-LIMIT": {"evacuate": 1, "return --now": 1, "abort": 1, "accept": 2},
    "WORK-ELSEWHERE": {"evacuate": 0, "return --now": 0, "abort": 0, "accept": 2},
    "UNFENCED": {"evacuate": 0, "return --now": 0, "abort": 0, "accept": 0},
    "NOT-FENCED-YET": {"evacuate": 0, "return --now": 0, "abort": 0, "accept": 0},
    "SHARED-FATE": {"evacuate": 1, "return --now": 0, "abort": 0, "accept": 2},
    "RESIDUE": {"evacuate": 1, "return --now": 1, "abort": 1, "accept": 2},
    "AGENT-VERSION": {"evacuate": 1, "return --now": 1, "abort": 1, "accept": 0},
    "DIAL-UNREACHABLE": {"evacuate": 0, "return --now": 0, "abort": 0, "accept": 0},
    "LEASE-MISPLACED": {"evacuate": 0, "return --now": 0, "abort": 0, "accept": 0},
    "BREAK-GLASS-UNMERGED": {
        "evacuate": 0,
        "return --now": 0,
        "abort": 0,
        "accept": 0,
    },
    "BREAK-GLASS-ELSEWHERE": {
        "evacuate": 0,
        "return --now": 0,
        "abort": 0,
        "accept": 0,
    },
    "EVACUATED": {"evacuate": 0, "return --now": 0, "abort": 0, "accept": 0},
    "DIAL-MIXED": {"evacuate": 0, "return --now": 0, "abort": 0, "accept": 0},
    "OUT-OF-ORDER": {"evacuate": 1, "return --now": 0, "abort": 0, "accept": 0},
    "NOT-VALIDATED": {"evacuate": 0, "return --now": 0, "abort": 0, "accept": 0},
    "RECEIVER-NOT-READY": {"evacuate": 0, "return --now": 0, "abort": 0, "accept": 0},
    "REGION-AT-WORK": {"evacuate": 0, "return --now": 0, "abort": 0, "accept": 0},
}
NOT_GUARDS: dict[str, str] = {
    "ACTION-FAILED": "what a device answered: `retry` asks it again",
    "ARGUMENT": "a request that lacks a word",
    "CLOCK-JUMPED": "a hold that `retry` ends",
    "DIAL-KIND": "a plan that its dials cannot carry out",
    "LEASE-EXPIRED": "a hold: a dial went back by itself",
    "LEASE-NOT-RENEWED": "a hold: a dial is about to go back by itself",
    "NEEDS-MORE": "an `accept` with too few persons or no reason",
    "NEVER-ACCEPTED": "an `accept` of what nobody can accept",
    "NO-DRIFT": "an `adopt` of nothing",
    "NO-RUN": "an action of no run",
    "NOBODY-NAMED": "a `hand-over` to nobody",
    "NOT-DRAINED": "a `close` with users in the region",
    "NOT-HELD": "a way out of a hold, and no hold",
    "BREAK-GLASS": "a hold: somebody acted without the store",
    "NOT-PAUSED": "a `resume`, and no pause",
    "NOT-RUNNING": "a `pause` of a run that stands already",
    "NOT-READY": "a `return --now` from where nobody can return",
    "NOT-THIS-REGION": "a `return --now` or `evacuate` of another region",
    "NOT-THIS-STEP": "a `done-by-hand` of another step",
    "RETREAT-FAILED": "what a device answered while users were taken away",
    "STEP-TOO-FINE": "a plan that its dials cannot carry out",
    "STEP-RUNNING": "a `done-by-hand` of a step that may be running",
    "TRIPWIRE": "a hold: the region is proven empty again",
    "UNKNOWN-VERB": "a request that there is not",
    "UNOBSERVED": "a hold: what an action did is not seen yet",
    "WORK-FAILED": "a hold with ways out of its own",
    "WORK-LOST": "a hold with ways out of its own",
}
"""Codes of the core that no guard raises, and what they are instead."""


class Down(StrEnum):
    """What does not work while somebody asks."""

    NOTHING = "nothing"
    STORE = "the store is full or gone"
    IDENTITY = "no second person can be reached"
    NOTIFY = "nobody can be called"
    DIALS = "a dial or its agent does not answer"
    METERS = "no meter sees anything"


def persons_needed(code: str, verb: str, policy: Policy) -> int:
    """How many persons may wave guard `code` through with `verb`; 0 means nobody."""
    needed = TABLE.get(code, {}).get(verb, NEVER)
    if verb == "accept" and needed > 1 and not policy.override_second_person:
        return 1
    return needed


def emergency(verb: Verb, run: RunState) -> str:
    """The emergency verb in force, or nothing."""
    if verb is Verb.EVACUATE or run.evacuating:
        return "evacuate"
    if run.hurry:
        return "return --now"
    return "abort" if run.aborting else ""


def waived(code: str, verb: str, accepted: tuple[str, ...]) -> bool:
    """True when guard `code` does not stop this run: emergency, or accepted by name."""
    if code in accepted:
        return TABLE.get(code, {}).get("accept", NEVER) > 0
    return bool(verb) and TABLE.get(code, {}).get(verb, NEVER) > 0


class Outcome(StrEnum):
    """What comes of a verb that meets a guard."""

    GRANTED = "goes on"
    LATER = "goes on, recorded in the emergency journal and merged later"
    STOPPED = "stops"


UNMET: dict[tuple[str, str], str] = {
    ("NOT-VALIDATED", "evacuate"): "an evacuation validates nothing",
    ("NOT-VALIDATED", "abort"): "an abort leaves the region drained",
}
"""Where a verb goes on although nobody may override: it never meets the guard."""
GOES_ON_WITHOUT_STORE = ("abort", "return", "evacuate")
"""Requests that make things safe. `return` of a run under way is always
`return --now`, and `evacuate` is of the region in flight; where none is, it is a run of
its own, and begins without a store too."""


def goes_on_without_store(state: JournalState, bodies: Sequence[AnyBody]) -> bool:
    """Safe verbs go on with a full store, and so does taking users from harm."""
    run = state.run
    if run is None:
        return False
    asked = any(one.verb in GOES_ON_WITHOUT_STORE for one in run.requests.values())
    forced = bool(emergency(state.plan.verb, run))
    leaves = any(isinstance(one, Retreating) for one in bodies)
    return forced or asked or leaves or run.now_at.retreat is not None


def outcome(code: str, verb: str, persons: int, down: Down, policy: Policy) -> Outcome:
    """What comes of `verb`, asked by so many persons, at guard `code`.

    Nobody asking is nobody overriding: every guard stops then.
    """
    if down is Down.DIALS:
        return Outcome.STOPPED
    if down is Down.IDENTITY:
        persons = min(persons, 1)
    emergency_verb = verb in EMERGENCY
    if down is Down.STORE and not emergency_verb:
        return Outcome.STOPPED
    if down is Down.METERS and not (emergency_verb or code == "BLIND"):
        return Outcome.STOPPED
    need = persons_needed(code, verb, policy)
    allowed = 0 < need <= persons or (persons > 0 and (code, verb) in UNMET)
    if not allowed:
        return Outcome.STOPPED
    return Outcome.LATER if down is Down.STORE else Outcome.GRANTED


def page() -> str:
    """The table as it stands in docs/overrides.md."""
    verbs = (*EMERGENCY, "accept")
    lines = [_HEAD, f"| guard | {' | '.join(verbs)} |", "|---" * (len(verbs) + 1) + "|"]
    for code in sorted(TABLE):
        cells = []
        for verb in verbs:
            need = TABLE[code][verb]
            text = {0: "never", 1: "one person", 2: "two persons"}[need]
            cells.append(UNMET.get((code, verb), text))
        lines.append(f"| {code} | {' | '.join(cells)} |")
    lines += ["", "## What is down", ""]
    lines += [f"| down | {' | '.join(verbs)} |", "|---" * (len(verbs) + 1) + "|"]
    for down in Down:
        cells = [_DOWN.get((down, one in EMERGENCY), "as above") for one in verbs]
        lines.append(f"| {down.value} | {' | '.join(cells)} |")
    lines += [
        "",
        "## Codes that are no guards",
        "",
        "| code | what it is |",
        "|---|---|",
    ]
    lines += [f"| {code} | {why} |" for code, why in sorted(NOT_GUARDS.items())]
    return "\n".join(lines) + "\n"


_DOWN: dict[tuple[Down, bool], str] = {
    (Down.STORE, True): "as above; recorded in the emergency journal, merged later",
    (Down.STORE, False): "refused: it cannot be recorded",
    (Down.IDENTITY, False): "refused where it takes two",
    (Down.DIALS, True): "stops, says which dial",
    (Down.DIALS, False): "stops, says which dial",
    (Down.METERS, False): "stops (BLIND), unless BLIND is what was accepted",
}
_HEAD = """# Overrides: guard × verb × persons × what is down

Drawn from `dayshift/core/overrides.py`; a test holds this page to it, and
`tests/core/test_overrides.py` drives the core to every guard with every verb, by no,
one and two persons, with each thing down.

Last server, explicit targets and fencing never yield; `core/interlock` asks its own
questions whatever verb is in force. `evacuate`, `return --now` and `abort` take one
person and a reason, always recorded; `accept` (`dayshift accept CODE --reason …`) takes
a second person unless `policy.override_second_person` is off, and holds for the pass of
the region in flight: in the next one the guard stands again. With meters blind the
emergency verbs still need probes that prove who serves.
"""
