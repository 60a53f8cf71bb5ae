"""What dials that steer by DNS say when they refuse or fail. No decision is here."""

from __future__ import annotations

from collections.abc import Sequence

from dayshift.drivers.fetch import RETRY_MS
from dayshift.errors import DriverFault, DriverRetry, Reason, Refused
from dayshift.model.dial import ALL, Setting, Token
from dayshift.model.units import percent


def shares(setting: Setting | None) -> str:
    """The one row of a setting, for people."""
    if setting is None:
        return "no setting"
    row = setting.rows[ALL]
    return ", ".join(f"{region} {percent(row[region])}" for region in sorted(row))


def setting_refused(dial: str, why: str, setting: Setting) -> Refused:
    """Nobody may or can show this setting."""
    return Refused(
        Reason(
            "SETTING-REFUSED",
            f"dial {dial}: the setting {why}",
            because=f"asked for {setting.rows}",
            so="nothing moved",
            next="`dayshift plan` again",
        )
    )


def claim_refused(dial: str, where: str, why: str, token: Token) -> Refused:
    """Somebody else's claim stands there."""
    return Refused(
        Reason(
            "CLAIM-REFUSED",
            f"dial {dial}, {where}: {why}",
            because=f"the claim beside the name there; this write is {token.claim}",
            so="nothing moved",
            next="find who else steers it; `dayshift adopt` if it is right",
        )
    )


def raced(dial: str, where: str, moved: Sequence[str], error: Refused) -> DriverFault:
    """Another writer came between two authorities of one write."""
    return fault(
        "CLAIM-RACED",
        f"dial {dial}: {where} refused after {', '.join(moved)} moved",
        because=error.reason.what,
        so=f"{', '.join(moved)} has this write, {where} has another's",
    )


def not_acknowledged(
    dial: str, where: str, shown: str, wish: str, limit_ms: int, because: str
) -> DriverRetry:
    """It took the write, or should follow, and answers something else."""
    return retry(
        "NOT-ACKNOWLEDGED",
        f"dial {dial}: {where} shows {shown} instead of {wish} after {limit_ms} ms",
        because or "it answers users that, whatever it said to the write",
        "what its users are told is not what was asked for",
    )


def changed_meanwhile(dial: str, where: str, code: str) -> DriverRetry:
    """The records are no longer those that were looked at; the claim is."""
    return retry(
        "CHANGED-MEANWHILE",
        f"dial {dial}: {where} refused the write with {code}",
        "its records changed since they were looked at, the claim did not",
        "nothing moved there",
    )


def fault(code: str, what: str, because: str, so: str = "") -> DriverFault:
    """A person is needed."""
    way = "mend it there, then `dayshift check`"
    return DriverFault(Reason(code, what, because, so, way))


def retry(code: str, what: str, because: str, so: str) -> DriverRetry:
    """The same call may succeed later."""
    return DriverRetry(Reason(code, what, because, so, "it is tried again"), RETRY_MS)
