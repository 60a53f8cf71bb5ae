"""Shared stores under fire: stopped leaders, killed servers, lost majorities, lost
acknowledgements. What was acknowledged is there, once, whatever happened."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dayshift.errors import JournalError, JournalFull, JournalHeld, Refused
from dayshift.journal.audit import audit
from dayshift.journal.base import ORIGIN
from dayshift.model.records import Observed
from tests.journal.desk import phased
from tests.kit.daemons import eventually
from tests.kit.etcds import Etcds
from tests.kit.postgres import Postgres
from tests.stores.backing import Backing, end, rows

pytestmark = pytest.mark.journey
QUICK_S = 4.0
"""About two seconds are promised; a busy machine gets twice that."""


@pytest.fixture(scope="module")
def fragile_etcds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcds]:
    with Etcds(tmp_path_factory.mktemp("fragile")) as cluster:
        yield cluster


@pytest.fixture
def on_etcd(fragile_etcds: Etcds, tmp_path: Path) -> Iterator[Backing]:
    for one in fragile_etcds.members:
        if not one.alive:
            one.start()
        one.thaw()
    fragile_etcds.wait(3)
    made = Backing(tmp_path, fragile_etcds.spec())
    yield made
    for one in fragile_etcds.members:
        if not one.alive:
            one.start()
        one.thaw()
    fragile_etcds.wait(3)
    made.close()


@pytest.fixture(scope="module")
def fragile_postgres() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


@pytest.fixture
def on_postgres(fragile_postgres: Postgres, tmp_path: Path) -> Iterator[Backing]:
    made = Backing(tmp_path, fragile_postgres.spec())
    yield made
    made.close()


PROGRAM = textwrap.dedent("""
    import sys
    from pathlib import Path
    import msgspec
    from dayshift.errors import JournalError
    from dayshift.model.estate import StoreSpec
    from tests.journal.desk import phased
    from tests.stores.backing import Backing

    base, spec, estate = sys.argv[1:]
    backing = Backing(Path(base), msgspec.json.decode(spec, type=StoreSpec))
    backing.estate = estate
    journal = backing.journal("stopped")
    print("leading", flush=True)
    sys.stdin.readline()
    try:
        journal.append(phased("too late"))
        print("appended", flush=True)
    except JournalError as error:
        print(error.reason.code, journal.lost, error.reason.what, flush=True)
""")


def test_a_stopped_leader_that_wakes_up_is_refused(shared: Backing) -> None:
    """SIGSTOP past its lease, another leads, SIGCONT: it writes nothing."""
    import msgspec

    child = subprocess.Popen(
        [
            *(sys.executable, "-c", PROGRAM, str(shared.base)),
            *(msgspec.json.encode(shared.access.store).decode(), shared.estate),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None and child.stdin is not None
        assert child.stdout.readline() == "leading\n"
        child.send_signal(signal.SIGSTOP)
        with shared.read("b") as reader:
            eventually(lambda: reader.writer() is None, "its lease ends")
        with shared.journal("b") as journal:
            journal.append(phased("b leads"))
            child.send_signal(signal.SIGCONT)
            said, _ = child.communicate("go\n", timeout=60)
            code, lost, what = said.split(" ", 2)
            assert (code, lost) == ("LEADERSHIP-LOST", "True")
            assert "b (pid" in what
            whys = [getattr(one.body, "why", "") for one in journal.records()]
    finally:
        child.kill()
        child.wait()
    assert "b leads" in whys and "too late" not in whys


def test_a_leader_outlives_its_lease_while_it_is_busy(shared: Backing) -> None:
    """The thread renews; whoever decides may take longer than a lease."""
    with shared.journal("a") as journal:
        time.sleep(4)  # longer than the lease of 3 s; nothing to wait for but time
        assert not journal.lost
        journal.append(phased("still leading"))


def test_a_killed_member_costs_nothing(on_etcd: Backing, fragile_etcds: Etcds) -> None:
    store = on_etcd.leading("a")
    made = rows(ORIGIN, 120)
    acknowledged = 0
    for at, row in enumerate(made):
        if at in (30, 70):
            fragile_etcds.members[at // 40].kill()
        if at == 60:
            fragile_etcds.members[0].start()
            fragile_etcds.wait(3)
        until = time.monotonic() + 30
        while True:
            try:
                store.append([row], end(made[:at]))
                break
            except JournalFull:
                assert time.monotonic() < until
        acknowledged += 1
    assert list(store.read(0)) == made
    assert acknowledged == len(made)


def test_without_a_majority_it_says_so_quickly_and_recovers(
    on_etcd: Backing, fragile_etcds: Etcds
) -> None:
    journal = on_etcd.journal("a")
    journal.append(phased("before"))
    for one in fragile_etcds.members[:2]:
        one.kill()
    begun = time.monotonic()
    with pytest.raises(JournalFull, match="STORE-GONE"):
        journal.append(phased("not now"))
    assert time.monotonic() - begun < QUICK_S
    with pytest.raises(JournalFull):
        on_etcd.read("b")
    for one in fragile_etcds.members[:2]:
        one.start()
    fragile_etcds.wait(3)
    journal.close()
    with on_etcd.read("b") as reader:
        eventually(lambda: reader.writer() is None, "the old lease ends")
    with on_etcd.journal("a") as again:
        again.append(phased("after"))
        whys = [getattr(one.body, "why", "") for one in again.records()]
    assert whys.count("before") == whys.count("after") == 1
    assert whys.count("not now") <= 1
    assert audit(on_etcd.folder("a"), access=on_etcd.access).ok


def test_stopped_members_do_not_hang_anybody(
    on_etcd: Backing, fragile_etcds: Etcds
) -> None:
    store = on_etcd.leading("a")
    made = rows(ORIGIN, 3)
    fragile_etcds.members[0].freeze()
    until = time.monotonic() + 30
    while True:
        try:
            store.append(made[:1], ORIGIN)
            break
        except JournalFull:
            assert time.monotonic() < until
    fragile_etcds.members[1].freeze()
    begun = time.monotonic()
    with pytest.raises(JournalFull):
        store.append(made[1:2], end(made[:1]))
    assert time.monotonic() - begun < QUICK_S


def _under_load(backing: Backing, hurt: Callable[[], None]) -> None:
    """Append while `hurt` happens; whatever was acknowledged is there, and once."""
    journal = backing.journal("a")
    acknowledged: list[int] = []
    threading.Timer(0.4, hurt).start()
    number = 0
    until = time.monotonic() + 60
    try:
        while time.monotonic() < until:
            journal.append(Observed({"n": number}), Observed({"n": number}))
            acknowledged.append(number)
            number += 1
    except JournalError:
        pass
    journal.close()

    def leads() -> bool:
        try:
            backing.journal("a").close()
        except (JournalFull, JournalHeld):
            return False
        return True

    eventually(leads, "a controller leads again")
    with backing.read("b") as reader:
        found = [
            one.body.sight["n"]
            for one in reader.records()
            if isinstance(one.body, Observed)
        ]
    assert acknowledged
    assert found[: 2 * len(acknowledged)] == [n for n in acknowledged for _ in "ab"]
    # The one whose acknowledgement was lost is there whole, or not at all.
    assert found[2 * len(acknowledged) :] in ([], [number, number])
    assert audit(backing.folder("a"), access=backing.access).ok


def test_postgresql_killed_while_appending(
    on_postgres: Backing, fragile_postgres: Postgres
) -> None:
    def hurt() -> None:
        fragile_postgres.kill()
        time.sleep(3)
        fragile_postgres.start()

    _under_load(on_postgres, hurt)


def test_a_restart_within_the_time_is_not_even_noticed(
    on_postgres: Backing, fragile_postgres: Postgres
) -> None:
    """Connections are cut; the statement whose answer was lost is found out."""
    store = on_postgres.leading("a")
    made = rows(ORIGIN, 60)
    for at, row in enumerate(made):
        if at % 10 == 5:
            with fragile_postgres.connect() as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'dayshift'"
                )
        store.append([row], end(made[:at]))
    assert list(store.read(0)) == made


def test_a_frozen_postgresql_does_not_hang_anybody(
    on_postgres: Backing, fragile_postgres: Postgres
) -> None:
    store = on_postgres.leading("a")
    store.append(rows(ORIGIN, 1), ORIGIN)
    fragile_postgres.freeze()
    try:
        begun = time.monotonic()
        with pytest.raises(JournalFull, match="STORE-GONE"):
            store.append(rows(store_end := end(rows(ORIGIN, 1)), 1), store_end)
        assert time.monotonic() - begun < 2 * QUICK_S
    finally:
        fragile_postgres.thaw()


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("synchronous_commit = off", "synchronous_commit is off"),
        ("synchronous_commit = local", "synchronous_commit is local"),
    ],
)
def test_a_server_that_would_forget_is_refused(
    on_postgres: Backing, fragile_postgres: Postgres, setting: str, says: str
) -> None:
    with fragile_postgres.connect() as admin:
        admin.execute(f"ALTER DATABASE journals SET {setting}")
        try:
            with pytest.raises(Refused, match="STORE-NOT-DURABLE") as caught:
                on_postgres.leading("a")
            assert says in caught.value.reason.what
        finally:
            admin.execute("ALTER DATABASE journals RESET synchronous_commit")
    on_postgres.leading("a").close()
    wanting = Backing(on_postgres.base, fragile_postgres.spec(standbys=True))
    with pytest.raises(Refused, match="synchronous_standby_names is empty"):
        wanting.leading("a")


def test_a_wrong_password_is_said_so(
    on_postgres: Backing, fragile_postgres: Postgres
) -> None:
    (on_postgres.base / "wrong").write_text("not the password")
    wrong = Backing(on_postgres.base, fragile_postgres.spec(password="file:wrong"))
    with pytest.raises(Refused, match="STORE-DENIED") as caught:
        wrong.leading("a")
    assert "not the password" not in str(caught.value)
