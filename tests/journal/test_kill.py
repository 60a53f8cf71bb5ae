"""kill -9 at random moments: what was acknowledged is there, whole."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
import time

from dayshift.journal.audit import audit
from dayshift.model.records import Lease, Phased
from tests.journal.desk import open_journal

KILLS = 24
PROGRAM = textwrap.dedent("""
    import sys
    from pathlib import Path
    from tests.journal.desk import open_journal, phased

    journal = open_journal(Path(sys.argv[1]))
    print("open", journal.epoch, flush=True)
    number = 0
    while True:
        number += 1
        batch = [phased(f"{journal.epoch} {number} {part} of {number % 4 + 1}")
                 for part in range(1, number % 4 + 2)]
        journal.append(*batch, run="run-1")
        print("ack", journal.epoch, number, journal.head.seq, flush=True)
        if number % 7 == 0:
            journal.sign_head()
        if number % 11 == 0:
            journal.save_snapshot(journal.head.seq - 3, b"state")
""")


def test_no_acknowledged_record_is_lost_and_no_batch_is_partial(tmp_path):
    seed = 20_261
    chance = random.Random(seed)
    acknowledged: dict[tuple[int, int], int] = {}
    for _ in range(KILLS):
        lines = _run_and_kill(tmp_path, after_s=chance.uniform(0.001, 0.08))
        for line in lines:
            word, *numbers = line.split()
            if word == "ack":
                epoch, number, seq = map(int, numbers)
                acknowledged[epoch, number] = seq
        report = audit(tmp_path)
        assert report.ok, report.bad
    assert len(acknowledged) > KILLS
    with open_journal(tmp_path) as journal:
        records = list(journal.records())
        assert sum(isinstance(one.body, Lease) for one in records) == KILLS + 1
    _assert_whole(records, acknowledged)
    assert audit(tmp_path).ok


def _run_and_kill(folder, after_s: float) -> list[str]:
    """Kill a writer some time after it opened; what it had said by then."""
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )
    first = child.stdout.readline()
    assert first.startswith("open")
    time.sleep(after_s)
    child.kill()
    rest, _ = child.communicate(timeout=30)
    whole = rest[: rest.rfind("\n") + 1]
    return [line for line in whole.splitlines() if line.count(" ") == 3]


def _assert_whole(records, acknowledged) -> None:
    parts: dict[tuple[int, int], list[tuple[int, int]]] = {}
    last: dict[tuple[int, int], int] = {}
    for record in records:
        if not isinstance(record.body, Phased):
            continue
        epoch, number, part, _, size = record.body.why.split()
        batch = (int(epoch), int(number))
        parts.setdefault(batch, []).append((int(part), int(size)))
        last[batch] = record.seq
    for batch, found in parts.items():
        size = found[0][1]
        assert found == [(part, size) for part in range(1, size + 1)], batch
    for batch, seq in acknowledged.items():
        assert last.get(batch) == seq, batch
