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
    made = Backing(tmp_path, spec_of(request, request.param))
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
    made = Backing(tmp_path / "other", spec_of(request, request.param))
    yield made
    made.close()
