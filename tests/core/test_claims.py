"""What claims at the dials say of the journal: whose it is, and whether it is old."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from dayshift.core import guards
from dayshift.model import records as r
from dayshift.model.dial import Claim
from dayshift.surfaces.story import tell
from tests.kit.play import Play


def claimed(play: Play, claim: Claim) -> None:
    play.claims["entry"] = claim


@pytest.mark.parametrize(
    ("epoch", "ahead", "code"),
    [
        (1, -1, ""),
        (1, 0, ""),
        (1, 1, "JOURNAL-BEHIND"),
        (2, 1, "JOURNAL-BEHIND"),
        (2, -1, "JOURNAL-BEHIND"),
    ],
)
def test_a_claim_of_later_means_an_older_copy(epoch: int, ahead: int, code: str):
    """Also where the copy went on by itself and has as many records by now."""
    play = Play()
    claimed(play, Claim("demo", "j", epoch, play.state.seq + ahead))
    reason = guards.claims_reason(play.state, play.sight())
    assert (reason.code if reason else "") == code
    if reason:
        assert "bring back the newest one" in reason.next
        assert f"record {play.state.seq}" in reason.what


def test_among_several_controllers_a_newer_epoch_is_another_leader() -> None:
    play = Play()
    play.append(r.Lease(2, "test", "c-fra"))
    play.epoch = 2
    claimed(play, Claim("demo", "j", 3, play.state.seq + 5, "c-ber"))
    reason = guards.claims_reason(play.state, play.sight())
    assert reason is not None and reason.code == "FENCED-OFF"
    assert "c-ber" in reason.what and "let it" in reason.next
    claimed(play, Claim("demo", "j", 2, play.state.seq + 5, "c-fra"))
    reason = guards.claims_reason(play.state, play.sight())
    assert reason is not None and reason.code == "JOURNAL-BEHIND"


def test_a_foreign_journal_is_named_and_the_way_out_is_written_down() -> None:
    play = Play()
    claimed(play, Claim("demo", "another", 1, 1, "laptop"))
    reason = guards.claims_reason(play.state, play.sight())
    assert reason is not None and reason.code == "FENCED-OFF"
    assert "laptop" in reason.what and "docs/stores.md" in reason.next


def test_the_story_warns_as_long_as_somebody_looks() -> None:
    play = Play()
    claimed(play, Claim("demo", "j", 1, play.state.seq + 1))
    sight = play.sight()
    told = tell(play.state, sight, None, (), play.now())
    assert [one.code for one in told.warnings] == ["JOURNAL-BEHIND"]
    blind = replace(sight, dials={})
    assert tell(play.state, blind, None, (), play.now()).warnings == ()
