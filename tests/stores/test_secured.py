"""TLS with an authority of our own, client certificates, users and passwords."""

from __future__ import annotations

from pathlib import Path

import pytest

from dayshift.errors import DayshiftError, JournalFull, Refused
from dayshift.model.estate import StoreSpec
from tests.journal.desk import phased
from tests.kit import etcds, postgres
from tests.kit.etcds import Etcds, TlsFiles
from tests.kit.postgres import Postgres
from tests.stores.authority import make_authority
from tests.stores.backing import Backing

pytestmark = pytest.mark.journey


def with_files(spec: StoreSpec, tls: TlsFiles, **more: object) -> StoreSpec:
    files = {"ca": str(tls.ca), "cert": str(tls.cert), "key": str(tls.key)}
    return StoreSpec(spec.driver, {**spec.options, **files, **more})


def works(backing: Backing) -> None:
    for who in ("a", "b"):
        with backing.journal(who) as journal:
            journal.append(phased(who))
    with backing.read() as reader:
        assert len(list(reader.records())) == 5


def test_etcd_with_tls_client_certificates_and_users(tmp_path: Path) -> None:
    tls, strange = make_authority(tmp_path / "tls"), make_authority(tmp_path / "other")
    (tmp_path / "secret").write_text(etcds.PASSWORD)
    (tmp_path / "wrong").write_text("guess what it is")
    with Etcds(tmp_path / "etcds", count=1, tls=tls) as cluster:
        open_to_all = Backing(tmp_path / "x", with_files(cluster.spec(), tls))
        works(open_to_all)
        stranger = Backing(tmp_path / "s", with_files(cluster.spec(), strange))
        with pytest.raises(JournalFull, match="certificate"):
            stranger.journal("a")
        cluster.with_users("/dayshift/")
        user = {"user": "dayshift", "password": "file:../secret"}
        known = Backing(tmp_path / "y", with_files(cluster.spec(), tls, **user))
        works(known)
        with pytest.raises(Refused, match="STORE-DENIED"):
            open_to_all.journal("a")
        user["password"] = "file:../wrong"
        guessed = Backing(tmp_path / "y", with_files(cluster.spec(), tls, **user))
        with pytest.raises(Refused, match="STORE-DENIED") as caught:
            guessed.journal("a")
        assert "guess what" not in str(caught.value)
        elsewhere = {"user": "dayshift", "password": "file:../secret"}
        elsewhere["prefix"] = "/others"
        denied = Backing(tmp_path / "z", with_files(cluster.spec(), tls, **elsewhere))
        with pytest.raises(Refused, match="permission denied"):
            denied.journal("a")


def test_postgresql_with_tls(tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tmp_path_factory.mktemp("pg-tls")
    tls, strange = make_authority(base / "tls"), make_authority(base / "other")
    with Postgres(tls) as server:
        assert postgres.PASSWORD
        works(Backing(base / "x", with_files(server.spec(), tls, cert="", key="")))
        only_ca = with_files(server.spec(), strange, cert="", key="")
        with pytest.raises(DayshiftError, match="certificate verify failed"):
            Backing(base / "s", only_ca).journal("a")


def test_files_that_are_missing_are_named(tmp_path: Path) -> None:
    spec = StoreSpec("etcd", {"endpoints": ["https://127.0.0.1:1"], "ca": "none.pem"})
    with pytest.raises(Refused, match=r"(?s)STORE-TLS.*none\.pem"):
        Backing(tmp_path, spec).journal("a")
