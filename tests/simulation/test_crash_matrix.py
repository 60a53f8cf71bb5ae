"""The controller dies at every named point, with every store and every family of dial;
another one takes over and ends the run as the recovery table says."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from dayshift.core import recovery
from dayshift.core.crash_matrix import (
    ABSENT,
    DIAL_SPOTS,
    EVERY,
    MATRIX,
    OTHER_SPOTS,
    Family,
    Kept,
    Place,
    Spot,
)
from dayshift.core.recovery import CELLS
from dayshift.errors import JournalBroken, JournalHeld
from dayshift.journal.base import Head, Row
from dayshift.journal.journal import Journal
from dayshift.journal.stores.etcd import EtcdStore
from dayshift.model.dial import DialKind
from dayshift.model.estate import Estate, Interrupt, StoreSpec
from dayshift.model.points import Point
from dayshift.model.records import ActionKind
from dayshift.runtime import orchestrator
from dayshift.runtime.clock import RealClock
from tests.kit.clock import VirtualClock, run_virtual
from tests.kit.crash import DieAt, abandon
from tests.kit.daemons import eventually
from tests.kit.deserted import Deserted
from tests.kit.envoys import Envoys
from tests.kit.etcds import Etcds
from tests.kit.play import change, replace
from tests.kit.postgres import Postgres
from tests.kit.rig import Rig
from tests.simulation import real_envoys
from tests.simulation.test_crash_points import CALLED, die_and_go_on, refuse_once
from tests.simulation.test_crash_rest import rest_of_the_run

WHOLE = bool(int(os.environ.get("DAYSHIFT_CRASH_SWEEP", "0")))
"""`script/soak` crashes at every cell."""
ONE_IN = 12
"""Of what is neither all points × stores nor all points × families."""

BUILT: dict[Family, tuple[DialKind, int, bool]] = {
    Family.SPLIT: (DialKind.SPLIT, 1, False),
    Family.FORWARD: (DialKind.FORWARD, 2, False),
    Family.SWITCH: (DialKind.SWITCH, 2, False),
    Family.SEVERAL: (DialKind.SPLIT, 3, False),
    Family.LEASED: (DialKind.SPLIT, 2, True),
    Family.ENVOY: (DialKind.SPLIT, 2, False),
}
"""Kind, instances, whether writes expire."""
assert set(BUILT) == set(Family)


def is_in_ci(number: int, one: Place) -> bool:
    """All points × all stores, all points × all families, and a diagonal of the rest.

    The actions that touch no dial are crossed with SQLite in `test_crash_points`.
    """
    if one.spot in OTHER_SPOTS:
        return number % ONE_IN == 0 and one.kept is not Kept.SQLITE
    if one.family is Family.SEVERAL or one.kept is Kept.SQLITE:
        return one.family is not Family.ENVOY or one.spot in DIAL_SPOTS
    return number % ONE_IN == 0


def _param(number: int, one: Place) -> Any:
    marks = []
    if one.kept is not Kept.SQLITE or one.family is Family.ENVOY:
        marks.append(pytest.mark.journey)
    if not WHOLE and not is_in_ci(number, one):
        marks.append(pytest.mark.skip(reason="script/soak crashes here"))
    return pytest.param(one, marks=marks, id=str(one))


CELLS_HERE = [_param(number, one) for number, one in enumerate(MATRIX)]


@pytest.fixture(scope="session")
def etcds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcds]:
    with Etcds(tmp_path_factory.mktemp("etcds"), count=1) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def envoys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Envoys]:
    with Envoys(tmp_path_factory.mktemp("envoys"), entries=2) as running:
        yield running


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Callable[[Kept], StoreSpec]:
    """The settings of a running store; it is started when it is first asked for."""

    def spec(kept: Kept) -> StoreSpec:
        if kept is Kept.SQLITE:
            return StoreSpec()
        name = {Kept.ETCD: "etcds", Kept.POSTGRESQL: "postgres"}[kept]
        found: StoreSpec = request.getfixturevalue(name).spec()
        return found

    return spec


def estate_of(family: Family) -> Estate:
    """The estate of the simulations, behind one dial of the family."""
    service = CALLED.services[0]
    spec = replace(service.dials[0], kind=BUILT[family][0])
    return replace(CALLED, services=(replace(service, dials=(spec,)),))


def crash(
    one: Place,
    base: Path,
    spec: StoreSpec,
    steered_by: Callable[..., Any] | None = None,
) -> list[str]:
    """One cell: everything that was not as the tables say."""
    deserted = Deserted(spec, base, CALLED.name)
    _, instances, lease = BUILT[one.family]

    async def program(clock: VirtualClock) -> list[str]:
        rig = Rig(
            clock,
            base / "j",
            estate_of(one.family),
            change(interrupt=Interrupt.SIGNAL),
            instances=instances,
            access=deserted.access,
            before=deserted.end_leases,
        )
        rig.lease, rig.steered_by = lease, steered_by
        await clock.sleep(5_000)
        if one.spot.kind is None:
            return await rest_of_the_run(rig, one.spot.point)
        hook = DieAt(one.spot.point, one.spot.kind)
        return await die_and_go_on(rig, hook, CELLS[one.spot.point, one.spot.kind])

    found = run_virtual(program)
    deserted.end_leases()
    return found


@pytest.mark.parametrize("one", CELLS_HERE)
def test_every_cell_of_the_matrix(
    one: Place,
    tmp_path: Path,
    store: Callable[[Kept], StoreSpec],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if one.spot.kind is None:
        monkeypatch.setattr(orchestrator, "SNAPSHOT_EVERY", 10)
    if one.spot.point is Point.REFUSING:
        assert one.spot.kind is not None
        refuse_once(monkeypatch, one.spot.kind)
    steered_by = None
    if one.family is Family.ENVOY:
        steered_by = real_envoys.steered_by(request.getfixturevalue("envoys"))
    found = crash(one, tmp_path, store(one.kept), steered_by)
    if one.spot.point is Point.REFUSING:
        found = [each for each in found if not each.startswith(("called", "a crash"))]
    assert found == []


def test_nothing_is_left_out_without_a_reason() -> None:
    """Each point meets each store and each family, or it is said why not."""
    assert set(MATRIX) | set(ABSENT) == set(EVERY)
    sampled = [one for number, one in enumerate(MATRIX) if is_in_ci(number, one)]
    stores = Counter((one.spot.point, one.kept) for one in sampled)
    assert set(stores) == {(point, kept) for point in Point for kept in Kept}
    met = {(one.spot.point, one.family) for one in sampled}
    missed = {(one.spot.point, one.family) for one in MATRIX} - met
    assert {family for _, family in missed} <= {Family.ENVOY}


@pytest.mark.journey
def test_a_store_that_acknowledges_too_early_is_found(
    tmp_path: Path,
    store: Callable[[Kept], StoreSpec],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Planted: the dial is written before the intent is durable in etcd."""
    real, late = EtcdStore.append, list[tuple[Any, ...]]()

    def append(self: EtcdStore, rows: Sequence[Row], after: Head) -> None:
        if late and late[-1][0] is self:
            real(*late.pop())
        if any(b'"intent"' in row.data for row in rows):
            late.append((self, rows, after))
        else:
            real(self, rows, after)

    monkeypatch.setattr(EtcdStore, "append", append)
    spot = Spot(Point.APPLIED, ActionKind.SET_DIAL)
    with pytest.raises(JournalBroken) as broken:
        crash(Place(spot, Kept.ETCD, Family.SEVERAL), tmp_path, store(Kept.ETCD))
    assert broken.value.reason.code == "JOURNAL-BEHIND"


def test_a_switch_that_is_thrown_again_without_a_look_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "_found", lambda asked, sight: False)
    spot = Spot(Point.APPLIED, ActionKind.SET_DIAL)
    found = crash(Place(spot, Kept.SQLITE, Family.SWITCH), tmp_path, StoreSpec())
    assert any(one.startswith("the outcome was") for one in found), found


SHARED = [
    pytest.param(kept, marks=pytest.mark.journey, id=kept.value)
    for kept in (Kept.ETCD, Kept.POSTGRESQL)
]


@pytest.mark.parametrize("kept", SHARED)
def test_nobody_leads_until_the_lease_of_the_dead_has_ended_by_itself(
    kept: Kept, tmp_path: Path, store: Callable[[Kept], StoreSpec]
) -> None:
    """What the matrix makes short: `end_leases` does nothing that time does not."""
    deserted = Deserted(store(kept), tmp_path, "demo", lease_ms=3_000)
    folder, clock = tmp_path / "j", RealClock()

    def opened() -> Journal | None:
        try:
            return Journal.open(folder, "demo", clock, "x", access=deserted.access)
        except JournalHeld:
            return None

    first = opened()
    assert first is not None
    abandon(first)
    assert opened() is None
    second: list[Journal] = []
    eventually(lambda: second.extend(filter(None, [opened()])) or bool(second), "leads")
    assert second[0].epoch == first.epoch + 1
    abandon(second[0])
