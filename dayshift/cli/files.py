"""The two files that people write, as the command line finds them."""

from __future__ import annotations

from pathlib import Path

from dayshift.cli.everywhere import ESTATE_FILE, Cli
from dayshift.model.estate import Change, Estate
from dayshift.runtime import wiring
from dayshift.runtime.settings import load


def load_estate(cli: Cli) -> Estate:
    """The estate of this directory.

    Raises:
        SettingsInvalid: it is not there, or not right: every reason at once.
    """
    path = cli.base / ESTATE_FILE
    return load.load_estate(path, wiring.options_of)


def load_change(cli: Cli, given: Path, estate: Estate) -> Change:
    """The change that was named.

    Raises:
        SettingsInvalid: it is not there, or not right: every reason at once.
    """
    return load.load_change(cli.path(given), estate, wiring.options_of)
