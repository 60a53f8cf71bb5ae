"""Daemons once for the suite, an empty store for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dayshift.model.estate import StoreSpec
from tests.kit.etcds import Etcds
from tests.kit.postgres import Postgres
from tests.stores.backing import Backing


@pytest.fixture(scope="session")
def etcds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcds]:
    with Etcds(tmp_path_factory.mktemp("etcds")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def postgresqls() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


KINDS = [
    "sqlite",
    pytest.param("etcd", marks=pytest.mark.journey),
    pytest.param("postgresql", marks=pytest.mark.journey),
]


@pytest.fixture(params=KINDS)
def backing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backing]:
    yield from _backing(request, tmp_path)


@pytest.fixture(params=KINDS[1:])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backing]:
    """A store that several controllers share; for what a folder's lock or a single
    file cannot show."""
    yield from _backing(request, tmp_path)


@pytest.fixture(params=KINDS[:1])
def local(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backing]:
    """A store that is a file."""
    yield from _backing(request, tmp_path)


PAIRS = [
    pytest.param((one, two), id=f"{one}-{two}", marks=pytest.mark.journey)
    for one in ("sqlite", "etcd", "postgresql")
    for two in ("sqlite", "etcd", "postgresql")
    if (one, two) != ("sqlite", "sqlite")  # a folder has one file
]


@pytest.fixture(params=PAIRS)
def pair(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[Backing, Backing]]:
    """Two stores between which a journal of one estate may move."""
    first, second = (spec_of(request, one) for one in request.param)
    source = Backing(tmp_path, first)
    target = Backing(tmp_path / "other", second)
    target.estate = source.estate
    if first == second:
        target = source.beside("second")
    yield source, target
    target.close()
    source.close()


def _backing(request: pytest.FixtureRequest, place: Path) -> Iterator[Backing]:
    made = Backing(place, spec_of(request, request.param))
    yield made
    made.close()


def spec_of(request: pytest.FixtureRequest, kind: str) -> StoreSpec:
    spec: StoreSpec = (
        StoreSpec() if kind == "sqlite" else request.getfixturevalue(f"{kind}s").spec()
    )
    return spec


@pytest.fixture(params=KINDS)
def other(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backing]:
    """A second store, of any kind, elsewhere."""
    yield from _backing(request, tmp_path / "other")


@pytest.fixture(params=KINDS[1:])
def other_shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backing]:
    """A second store, elsewhere, that several controllers share."""
    yield from _backing(request, tmp_path / "other")
