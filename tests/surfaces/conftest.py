"""Snapshots: short texts, one file each, to be read in a review.

`DAYSHIFT_SNAPSHOTS=write pytest tests/surfaces` writes them anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta, timezone
from pathlib import Path

import pytest

from tests.kit.story import Tale

CEST = timezone(timedelta(hours=2), "CEST")
FOLDER = Path(__file__).with_name("snapshots")


@pytest.fixture
def matches() -> Callable[[str, str, Tale], None]:
    """Compare a text with its snapshot; the plan's digest is not part of it."""

    def check(name: str, text: str, tale: Tale) -> None:
        digest = tale.plan.digest
        text = text.replace(digest, "DIGEST").replace(digest[:12], "DIGEST-SHORT")
        path = FOLDER / name
        if os.environ.get("DAYSHIFT_SNAPSHOTS") == "write":
            path.write_text(text)
        assert text == path.read_text(), f"differs from {path.name}"

    return check
