"""The import contracts hold, and every entry point can be imported."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest

from tests.tidy.code import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DRIVERS = [
    (group, name, target)
    for group, found in PROJECT["entry-points"].items()
    for name, target in found.items()
]


def test_the_import_contracts_hold() -> None:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


@pytest.mark.parametrize(("group", "name", "target"), DRIVERS)
def test_every_driver_can_be_imported(group: str, name: str, target: str) -> None:
    module, _, attribute = target.partition(":")
    driver = getattr(__import__(module, fromlist=[attribute]), attribute)
    assert driver.Options.model_config["extra"] == "forbid"
    assert driver.__doc__


def test_the_command_can_be_imported() -> None:
    for target in PROJECT["scripts"].values():
        module, _, attribute = target.partition(":")
        assert callable(getattr(__import__(module, fromlist=[attribute]), attribute))


def test_importing_a_package_does_nothing_visible() -> None:
    code = "import dayshift.core, dayshift.gates, dayshift.model, dayshift.journal"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == done.stderr == ""
