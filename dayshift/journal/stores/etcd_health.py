"""How an etcd cluster is: which members answer, who leads it, what room is left."""

from __future__ import annotations

from dayshift.errors import DayshiftError
from dayshift.journal.base import Health, Member
from dayshift.journal.stores.etcd_gateway import Gateway, Json

MEMBER_MS = 500
_STATUS = "/v3/maintenance/status"
_ALARMS = "/v3/maintenance/alarm"


def etcd_room(etcd: Gateway, quota_bytes: int) -> int | None:
    """Bytes until the quota; 0 once etcd has raised an alarm; None if nobody tells."""
    try:
        if _alarms(etcd):
            return 0
        size = int(etcd.call(_STATUS, {}).get("dbSize", 0))
    except DayshiftError:
        return None
    return max(0, quota_bytes - size)


def etcd_health(etcd: Gateway, quota_bytes: int) -> Health:
    """Every endpoint as it answers by itself, and the alarms of the cluster."""
    answers = etcd.ask_each(_STATUS, {}, MEMBER_MS)
    members = tuple(_member(one, answer) for one, answer in answers.items())
    up = sum(one.reachable for one in members)
    says = f"{up} of {len(members)} endpoints answer"
    room = None
    if up:
        try:
            alarms = _alarms(etcd)
            room = etcd_room(etcd, quota_bytes)
        except DayshiftError as error:
            says += f"; {error.reason.what}"
        else:
            says += f"; alarms: {', '.join(alarms)}" if alarms else ""
    return Health("etcd", members, room, says)


def _member(endpoint: str, answer: Json | str) -> Member:
    if isinstance(answer, str):
        return Member(endpoint, False, answer)
    own = answer.get("header", {}).get("member_id")
    leads = "leads the cluster" if answer.get("leader") == own else "follows"
    if not int(answer.get("leader", 0)):
        leads = "sees no leader: the cluster has no majority"
    size = int(answer.get("dbSize", 0)) >> 10
    version = answer.get("version", "?")
    return Member(endpoint, True, f"{leads}; etcd {version}, {size:,} KiB")


def _alarms(etcd: Gateway) -> list[str]:
    answer = etcd.call(_ALARMS, {"action": "GET"})
    return sorted({str(one.get("alarm")) for one in answer.get("alarms", ())})
