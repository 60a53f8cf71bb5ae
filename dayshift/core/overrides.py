"""Which guard a person may override, with which verb, and how many persons it takes.

Zero means never. `accept` is `--accept CODE --reason`, by the estate's policy with a
second person; the emergency verbs need one person and a reason, always recorded.
"""

from __future__ import annotations

from dayshift.model.estate import Policy
from dayshift.model.plan import Verb

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
    "DUTY-UNCLEAR": {"evacuate": 1, "return --now": 1, "abort": 1, "accept": 2},
    "STORE-FULL": {"evacuate": 1, "return --now": 1, "abort": 1, "accept": 0},
    "ABSENCE-LIMIT": {"evacuate": 1, "return --now": 1, "abort": 1, "accept": 2},
    "WORK-ELSEWHERE": {"evacuate": 0, "return --now": 0, "abort": 0, "accept": 2},
    "UNFENCED": {"evacuate": 0, "return --now": 0, "abort": 0, "accept": 0},
    "NOT-FENCED-YET": {"evacuate": 0, "return --now": 0, "abort": 0, "accept": 0},
    "SHARED-FATE": {"evacuate": 1, "return --now": 0, "abort": 0, "accept": 2},
    "RESIDUE": {"evacuate": 1, "return --now": 1, "abort": 1, "accept": 2},
}


def persons_needed(code: str, verb: str, policy: Policy) -> int:
    """How many persons may wave guard `code` through with `verb`; 0 means nobody."""
    needed = TABLE.get(code, {}).get(verb, NEVER)
    if verb == "accept" and needed > 1 and not policy.override_second_person:
        return 1
    return needed


def emergency(verb: Verb, hurry: bool, aborting: bool) -> str:
    """The emergency verb in force, or nothing."""
    if verb is Verb.EVACUATE:
        return "evacuate"
    if hurry:
        return "return --now"
    return "abort" if aborting else ""


def waived(code: str, verb: str, accepted: tuple[str, ...]) -> bool:
    """True when guard `code` does not stop this run: emergency, or accepted by name."""
    if code in accepted:
        return TABLE.get(code, {}).get("accept", NEVER) > 0
    return bool(verb) and TABLE.get(code, {}).get(verb, NEVER) > 0
