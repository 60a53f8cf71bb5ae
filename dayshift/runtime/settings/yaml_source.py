"""YAML 1.2 into plain data, with the line of every key and value.

Built from the parser's events, not by its constructor: no tag can make an object,
aliases cannot explode, nesting is bounded before it costs anything, and a key given
twice is an error instead of a silent loss. Nothing here knows what the keys mean.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml import events as ev
from ruamel.yaml.error import MarkedYAMLError

from dayshift.errors import Reason, SettingsInvalid
from dayshift.limits import (
    FILE_BYTES_MAX,
    FILE_VALUES_MAX,
    FILE_WRITTEN_MAX,
)

Path_ = tuple[str | int, ...]
DEPTH_MAX = 24
REASONS_MAX = 100
INTEGER_DIGITS_MAX = 15
REPEATED = (
    "write rows that repeat once and name them (`&row {…}`, then `*row`), or split "
    "the estate"
)

_INTEGER = re.compile(r"[-+]?[0-9]+")
_OTHER_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_UNPRINTABLE = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd"
    "\U00010000-\U0010ffff]|\r(?!\n)"
)
_SURROGATE = re.compile("[\ud800-\udfff]")


class Node:
    """A value with its line; containers hold nodes, so that an alias costs nothing."""

    __slots__ = ("closed", "line", "value")

    def __init__(self, value: Any, line: int, closed: bool = True) -> None:
        self.value = value
        self.line = line
        self.closed = closed


@dataclass
class Source:
    """A file's data and where each part of it stands."""

    name: str
    data: dict[str, Any] = field(default_factory=dict)
    root: Node | None = None
    faults: dict[tuple[int, Reason], None] = field(default_factory=dict)
    spoiled: set[Path_] = field(default_factory=set)
    """Paths that are wrong by themselves; what follows from them is not told."""

    def line(self, path: Path_) -> int:
        """The line of `path`, or of the nearest part above it that exists."""
        line = 1
        for node in self._nodes(path):
            line = node.line
        return line

    def has(self, path: Path_) -> bool:
        """Whether the file has a part at `path`."""
        return sum(1 for _ in self._nodes(path)) == len(path) + 1

    def _nodes(self, path: Path_) -> Iterator[Node]:
        """The parts on the way to `path`, the file itself first, while they exist."""
        node = self.root
        if node is None:
            return
        yield node
        for part in path:
            inside = node.value
            if isinstance(inside, list):
                inside = dict(enumerate(inside))
            if not isinstance(inside, dict) or part not in inside:
                return
            node = inside[part]
            yield node

    def where(self, path: Path_) -> str:
        """`dayshift.yaml:41`."""
        return f"{self.name}:{self.line(path)}"

    def fault(
        self, code: str, path: Path_, what: str, next_step: str, because: str = ""
    ) -> None:
        """Note one error of the file, unless it only follows from a spoiled part."""
        for bad in self.spoiled:
            common = min(len(bad), len(path))
            if bad[:common] == path[:common]:
                return
        dotted = ".".join(str(part) for part in path) or "the file"
        told = f"{short(dotted, 120)} {what}"
        self.note(self.line(path), code, told, next_step, because)

    def note(
        self, line: int, code: str, what: str, next_step: str, because: str = ""
    ) -> None:
        """Note one error at a line; the same one is noted once."""
        reason = Reason(
            code,
            f"{self.name}:{line}: {what}",
            because=because or "files are read strictly, so that nothing is guessed",
            so="nothing was loaded and nothing moved",
            next=next_step,
        )
        self.faults[line, reason] = None

    def check(self) -> None:
        """Raise everything that was noted, from the top of the file to its end.

        Raises:
            SettingsInvalid: there was something.
        """
        if not self.faults:
            return
        faults = sorted(self.faults, key=lambda one: one[0])
        reasons = [reason for _, reason in faults]
        more = len(reasons) - REASONS_MAX
        if more > 0:
            line = faults[REASONS_MAX][0]
            text = f"{self.name}:{line}: and {more} more like these, from here on"
            rest = Reason("MORE", text, next="mend the ones above, then try again")
            reasons = [*reasons[:REASONS_MAX], rest]
        raise SettingsInvalid(tuple(reasons))


def short(text: str, limit: int = 40) -> str:
    """A text as it may stand in a message: on one line, not too long."""
    text = " ".join(text.split())
    return text if len(text) <= limit else text[:limit] + "…"


class _Stop(Exception):
    """The file cannot be read any further; why is noted on the source."""


def read(path: Path) -> Source:
    """Read one file. Faults inside the mapping are noted, for `check` to raise later.

    Raises:
        SettingsInvalid: it is no readable, single YAML mapping.
    """
    source = Source(path.name)
    builder = _Builder(source)
    text = ""
    try:
        text = _text(path, source)
        root = builder.build(text)
        if not isinstance(root.value, dict):
            what = "is empty" if root.value is None else "is no mapping of keys"
            code = "FILE-EMPTY" if root.value is None else "YAML-INVALID"
            way_out = "start from what `dayshift init` writes"
            source.note(root.line, code, f"the file {what}", way_out)
            raise _Stop
        source.root = root
        source.data = builder.plain(root)
        return source
    except _Stop:
        source.check()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = mark.line + 1 if mark else 1
        _syntax(source, text, at, error.problem or error.context or "")
    except Exception as error:  # whatever a foreign parser throws at odd input
        told = str(error).splitlines() or [type(error).__name__]
        _syntax(source, text, builder.line, told[0])
    raise AssertionError("a fault without a reason")


def _syntax(source: Source, text: str, line: int, problem: str) -> None:
    """Raise a fault of the parser, in words that help."""
    last = max(1, text.count("\n") + (not text.endswith("\n")))
    way_out = "mend this line, or the one before it"
    if "\\t" in problem or "\t" in problem:
        way_out = "indent with spaces, never with tabs"
    elif "mapping values are not allowed" in problem:
        way_out = "check the indentation, or put a text that holds `: ` in quotes"
    what = f"this is not YAML 1.2: {short(problem, 120)}"
    source.note(min(line, last), "YAML-INVALID", what, way_out)
    source.check()


def _text(path: Path, source: Source) -> str:
    """The text of a file: bounded, UTF-8, without control characters."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        what = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        source.note(1, "FILE-UNREADABLE", what, "check its name, place and rights")
        raise _Stop from None
    if len(raw) > FILE_BYTES_MAX:
        what = f"the file has more than {FILE_BYTES_MAX} bytes"
        source.note(1, "FILE-TOO-LARGE", what, REPEATED)
        raise _Stop
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The decoder counts from behind a byte order mark.
        start = error.start + (3 if raw.startswith(b"\xef\xbb\xbf") else 0)
        line = raw.count(b"\n", 0, start) + 1
        what = f"byte {raw[start]:#04x} is not UTF-8"
        source.note(line, "FILE-ENCODING", what, "save the file as UTF-8")
        raise _Stop from None
    found = _UNPRINTABLE.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        what = f"holds the control character U+{ord(found[0]):04X}"
        source.note(line, "FILE-ENCODING", what, "remove it")
        raise _Stop
    return text


class _Builder:
    """Turns the events of one document into nodes, and nodes into plain data."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.line = 1
        self._anchors: dict[str, Node] = {}
        self._depth = 0
        self._written = 0

    def build(self, text: str) -> Node:
        """The root of the only document; an empty file has the value None."""
        root: Node | None = None
        events = self._events(text)
        for event in events:
            if isinstance(event, ev.DocumentStartEvent):
                if root is not None:
                    what = "a second document starts here"
                    self._stop("YAML-INVALID", what, "keep one document in a file")
                if event.version not in (None, (1, 2)) or event.tags:
                    what = "the file asks for another YAML than 1.2"
                    self._stop("YAML-INVALID", what, "remove the line with %")
                root = self._node(next(events), events)
        return root or Node(None, 1)

    def _events(self, text: str) -> Iterator[Any]:
        for event in YAML(typ="rt", pure=True).parse(io.StringIO(text)):
            self.line = event.start_mark.line + 1
            yield event

    def _stop(self, code: str, what: str, next_step: str) -> NoReturn:
        self.source.note(self.line, code, what, next_step)
        raise _Stop

    def _node(self, event: Any, events: Iterator[Any]) -> Node:
        self._written += 1
        if self._written > FILE_WRITTEN_MAX:
            what = f"the file has more than {FILE_WRITTEN_MAX} keys and values"
            self._stop("FILE-TOO-LARGE", what, REPEATED)
        if isinstance(event, ev.AliasEvent):
            return self._alias(event.anchor)
        if getattr(event, "tag", None):
            what = f"has the tag {short(str(event.tag))}"
            self.source.note(self.line, "YAML-TAG", what, "remove it; quote texts")
        node = Node(None, self.line, closed=False)
        if event.anchor:
            self._anchors[event.anchor] = node
        if isinstance(event, ev.ScalarEvent):
            node.value = self._scalar(event)
        else:
            self._depth += 1
            if self._depth > DEPTH_MAX:
                what = f"is nested deeper than {DEPTH_MAX}"
                self._stop("FILE-TOO-LARGE", what, "nest less")
            mapping = isinstance(event, ev.MappingStartEvent)
            node.value = self._mapping(events) if mapping else self._sequence(events)
            self._depth -= 1
        node.closed = True
        return node

    def _alias(self, anchor: str) -> Node:
        target = self._anchors.get(anchor)
        if target is None or not target.closed:
            told = "contains itself" if target else "was never anchored"
            what = f"*{short(anchor)} {told}"
            self._stop("YAML-ALIAS", what, "write the values out")
        return target

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        if _SURROGATE.search(text):
            what = "holds half of a character"
            self.source.note(self.line, "FILE-ENCODING", what, "write it whole")
            return _SURROGATE.sub("?", text)
        plain = event.implicit and event.implicit[0] and event.style in (None, "")
        return self._resolved(text) if plain else text

    def _resolved(self, text: str) -> Any:
        """The core schema of YAML 1.2: null, booleans, numbers; all else is text."""
        if text in _WORDS:
            return _WORDS[text]
        number: int | float = math.inf
        if _INTEGER.fullmatch(text):
            number = int(text) if len(text) <= INTEGER_DIGITS_MAX else number
        elif _OTHER_BASE.fullmatch(text):
            number = int(text, 0) if len(text) <= INTEGER_DIGITS_MAX else number
        elif _FLOAT.fullmatch(text):
            number = float(text)
        elif not _NOT_FINITE.fullmatch(text):
            return text
        if math.isinf(number):
            what = f"`{short(text)}` is no number that can be used"
            self.source.note(self.line, "VALUE-INVALID", what, "put it in quotes")
            return 0
        return number

    def _mapping(self, events: Iterator[Any]) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for event in events:
            if isinstance(event, ev.MappingEndEvent):
                break
            line = self.line
            if not isinstance(event, ev.ScalarEvent):
                self._stop("KEY-INVALID", "a key is no plain text", "name it in a word")
            self._node(event, events)
            key = _SURROGATE.sub("?", event.value)
            node = self._node(next(events), events)
            if key in found:
                first = f"first in line {found[key].line}"
                what = f"{short(key)} stands twice ({first})"
                self.source.note(line, "KEY-TWICE", what, "keep one of the two")
                continue
            # A person looks for the key; the value of an alias stands elsewhere.
            found[key] = Node(node.value, line)
        return found

    def _sequence(self, events: Iterator[Any]) -> list[Node]:
        found: list[Node] = []
        for event in events:
            if isinstance(event, ev.SequenceEndEvent):
                break
            line = self.line
            found.append(Node(self._node(event, events).value, line))
        return found

    def plain(self, root: Node) -> Any:
        """Plain data; what aliases repeat is there once, and counted every time."""
        data, values, depth = self._plain(root, {})
        if values > FILE_VALUES_MAX or depth > DEPTH_MAX:
            self.line = root.line
            what = (
                f"the file has {values} values with all that aliases repeat "
                f"(limit {FILE_VALUES_MAX}), nested {depth} deep (limit {DEPTH_MAX})"
            )
            self._stop("FILE-TOO-LARGE", what, "split the estate; use fewer aliases")
        return data

    def _plain(
        self, node: Node, known: dict[int, tuple[Any, int, int]]
    ) -> tuple[Any, int, int]:
        """The data of a node, how many values it has, and how deep it goes."""
        inside = node.value
        if not isinstance(inside, dict | list):
            return inside, 1, 0
        if id(inside) in known:
            return known[id(inside)]
        if isinstance(inside, dict):
            parts = {key: self._plain(one, known) for key, one in inside.items()}
            data: Any = {key: part[0] for key, part in parts.items()}
            every = list(parts.values())
        else:
            every = [self._plain(one, known) for one in inside]
            data = [part[0] for part in every]
        values = 1 + sum(part[1] for part in every)
        depth = 1 + max((part[2] for part in every), default=0)
        known[id(inside)] = data, values, depth
        return known[id(inside)]
