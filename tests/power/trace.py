"""What a process really asks the kernel for in one folder, recorded by strace.

Here lives the reading of system calls into operations of `disk`. A call that could
change the folder in a way that is not understood here fails the recording.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.power.disk import ROOT, Name, Operation, Resize, Said, Sync, Write

_CALLS = (
    "openat,open,creat,close,dup,dup2,dup3,fcntl,write,pwrite64,writev,pwritev,"
    "pwritev2,lseek,ftruncate,truncate,fallocate,fsync,fdatasync,sync_file_range,"
    "rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,link,linkat,"
    "symlink,symlinkat,mmap,copy_file_range,sendfile,clone,clone3,fork,vfork,chdir"
)
_LINE = re.compile(r"\d+ +(\w+)\((.*)\) += (-?\w+)(?: .*)?")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_SHARED_INDEX = "-shm"
"""SQLite's index of its log: mapped memory, made anew from the log at every start."""


class Recording:
    """Operations of several processes, one after the other, below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.operations: list[Operation] = []
        self.folders = {ROOT}
        self._names: dict[tuple[int, str], int] = {}
        self._sizes: dict[int, int] = {}
        self._inodes = ROOT
        self._open: dict[int, tuple[int, str]] = {}
        self._at: dict[int, int] = {}
        self._appends: set[int] = set()

    def run(self, strace: str, argv: Sequence[str], log: Path) -> None:
        """Let a process run to its end, and note down what it did."""
        env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [strace, "-f", "-o", str(log), "-xx", "-s", "99999999"]
        command += ["--seccomp-bpf", "-e", f"trace={_CALLS}", *argv]
        subprocess.run(command, check=True, env=env, timeout=120)
        self._open, self._at, self._appends = {}, {}, set()
        for line in log.read_text().splitlines():
            self._read(line)

    def _read(self, line: str) -> None:
        found = _LINE.fullmatch(line)
        if found is None:
            assert "+++" in line or "---" in line, line[:200]
            return
        call, arguments, result = found.groups()
        if result.startswith(("-", "?")):
            return
        texts = [bytes.fromhex(one.replace("\\x", "")) for one in _strings(arguments)]
        plain = _STRING.sub('""', arguments).split(", ")
        getattr(self, f"_{call}", self._unknown)(plain, texts, int(result, 0))

    def _unknown(self, plain: list[str], texts: list[bytes], result: int) -> None:
        paths = [one for one in texts if self._inside(one)]
        opened = plain[0].isdigit() and int(plain[0]) in self._open
        assert not paths and not opened, f"a call that is not understood: {plain}"

    def _inside(self, path: bytes) -> bool:
        return path.decode(errors="replace").startswith(f"{self.root}/")

    def _place(self, path: bytes) -> tuple[int, str]:
        """Folder and name of a path inside."""
        *folders, name = path.decode()[len(self.root) + 1 :].rstrip("/").split("/")
        inode = ROOT
        for one in folders:
            inode = self._names[inode, one]
        return inode, name

    def _make(self, folder: int, name: str) -> int:
        self._inodes += 1
        self._names[folder, name] = self._inodes
        self.operations.append(Name(folder, name, self._inodes))
        return self._inodes

    def _openat(self, plain: list[str], texts: list[bytes], result: int) -> None:
        flags = plain[2]
        self._at[result] = 0
        self._open.pop(result, None)
        self._appends.discard(result)
        if texts[0].decode() == self.root:
            self._open[result] = ROOT, ""
        if not self._inside(texts[0]) or texts[0].endswith(_SHARED_INDEX.encode()):
            return
        folder, name = self._place(texts[0])
        inode = self._names.get((folder, name))
        if inode is None:
            assert "O_CREAT" in flags, (texts, flags)
            inode = self._make(folder, name)
        elif "O_TRUNC" in flags:
            self._resize(inode, 0)
        if "O_APPEND" in flags:
            self._appends.add(result)
        self._open[result] = inode, name

    def _close(self, plain: list[str], texts: list[bytes], result: int) -> None:
        self._open.pop(int(plain[0]), None)

    def _fcntl(self, plain: list[str], texts: list[bytes], result: int) -> None:
        if plain[1].startswith("F_DUPFD"):
            self._unknown(plain, texts, result)

    def _lseek(self, plain: list[str], texts: list[bytes], result: int) -> None:
        self._at[int(plain[0])] = result

    def _write(self, plain: list[str], texts: list[bytes], result: int) -> None:
        descriptor = int(plain[0])
        if descriptor == 1:
            self.operations += [Said(one) for one in texts[0].decode().split("\n")]
        elif descriptor in self._open:
            inode, _ = self._open[descriptor]
            end = self._sizes.get(inode, 0)
            at = end if descriptor in self._appends else self._at[descriptor]
            self._put(inode, at, texts[0][:result])
            self._at[descriptor] = at + result

    def _pwrite64(self, plain: list[str], texts: list[bytes], result: int) -> None:
        if int(plain[0]) in self._open:
            inode, _ = self._open[int(plain[0])]
            self._put(inode, int(plain[3]), texts[0][:result])

    def _put(self, inode: int, at: int, data: bytes) -> None:
        self.operations.append(Write(inode, at, data))
        self._sizes[inode] = max(self._sizes.get(inode, 0), at + len(data))

    def _ftruncate(self, plain: list[str], texts: list[bytes], result: int) -> None:
        if int(plain[0]) in self._open:
            self._resize(self._open[int(plain[0])][0], int(plain[1]))

    def _fallocate(self, plain: list[str], texts: list[bytes], result: int) -> None:
        if int(plain[0]) in self._open:
            inode, _ = self._open[int(plain[0])]
            size = max(self._sizes.get(inode, 0), int(plain[2]) + int(plain[3]))
            self._resize(inode, size)

    def _resize(self, inode: int, size: int) -> None:
        self.operations.append(Resize(inode, size))
        self._sizes[inode] = size

    def _fsync(self, plain: list[str], texts: list[bytes], result: int) -> None:
        if int(plain[0]) in self._open:
            self.operations.append(Sync(self._open[int(plain[0])][0]))

    _fdatasync = _fsync

    def _rename(self, plain: list[str], texts: list[bytes], result: int) -> None:
        if not self._inside(texts[0]):
            return
        folder, old = self._place(texts[0])
        other, new = self._place(texts[1])
        assert folder == other, "a rename between folders"
        inode = self._names.pop((folder, old))
        self._names[folder, new] = inode
        self.operations.append(Name(folder, new, inode, was=old))

    def _unlink(self, plain: list[str], texts: list[bytes], result: int) -> None:
        if self._inside(texts[0]) and not texts[0].endswith(_SHARED_INDEX.encode()):
            folder, name = self._place(texts[0])
            del self._names[folder, name]
            self.operations.append(Name(folder, name, None))

    def _mkdir(self, plain: list[str], texts: list[bytes], result: int) -> None:
        if self._inside(texts[0]):
            self.folders.add(self._make(*self._place(texts[0])))

    def _mmap(self, plain: list[str], texts: list[bytes], result: int) -> None:
        shared = "MAP_SHARED" in plain[3] and "PROT_WRITE" in plain[2]
        assert not shared or int(plain[4]) not in self._open, plain

    def _clone3(self, plain: list[str], texts: list[bytes], result: int) -> None:
        raise AssertionError("a second thread or process: its calls would interleave")

    _clone = _fork = _vfork = _clone3


def _strings(arguments: str) -> list[str]:
    return _STRING.findall(arguments)
