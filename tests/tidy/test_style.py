"""House style of the product as failing tests: sizes, docstrings, charters."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.tidy.code import ROOT, at, modules, name_of, tree

FUNCTION_LINES_MAX = 50
MODULE_LINES_MAX = 400
LINE_LENGTH_MAX = 88
PRAGMA = re.compile(r"  # (type: ignore|noqa|fmt: ).*")
PRODUCT = ("dayshift", "bench")
DOCUMENTED = ("dayshift/core", "dayshift/model", "dayshift/journal")

# Whose name says all. The list may only shrink: a name here that has a docstring, or
# that is gone, fails too.
NAME_SAYS_ALL = {
    "dayshift/core/fold.py": {"fold_all"},
    "dayshift/core/going_out.py": {"enter_brackets"},
    "dayshift/core/proof.py": {"is_fresh"},
    "dayshift/core/tracks.py": {"ProbeTrack"},
    "dayshift/model/dial.py": {"DialKind"},
    "dayshift/model/estate.py": {"Disposition", "Region"},
    "dayshift/model/evidence.py": {"VerdictKind"},
    "dayshift/model/records.py": {
        "ActionKind",
        "Approved",
        "ClockJumped",
        "Judged",
        "OutcomeKind",
        "Phased",
        "RunClosed",
        "RunOpened",
        "RunResult",
    },
    "dayshift/model/sight.py": {"BracketSight", "WorkStatus"},
}
NAME_SAYS_ALL_MAX = 20


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def test_functions_are_short() -> None:
    long = [
        f"{at(path, one)} {one.name}: {lines} lines (limit {FUNCTION_LINES_MAX})"
        for path in modules(*PRODUCT)
        for one in functions(path)
        if (lines := (one.end_lineno or 0) - one.lineno + 1) > FUNCTION_LINES_MAX
    ]
    assert not long, "\n".join(long)


def test_modules_are_short() -> None:
    long = [
        f"{name_of(path)}: {lines} lines (limit {MODULE_LINES_MAX})"
        for path in modules(*PRODUCT)
        if (lines := path.read_text().count("\n")) > MODULE_LINES_MAX
    ]
    assert not long, "\n".join(long)


def test_lines_are_short() -> None:
    long = [
        f"{name_of(path)}:{number}: {len(line)} characters (limit {LINE_LENGTH_MAX})"
        for path in modules(*PRODUCT, "tests")
        for number, line in enumerate(path.read_text().split("\n"), 1)
        if len(PRAGMA.sub("", line)) > LINE_LENGTH_MAX
    ]
    assert not long, "\n".join(long)


def test_every_module_has_a_charter_and_none_is_empty() -> None:
    bare = [
        name_of(path)
        for path in modules(*PRODUCT)
        if not (ast.get_docstring(tree(path)) or "").strip()
    ]
    assert not bare, f"without a docstring: {bare}"
    packages = {path.parent for path in modules("dayshift")}
    missing = [name_of(one) for one in packages if not (one / "__init__.py").exists()]
    assert not missing, f"packages without a charter: {missing}"


def test_tests_say_what_they_show() -> None:
    bare = [
        name_of(path)
        for path in modules("tests")
        if path.name.startswith("test_") and not ast.get_docstring(tree(path))
    ]
    assert not bare, f"without a docstring: {bare}"


def undocumented(path: Path) -> set[str]:
    """Public classes and functions of a module that have no docstring."""
    return {
        node.name
        for node in tree(path).body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        if not node.name.startswith("_") and not ast.get_docstring(node)
    }


def test_what_is_public_is_documented() -> None:
    wrong = []
    for path in modules(*DOCUMENTED):
        bare, known = undocumented(path), NAME_SAYS_ALL.get(name_of(path), set())
        wrong += [f"{name_of(path)}: {one} has no docstring" for one in bare - known]
        wrong += [
            f"{name_of(path)}: {one} is exempt for nothing" for one in known - bare
        ]
    wrong += [
        f"{name}: is gone" for name in NAME_SAYS_ALL if not (ROOT / name).exists()
    ]
    assert not wrong, "\n".join(sorted(wrong))
    assert sum(map(len, NAME_SAYS_ALL.values())) <= NAME_SAYS_ALL_MAX
