"""YAML 1.2 into plain data, with the line of every key and value.

Nodes are walked, not constructed: no tag can make an object, aliases cannot explode,
and a key given twice is an error instead of a silent loss.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from dayshift.errors import Reason, SettingsInvalid
from dayshift.limits import FILE_BYTES_MAX

Path_ = tuple[str | int, ...]
NODES_MAX = 100_000
DEPTH_MAX = 32
TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")


@dataclass
class Source:
    """A file's data and where each part of it stands."""

    name: str
    data: dict[str, Any] = field(default_factory=dict)
    lines: dict[Path_, int] = field(default_factory=dict)
    reasons: list[Reason] = field(default_factory=list)

    def line(self, path: Path_) -> int:
        """The line of `path`, or of the nearest part above it that exists."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def where(self, path: Path_) -> str:
        """`dayshift.yaml:41`."""
        return f"{self.name}:{self.line(path)}"

    def fault(self, code: str, path: Path_, what: str, next_step: str) -> None:
        """Note one error of the file."""
        dotted = ".".join(str(part) for part in path) or "the file"
        self.reasons.append(
            Reason(
                code,
                f"{self.where(path)}: {dotted}: {what}",
                because=f"{self.where(path)}",
                so="nothing was read further; nothing moved",
                next=next_step,
            )
        )

    def check(self) -> None:
        """Raise everything that was noted.

        Raises:
            SettingsInvalid: there was something.
        """
        if self.reasons:
            raise SettingsInvalid(tuple(self.reasons))


def read(path: Path) -> Source:
    """Read one file. Faults inside the mapping are noted, for `check` to raise later.

    Raises:
        SettingsInvalid: it is no readable, single YAML mapping.
    """
    source = Source(path.name)
    text = _text(path, source)
    source.check()
    try:
        node = YAML(typ="rt", pure=True).compose(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        _syntax(source, line, str(error.problem or error.context or "is not YAML"))
    except (YAMLError, ValueError, RecursionError) as error:
        _syntax(source, 1, str(error).splitlines()[0] if str(error) else "is not YAML")
    else:
        if not isinstance(node, MappingNode):
            _syntax(source, 1, "is empty or not a mapping of keys")
        else:
            source.data = _Walk(source).mapping(node, (), 0)
            return source
    source.check()
    return source


def _text(path: Path, source: Source) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        _syntax(source, 1, f"cannot be read: {error.strerror or error}")
        return ""
    if len(raw) > FILE_BYTES_MAX:
        _syntax(source, 1, f"has {len(raw)} bytes (limit {FILE_BYTES_MAX})")
        return ""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        _syntax(source, line, "is not UTF-8 text")
        return ""
    if "\0" in text:
        _syntax(source, text[: text.index("\0")].count("\n") + 1, "has a NUL byte")
    return text


def _syntax(source: Source, line: int, what: str) -> None:
    source.lines[()] = line
    source.fault("YAML-INVALID", (), what, f"mend {source.name} at line {line}")


class _Walk:
    """Turns nodes into data, within bounds."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.seen = 0

    def value(self, node: Node, path: Path_, depth: int) -> Any:
        self.seen += 1
        self.source.lines.setdefault(path, node.start_mark.line + 1)
        if self.seen > NODES_MAX or depth > DEPTH_MAX:
            if self.seen != NODES_MAX + 2:
                self.source.fault("YAML-INVALID", path, "is too large", "make it less")
                self.seen = NODES_MAX + 1
            return None
        if isinstance(node, MappingNode):
            return self.mapping(node, path, depth)
        if isinstance(node, SequenceNode):
            if self._foreign(node, path, "seq"):
                return None
            return [
                self.value(one, (*path, number), depth + 1)
                for number, one in enumerate(node.value)
                if self.seen <= NODES_MAX
            ]
        return self._scalar(node, path)

    def mapping(self, node: MappingNode, path: Path_, depth: int) -> dict[str, Any]:
        self.source.lines.setdefault(path, node.start_mark.line + 1)
        if self._foreign(node, path, "map"):
            return {}
        out: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if self.seen > NODES_MAX:
                break
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode) or not key_node.value:
                self.source.lines.setdefault((*path, "?"), line)
                self.source.fault(
                    "KEY-INVALID", (*path, "?"), "is not a plain key", "name it"
                )
                continue
            key = str(key_node.value)
            if key in out:
                self.source.lines[(*path, key)] = line
                self.source.fault(
                    "KEY-TWICE",
                    (*path, key),
                    f"stands here a second time ({path[-1] if path else 'the file'} "
                    "may name it once)",
                    "keep one of the two",
                )
                continue
            self.source.lines[(*path, key)] = line
            out[key] = self.value(value_node, (*path, key), depth + 1)
        return out

    def _foreign(self, node: Node, path: Path_, kind: str) -> bool:
        if str(node.tag or TAG + kind) in (TAG + kind, "!"):
            return False
        self.source.fault("YAML-INVALID", path, f"has the tag {node.tag}", "remove it")
        return True

    def _scalar(self, node: Node, path: Path_) -> Any:
        tag, text = str(node.tag or ""), str(node.value)
        known = ("str", "int", "float", "bool", "null", "timestamp")
        if tag not in {TAG + one for one in known} | {"", "!"}:
            self._foreign(node, path, "str")
            return None
        if getattr(node, "style", None) or tag in (TAG + "str", TAG + "timestamp", "!"):
            return text
        if tag == TAG + "null":
            return None
        if tag == TAG + "bool" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if _INT.fullmatch(text):
            return int(text)
        return float(text) if _FLOAT.fullmatch(text) else text
