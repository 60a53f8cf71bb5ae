"""The example of docs/write-your-own-dial.md: installed, listed, and through the suite;
and the suite finds what is wrong with a careless copy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs/examples/dayshift-dial-files"
MODULE = "dayshift_dial_files"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the example is installed, as any package is; no network is asked."""
    place = tmp_path_factory.mktemp("own")
    source = shutil.copytree(EXAMPLE, place / "source")
    site = place / "site"
    offline = ("--no-deps", "--no-index", "--no-build-isolation")
    argv = (sys.executable, "-m", "pip", "install", "-q", *offline)
    subprocess.run([*argv, "--target", str(site), str(source)], check=True)
    return site


def run(site: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{site}{os.pathsep}{ROOT}",
        "DAYSHIFT_DIAL_RIG": f"{MODULE}:Rig",
    }
    return subprocess.run(
        [sys.executable, "-m", *argv],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def suite(site: Path) -> subprocess.CompletedProcess[str]:
    which = ("tests/conformance/test_dials.py", "-k", "others")
    return run(site, "pytest", "-p", "no:cacheprovider", "--timeout", "100", *which)


def test_it_is_listed_by_its_entry_point(installed: Path) -> None:
    told = run(installed, "dayshift", "dials", "files", "--json")
    (kind,) = json.loads(told.stdout)["kinds"]
    assert kind["package"] == "dayshift-dial-files"
    assert kind["offers"][0]["granularity_bp"] == 1


def test_it_passes_the_whole_suite(installed: Path) -> None:
    done = suite(installed)
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-2_000:]
    assert "passed" in done.stdout


@pytest.mark.parametrize(
    ("right", "wrong", "found_by"),
    [
        (
            "why = fresh_claim_reason(found, token)",
            "why = None",
            "test_a_claim_that_does_not_fit_refuses_and_nothing_moves",
        ),
        (
            'state = {"row": setting.rows[ALL], "claim": str(claim)}',
            'state = {"row": setting.rows[ALL]}',
            "test_what_is_set_is_read_back",
        ),
        (
            "setting_reason(setting, token) or ",
            "",
            "test_a_region_that_is_not_proven_to_serve_gets_nothing",
        ),
        ("raise away[0]", "pass", "test_a_partly_applied_write_is_seen"),
    ],
    ids=["no-fence", "no-claim", "no-proof", "hushed"],
)
def test_a_careless_copy_fails(
    installed: Path, tmp_path: Path, right: str, wrong: str, found_by: str
) -> None:
    copy = shutil.copytree(installed, tmp_path / "site")
    module = copy / MODULE / "__init__.py"
    text = module.read_text()
    assert right in text
    module.write_text(text.replace(right, wrong))
    done = suite(copy)
    assert done.returncode == 1
    failed = [one for one in done.stdout.splitlines() if one.startswith("FAILED")]
    assert any(found_by in one for one in failed), done.stdout[-2_000:]
