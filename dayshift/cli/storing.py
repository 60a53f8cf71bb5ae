"""What `check` and `status` say of the store: its members, its room, who leads."""

from __future__ import annotations

import msgspec

from dayshift.cli.checking import Finding
from dayshift.errors import DayshiftError, Reason
from dayshift.journal.base import Health, Holder
from dayshift.journal.stores import Access, open_reader
from dayshift.runtime.session import Workspace
from dayshift.surfaces import nouns


class StoreStory(msgspec.Struct, frozen=True):
    """The store as it answered now; `fault` is empty where it did."""

    driver: str
    health: Health | None = None
    leader: Holder | None = None
    fault: str = ""

    def told(self, now_ms: int) -> nouns.StoreStory:
        """For programs."""
        health, leader = self.health, self.leader
        if health is None:
            return nouns.StoreStory(self.driver, self.fault)
        return nouns.StoreStory(
            self.driver,
            says=health.says,
            members=tuple(nouns.MemberStory(*one) for one in health.members),
            room_bytes=health.room_bytes,
            leader=leader.name if leader else "",
            epoch=leader.epoch if leader else 0,
            leads_ms=max(0, now_ms - leader.since_wall_ms) if leader else 0,
        )

    def lines(self) -> list[str]:
        """For people."""
        if self.health is None:
            return [f"store    {self.driver}: {self.fault or 'there is none yet'}"]
        leads = f"{self.leader} leads" if self.leader else "nobody leads"
        return [f"store    {self.driver}: {self.health.says}; {leads}"]


def look_at_store(workspace: Workspace, access: Access) -> StoreStory:
    """Ask the store; what is wrong with it is part of the answer."""
    driver = access.store.driver
    try:
        store = open_reader(access, workspace.state_dir)
        if store is None:
            return StoreStory(driver)
        try:
            health = store.health()
            return StoreStory(driver, health, store.leader())
        finally:
            store.close()
    except DayshiftError as error:
        return StoreStory(driver, None, None, error.reason.what)


def store_findings(seen: StoreStory) -> list[Finding]:
    """One line for each member, and one for the store."""
    if seen.health is None:
        refused = _gone(seen) if seen.fault else None
        says = seen.fault or "made by the first controller"
        return [Finding("store", seen.driver, says, refused)]
    members = [
        Finding(
            "member", one.name, one.says, None if one.reachable else _away(one.name)
        )
        for one in seen.health.members
    ]
    return [*members, Finding("store", seen.driver, seen.lines()[0].split(": ", 1)[1])]


def _gone(seen: StoreStory) -> Reason:
    return Reason(
        "STORE-GONE",
        seen.fault,
        because=f"`journal:` in dayshift.yaml names this {seen.driver}",
        so="no run could be opened; nothing moved",
        next="bring it back, or correct `journal:`, then `dayshift check`",
    )


def _away(name: str) -> Reason:
    return Reason(
        "MEMBER-AWAY",
        f"the store's member {name} does not answer",
        because="one more that is lost could stop every controller",
        so="nothing moved",
        next="bring it back, then `dayshift check`",
    )
