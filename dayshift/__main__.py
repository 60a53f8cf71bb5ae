"""`python -m dayshift`: the same as the command `dayshift`."""

from __future__ import annotations

import sys

from dayshift.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
