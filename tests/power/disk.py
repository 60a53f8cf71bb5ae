"""A disk of the kind that POSIX promises: only what was synced survives a power cut.

Here lives what a folder's operations leave behind when the power goes after any of
them. Bytes are durable once their file was synced, names once their folder was; of
everything else the disk may have kept any part, in any order.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

ROOT = 0
SECTOR = 512
PAGE = 4096


@dataclass(frozen=True)
class Write:
    """Bytes at an offset of a file."""

    inode: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class Resize:
    """A file cut or grown to a size; grown with zeros."""

    inode: int
    size: int


@dataclass(frozen=True)
class Name:
    """A name set in a folder; `inode` None removes it; `was` goes away with it."""

    inode: int
    name: str
    to: int | None
    was: str = ""


@dataclass(frozen=True)
class Sync:
    """What was done to this file or folder before is durable."""

    inode: int


@dataclass(frozen=True)
class Said:
    """A line that somebody outside has seen: an acknowledgement."""

    line: str


Change = Write | Resize | Name
Operation = Change | Sync | Said
Keep = Callable[[int, Change], Sequence[Change]]
"""What the disk kept of a change that was not synced (its place among those)."""


class File(NamedTuple):
    """Bytes, then zeros up to a size."""

    data: bytes
    size: int


@dataclass
class Image:
    """Files and folders as a machine finds them when it is switched on again."""

    folders: set[int]
    bytes_of: dict[int, bytearray] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    names: dict[int, dict[str, int]] = field(default_factory=dict)

    def apply(self, change: Change) -> None:
        if isinstance(change, Name):
            names = self.names.setdefault(change.inode, {})
            names.pop(change.was, None)
            if change.to is None:
                names.pop(change.name, None)
            else:
                names[change.name] = change.to
            return
        data = self.bytes_of.setdefault(change.inode, bytearray())
        if isinstance(change, Resize):
            del data[change.size :]
            self.sizes[change.inode] = change.size
            return
        end = change.offset + len(change.data)
        if change.data:
            data.extend(bytes(max(0, change.offset - len(data))))
            data[change.offset : end] = change.data
        self.sizes[change.inode] = max(self.sizes.get(change.inode, 0), end)

    def files(self, inode: int = ROOT, under: str = "") -> Iterator[tuple[str, File]]:
        """Every path that is there; a folder's ends with a slash and has no bytes."""
        for name, one in sorted(self.names.get(inode, {}).items()):
            if one in self.folders:
                yield f"{under}{name}/", File(b"", 0)
                yield from self.files(one, f"{under}{name}/")
            else:
                data = bytes(self.bytes_of.get(one, b"")).rstrip(b"\0")
                yield f"{under}{name}", File(data, self.sizes.get(one, 0))

    def lay(self, place: Path) -> None:
        """Make it so in an empty folder."""
        for path, (data, size) in self.files():
            if path.endswith("/"):
                (place / path).mkdir(mode=0o700)
                continue
            with (place / path).open("wb") as file:
                file.write(data)
                file.truncate(size)


def image(operations: Sequence[Operation], folders: set[int], keep: Keep) -> Image:
    """What is left of the operations, all of which were asked for."""
    synced: set[int] = set()
    durable = []
    for one in reversed(operations):
        if isinstance(one, Sync):
            synced.add(one.inode)
        elif not isinstance(one, Said):
            durable.append((one, one.inode in synced))
    left = Image(folders)
    place = 0
    for one, safe in reversed(durable):
        kept = [one] if safe else keep(place, one)
        place += not safe
        for change in kept:
            left.apply(change)
    return left


def pending(operations: Sequence[Operation]) -> int:
    """How many changes were not synced."""
    synced: set[int] = set()
    count = 0
    for one in reversed(operations):
        if isinstance(one, Sync):
            synced.add(one.inode)
        elif not isinstance(one, Said):
            count += one.inode not in synced
    return count


def kinds(count: int, seeds: Sequence[int]) -> Iterator[tuple[str, Keep]]:
    """What a disk may have kept of `count` changes, by name."""
    last = count - 1
    yield "nothing", lambda place, one: []
    if not count:
        return
    yield "all", lambda place, one: [one]
    yield "names only", lambda place, one: [one] if isinstance(one, Name) else []
    yield "no names", lambda place, one: [] if isinstance(one, Name) else [one]
    yield "sizes without bytes", _sizes
    yield "the last only", lambda place, one: [one] if place == last else []
    yield "all but the first", lambda place, one: [one] if place else []
    for unit in (SECTOR, PAGE):
        yield f"torn at {unit}", _torn(last, unit, front=True)
        yield f"torn at {unit}, its end", _torn(last, unit, front=False)
    for seed in seeds:
        yield f"any part, seed {seed}", _any(seed)


def _sizes(place: int, one: Change) -> Sequence[Change]:
    """As file systems do that keep lengths in a journal and bytes outside it."""
    if isinstance(one, Write):
        return [Write(one.inode, one.offset + len(one.data), b"")]
    return [one]


def _torn(last: int, unit: int, front: bool) -> Keep:
    def keep(place: int, one: Change) -> Sequence[Change]:
        if place < last or not isinstance(one, Write):
            return [one]
        parts = list(_parts(one, unit))
        half = len(parts) // 2
        return parts[:half] if front else parts[half:]

    return keep


def _any(seed: int) -> Keep:
    """Each sector and each name by the throw of a coin."""
    chance = random.Random(seed)

    def keep(place: int, one: Change) -> Sequence[Change]:
        if isinstance(one, Write):
            return [part for part in _parts(one, SECTOR) if chance.random() < 0.5]
        return [one] if chance.random() < 0.5 else []

    return keep


def _parts(one: Write, unit: int) -> Iterator[Write]:
    """A write as its sectors, where they lie on the disk."""
    start, end = one.offset, one.offset + len(one.data)
    while start < end:
        stop = min(end, (start // unit + 1) * unit)
        yield Write(one.inode, start, one.data[start - one.offset : stop - one.offset])
        start = stop
