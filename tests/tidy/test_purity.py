"""Where time may be read, and what the pure packages may not do.

Only the clock reads time, so that the same orchestrator runs in virtual time; only what
is the same in every process may decide, so that an audit refolds to the same state.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tidy.code import at, dotted, modules, name_of, tree

MAY_READ_TIME = (
    "dayshift/runtime/clock.py",
    "dayshift/drivers/workers/supervise.py",  # stands alone, outlives its controller
    "dayshift/rehearsal/clock.py",  # virtual time, on the timers of its own loop
    "dayshift/lab/",  # the world, not the controller
    "dayshift/cli/lab.py",
)
TIMED = {
    "asyncio.sleep",
    "asyncio.timeout",
    "asyncio.timeout_at",
    "asyncio.wait_for",
    "anyio.fail_after",
    "anyio.move_on_after",
    "anyio.sleep",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "datetime.datetime.now",
}
PURE = ("dayshift/core", "dayshift/gates", "dayshift/model")
WORLDLY = {"breakpoint", "eval", "exec", "hash", "id", "input", "open", "print"}
ORDERED_BY = {"sorted", "len", "sum", "min", "max", "any", "all", "set", "frozenset"}


def time_uses(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom):
            timed = node.module == "time"
            timed |= node.module == "asyncio" and any(
                f"asyncio.{one.name}" in TIMED for one in node.names
            )
            if timed:
                yield f"{at(path, node)} imports from {node.module}"
        name = dotted(node) if isinstance(node, ast.Attribute) else ""
        if name in TIMED or name.startswith("time."):
            yield f"{at(path, node)} uses {name}"


def test_only_the_clock_reads_time() -> None:
    found = [
        use
        for path in modules("dayshift")
        if not name_of(path).startswith(MAY_READ_TIME)
        for use in time_uses(path)
    ]
    assert not found, "\n".join(found)


def test_no_process_is_asked_of_asyncio() -> None:
    """Cancelled while the loop closes, it would wait for ever: `drivers.process` runs
    commands of its own."""
    found = [
        f"{at(path, node)} uses {dotted(node)}"
        for path in modules("dayshift")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute)
        and dotted(node).startswith("asyncio.create_subprocess_")
    ]
    assert not found, "\n".join(found)


def test_pure_code_calls_nothing_worldly() -> None:
    found = [
        f"{at(path, node)} calls {dotted(node.func)}"
        for path in modules(*PURE)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and dotted(node.func) in WORLDLY
    ]
    assert not found, "\n".join(found)


def is_set(node: ast.AST) -> bool:
    if isinstance(node, (ast.Set, ast.SetComp)):
        return True
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitAnd, ast.BitOr)):
        return is_set(node.left) or is_set(node.right)
    return isinstance(node, ast.Call) and dotted(node.func) in ("set", "frozenset")


def set_iterations(body: ast.AST, path: Path) -> Iterator[str]:
    """Places where the order of a set would show: it differs between processes."""
    for node in ast.walk(body):
        over: list[ast.AST] = []
        if isinstance(node, (ast.For, ast.AsyncFor)):
            over = [node.iter]
        elif isinstance(node, (ast.ListComp, ast.DictComp)):
            over = [one.iter for one in node.generators]
        elif isinstance(node, ast.Call) and dotted(node.func) not in ORDERED_BY:
            ordering = dotted(node.func) in (
                "list",
                "tuple",
                "iter",
                "next",
                "enumerate",
            )
            joins = isinstance(node.func, ast.Attribute) and node.func.attr == "join"
            over = list(node.args) if ordering or joins else []
        over += [one.value for one in [node] if isinstance(one, ast.Starred)]
        yield from (f"{at(path, one)} iterates a set" for one in over if is_set(one))


def test_pure_code_iterates_no_set() -> None:
    found = [one for path in modules(*PURE) for one in set_iterations(tree(path), path)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "for x in {1, 2}: pass",
        "y = [x for x in set(z)]",
        "y = list({x for x in z})",
        "y = ', '.join(set(a) | b)",
        "y = tuple(frozenset(z))",
    ],
)
def test_the_check_itself_finds_sets(source: str, tmp_path: Path) -> None:
    assert list(set_iterations(ast.parse(source), Path(__file__)))


def test_the_check_itself_lets_order_pass() -> None:
    source = "y = sorted({1}); n = len(set(z)); w = {x for x in z}; [a for a in (1, 2)]"
    assert not list(set_iterations(ast.parse(source), Path(__file__)))
