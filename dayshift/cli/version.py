"""`dayshift version`."""

from __future__ import annotations

import platform

import dayshift
from dayshift.cli import say
from dayshift.cli.everywhere import Cli
from dayshift.errors import EXIT_DONE


def version(cli: Cli) -> int:
    """Say which Dayshift this is, and on what it runs."""
    found = {"dayshift": dayshift.__version__, "python": platform.python_version()}
    if cli.as_json:
        say.document(found)
    else:
        say.out(f"dayshift {found['dayshift']} (Python {found['python']})")
    return EXIT_DONE
