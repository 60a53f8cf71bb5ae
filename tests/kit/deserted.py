"""Real stores whose leaders die without a goodbye.

    deserted = Deserted(spec, base)
    rig = Rig(…, access=deserted.access, before=deserted.end_leases)

A killed process revokes no lease: it runs on until it ends. `end_leases` lets it end
now, by the store's own means, for nobody wants to wait three seconds a thousand times;
that a lease also ends by itself, and that nobody leads before, has tests of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from dayshift.journal.base import Store
from dayshift.journal.stores import HERE, Access
from dayshift.journal.stores.etcd import EtcdStore
from dayshift.journal.stores.postgresql import PostgresqlStore
from dayshift.model.estate import StoreSpec
from dayshift.runtime.clock import RealClock

LEASE_MS = 60_000
"""Longer than any test: a slow machine must not end it, only the test does."""
END = "UPDATE {s}.journals SET until = clock_timestamp() WHERE nonce = %s RETURNING 1"
_numbers = itertools.count(1)


class Deserted:
    """One journal in a store, its dead leaders, and their leases."""

    def __init__(
        self, spec: StoreSpec, base: Path, estate: str, lease_ms: int = LEASE_MS
    ) -> None:
        self._base = base
        self._left: list[Callable[[], None]] = []
        if spec.driver == "sqlite":
            self.access = HERE
            return
        options = {
            **spec.options,
            "journal": f"j{next(_numbers)}",
            "lease": lease_ms,
            "timeout": 10_000,
        }
        self.access = Access(
            replace(spec, options=options),
            estate,
            base,
            lambda reference: (base / reference.removeprefix("file:")).read_text(),
            RealClock(),
            self._mortal,
        )

    def _mortal(self, store: Store) -> Store:
        """`store`, which says no goodbye."""
        mortal: Any = store
        say_goodbye = mortal.close

        def die() -> None:
            if mortal._keeper is not None:
                mortal._keeper.stop()
                mortal._keeper = None
                self._left.append(_ending(mortal, self.access))
            say_goodbye()

        mortal.close = die
        return store

    def end_leases(self) -> None:
        """The leases of the dead end now."""
        for end in self._left:
            end()
        self._left.clear()


def _ending(store: Any, access: Access) -> Callable[[], None]:
    """What ends the lease that `store` held, over a connection of its own."""
    if isinstance(store, EtcdStore):
        lease = store._lease

        def revoke() -> None:
            other = EtcdStore(access)
            other._etcd.call("/v3/lease/revoke", {"ID": lease})
            other._etcd.close()

        return revoke
    assert isinstance(store, PostgresqlStore)
    nonce = store._nonce

    def run_out() -> None:
        other = PostgresqlStore(access)
        other._link.rows(END, (nonce,))
        other._link.close()

    return run_out
