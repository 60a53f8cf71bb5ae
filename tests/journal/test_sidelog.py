"""Files addressed by their hash, and what is left when they are erased."""

from __future__ import annotations

import hashlib
import stat

import pytest

from dayshift.errors import Bug, Refused
from dayshift.journal.audit import audit
from dayshift.journal.sidelog import SideFiles, side_path
from dayshift.model.records import SideLog
from tests.journal.desk import open_journal


def test_lines_are_sealed_under_their_hash(tmp_path):
    side = SideFiles(tmp_path)
    side.append_line("run-1", "fra.work", b"first")
    SideFiles(tmp_path).append_line("run-1", "fra.work", b"second\n")
    body = side.close("run-1", "fra.work")
    content = b"first\nsecond\n"
    digest = hashlib.sha256(content).hexdigest()
    assert body == SideLog("run-1/fra.work", len(content), digest)
    assert side.get(digest) == content
    mode = side_path(tmp_path, digest).stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    with pytest.raises(Refused, match="SIDE-LOG-UNKNOWN"):
        side.close("run-1", "fra.work")


def test_content_is_kept_once_and_can_be_erased(tmp_path):
    side = SideFiles(tmp_path)
    digest = side.put(b"sample")
    assert side.put(b"sample") == digest
    assert side.get(digest) == b"sample"
    side.erase(digest)
    side.erase(digest)
    assert side.get(digest) is None


def test_changed_content_is_not_given_out_and_is_mended_by_put(tmp_path):
    side = SideFiles(tmp_path)
    digest = side.put(b"sample")
    side_path(tmp_path, digest).write_bytes(b"simple")
    assert side.get(digest) is None
    assert side.put(b"sample") == digest
    assert side.get(digest) == b"sample"


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc", ".hidden", "x" * 200, "a\0"])
def test_names_stay_inside(tmp_path, name):
    side = SideFiles(tmp_path)
    with pytest.raises(Bug):
        side.append_line("run-1", name, b"x")
    with pytest.raises(Bug):
        side.append_line(name, "x", b"x")
    with pytest.raises(Bug):
        side.get(name)


def test_the_audit_tells_erased_from_changed(tmp_path):
    side = SideFiles(tmp_path)
    with open_journal(tmp_path) as journal:
        for name in ("kept", "erased", "changed"):
            side.append_line("run-1", name, name.encode())
            body = side.close("run-1", name)
            journal.append(body, run="run-1")
            if name == "erased":
                side.erase(body.sha256)
            if name == "changed":
                side_path(tmp_path, body.sha256).write_bytes(b"something else")
    report = audit(tmp_path)
    assert report.side_checked == 3
    assert report.side_erased == ("run-1/erased",)
    [fault] = report.side_faults
    assert fault.startswith("run-1/changed hashes to ")
    assert report.bad is None and not report.ok
