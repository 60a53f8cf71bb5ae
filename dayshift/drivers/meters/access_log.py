"""Who still reaches a region, from the tail of its access log.

Lines are JSON objects with `client` and `cluster`; others are counted as unread, never
skipped in silence. Bounded: at most the last `TAIL_BYTES` of what came since last time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from dayshift.errors import DriverFault, Reason
from dayshift.model.evidence import Residue

TAIL_BYTES = 262_144
CLIENTS_MAX = 100
USER = "user"
UNREAD = "unread"


class AccessLog:
    """A position in a growing file that may be rotated or cut."""

    def __init__(self, path: Path, classes: Mapping[str, str]) -> None:
        self._path = path
        self._classes = dict(classes)
        self._inode: int | None = None
        self._offset = 0

    def since_last(self) -> tuple[Residue, ...]:
        """Requests by client and class since the last call, the busiest first.

        The first call only marks the place: what came earlier is in nobody's watch.
        """
        seen: Counter[tuple[str, str]] = Counter()
        for line in self._new_lines():
            seen[self._client_and_class(line)] += 1
        return tuple(
            Residue(client, kind, count)
            for (client, kind), count in seen.most_common(CLIENTS_MAX)
        )

    def _client_and_class(self, line: bytes) -> tuple[str, str]:
        try:
            entry = json.loads(line)
            client, cluster = entry["client"], entry["cluster"]
        except (ValueError, KeyError, TypeError):
            return "", UNREAD
        return str(client), self._classes.get(cluster, str(cluster)) or USER

    def _new_lines(self) -> list[bytes]:
        inode, size = self._end()
        if self._inode is None:
            self._inode, self._offset = inode, size
        if inode != self._inode or size < self._offset:
            self._inode, self._offset = inode, 0
        start = max(self._offset, size - TAIL_BYTES)
        try:
            with self._path.open("rb") as file:
                file.seek(start)
                tail = file.read(size - start)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unreadable(error) from None
        whole = tail[: tail.rfind(b"\n") + 1]
        cut_short = start > self._offset
        self._offset = start + len(whole)
        return whole.splitlines()[1 if cut_short else 0 :]

    def _end(self) -> tuple[int, int]:
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return 0, 0
        except OSError as error:
            raise self._unreadable(error) from None
        return stat.st_ino, stat.st_size

    def _unreadable(self, error: OSError) -> DriverFault:
        return DriverFault(
            Reason(
                "LOG-UNREADABLE",
                f"the access log {self._path} cannot be read",
                because=str(error),
                so="nobody can say who still reaches the region",
                next="let Dayshift read it, or take `access_log` out of the meter",
            )
        )
