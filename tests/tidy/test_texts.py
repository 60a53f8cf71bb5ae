"""What no file of the project may say, and what generated files must be."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from dayshift.runtime.settings import schema
from dayshift.runtime.wiring import KINDS
from tests.tidy.code import ROOT, name_of

HOSTS = (
    "py" + "pi.",
    "python" + "hosted.",
    "npm" + "js.",
    "crates" + ".io",
    "con" + "da.",
)
INSTALLER = ("--index" + "-url", "--extra-index" + "-url", "--trusted" + "-host",
             "--find" + "-links")  # fmt: skip
MACHINE = re.compile(r"(?<![\w.])/(?:root|home/\w+|Users/\w+|work|opt/\w+)/")
TEXT_BYTES_MAX = 2_000_000


def tracked() -> list[Path]:
    """The files that are under version control, or would be."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("no git checkout")
    listed = subprocess.run(
        [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def lines() -> Iterator[tuple[str, str]]:
    for path in tracked():
        raw = path.read_bytes()
        if len(raw) < TEXT_BYTES_MAX and b"\0" not in raw:
            for number, line in enumerate(raw.decode("utf-8").split("\n"), 1):
                yield f"{name_of(path)}:{number}", line


def test_no_file_names_a_package_host_or_this_machine() -> None:
    found = [
        f"{place}: {line.strip()[:100]}"
        for place, line in lines()
        if any(word in line for word in (*HOSTS, *INSTALLER)) or MACHINE.search(line)
    ]
    allowed = [one for one in found if one.startswith("script/lock:")]
    assert sorted(found) == sorted(allowed), "\n".join(found)


def test_no_text_is_left_undone() -> None:
    marks = ("TO" + "DO", "FIX" + "ME", "X" + "XX")
    found = [
        place
        for place, line in lines()
        if any(re.search(rf"\b{mark}\b", line) for mark in marks)
    ]
    assert not found, found


def test_the_schemas_are_current() -> None:
    for name in schema.FORMS:
        shipped = (schema.FOLDER / name).read_text(encoding="utf-8")
        assert shipped == schema.schema_text(name), (
            f"{name} is old: run `python -m dayshift.runtime.settings.schema`"
        )


OF_A_DRIVER = re.compile(rf"({'|'.join(KINDS)})-")
"""A driver's options are described together, by the charter of their class."""


def described(node: Any, path: str = "", name: str = "") -> Iterator[str]:
    """Keys of a schema that say nothing about themselves."""
    if OF_A_DRIVER.match(name):
        if "properties" in node and not node.get("description"):
            yield path
    elif isinstance(node, dict):
        properties = node.get("properties")
        for key, one in properties.items() if isinstance(properties, dict) else ():
            if not one.get("description"):
                yield f"{path}.{key}"
        for key, one in node.items():
            yield from described(one, f"{path}.{key}", key)


def test_the_schemas_describe_every_key() -> None:
    for name in schema.FORMS:
        bare = list(described(json.loads(schema.schema_text(name)), name))
        assert not bare, bare


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("estate.schema.json", "dayshift.yaml"),
        ("change.schema.json", "change.yaml"),
    ],
)
def test_an_editor_agrees_with_the_loader(name: str, file: str) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(schema.schema_text(name)))
    validator.check_schema(validator.schema)
    data = YAML(typ="safe", pure=True).load(ROOT / "tests" / "kit" / file)
    assert not list(validator.iter_errors(data))
    data["unknown"] = 1
    assert len(list(validator.iter_errors(data))) == 1


def needed(lines_of: list[str]) -> set[str]:
    names = (re.match(r"[A-Za-z0-9_.-]+", line) for line in lines_of)
    return {name[0].lower().replace("_", "-") for name in names if name}


def test_the_locks_hold_what_the_project_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = needed(project["project"]["dependencies"])
    wanted |= needed(project["project"]["optional-dependencies"]["lab"])
    wanted |= needed(project["build-system"]["requires"])
    listed = (ROOT / "requirements.in").read_text().split("\n")
    assert needed([line for line in listed if not line.startswith("#")]) == wanted
    pins: dict[str, dict[str, str]] = {}
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / name).read_text()
        found = re.findall(
            r"(?m)^([a-z0-9._-]+)==(\S+) \\\n((?:    --hash=.*\n?)+)", text
        )
        assert len(found) == len(re.findall(r"(?m)^[a-z0-9]", text)), f"{name}: no hash"
        pins[name] = {
            re.sub(r"[._]", "-", package): version for package, version, _ in found
        }
    runtime, dev = pins["requirements.txt"], pins["requirements-dev.txt"]
    assert {re.sub(r"[._]", "-", one) for one in wanted} <= runtime.keys()
    assert runtime.items() <= dev.items(), "the two locks disagree"
