"""Why the journal refuses, in words: what its one writer says to people."""

from __future__ import annotations

from pathlib import Path

from dayshift.errors import Reason
from dayshift.journal.base import Head, Wave


def stranded_reason(head: Head) -> Reason:
    """Why the store gets no record while the emergency journal has some."""
    return Reason(
        "JOURNAL-STRANDED",
        f"record {head.seq} lies in the emergency journal, not in the store",
        because="the store could not take a record before",
        so="nothing was appended; only safe verbs go on",
        next="make room at the journal's directory, then start the controller again",
    )


def wave_taken_reason(estate: str, has: Wave) -> Reason:
    """Why no run may be opened beside another journal's."""
    return Reason(
        "WAVE-TAKEN",
        f"estate {estate} has a run in flight: {has}",
        because="invariant: one wave in the whole estate, across all runs and journals",
        so="no run was opened; nothing moved",
        next="let that run end (`dayshift status` where it runs); if its journal is "
        "gone for good, `dayshift journal release-wave`",
    )


def unwritable_reason(folder: Path, error: OSError) -> Reason:
    """Why nothing can be written in the journal's folder."""
    return Reason(
        "JOURNAL-FULL",
        f"the journal in {folder} cannot be written ({error})",
        because="its disk is full, gone or read-only, or it belongs to another user",
        so="nothing was written and nothing moved",
        next="make room there, or correct its owner and mode",
    )
