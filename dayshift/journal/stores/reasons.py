"""What stores say when they refuse: one voice for all of them."""

from __future__ import annotations

from dayshift.errors import Reason
from dayshift.journal.base import Holder


def malformed_reason(what: str, text: str) -> Reason:
    """Why a file is no database any more."""
    return Reason(
        "JOURNAL-MALFORMED",
        f"{what} is damaged ({text})",
        because="its pages are not those that were written",
        so="nothing is decided from this journal",
        next="`dayshift audit`, then bring back the newest intact copy",
    )


def full_reason(text: str) -> Reason:
    """Why a record is not durable: the disk."""
    return Reason(
        "JOURNAL-FULL",
        f"a record could not be made durable ({text})",
        because="the disk of the journal is full, gone or read-only",
        so="no further action is taken, but for those that make things safe",
        next="make room at the journal's directory, then start again",
    )


def moved_reason(text: str) -> Reason:
    """Why an append is refused: somebody else writes."""
    return Reason(
        "JOURNAL-MOVED",
        f"the journal is not this controller's to write: {text}",
        because="every append names the record that it follows",
        so="nothing was written",
        next="stop this controller; another one leads",
    )


def led_reason(leader: Holder | None) -> Reason:
    """Why this controller leads no more."""
    now = f"{leader} leads now" if leader else "nobody leads now"
    return Reason(
        "LEADERSHIP-LOST",
        f"this controller leads no more: {now}",
        because="its lease ended before it was renewed: it was stopped, or cut off",
        so="nothing was written",
        next="`dayshift status` shows who goes on; start this controller again",
    )


def unsure_reason(seq: int) -> Reason:
    """Why a store that did not answer once takes no more from this controller."""
    return Reason(
        "JOURNAL-UNSURE",
        f"the store took the records up to {seq}, but could not say so in time",
        because="its answer was lost; it was found out by comparing the head",
        so="nothing was doubled, and nothing more is written before it was read again",
        next="start the controller again; it goes on from there",
    )


def no_tables_reason(driver: str) -> Reason:
    """Why no message can be left in a store without a journal."""
    return Reason(
        "JOURNAL-ABSENT",
        f"there is no journal in the {driver} store yet",
        because="no controller has led there",
        so="nobody was asked",
        next="start a controller first (`dayshift run`, `dayshift serve`)",
    )
