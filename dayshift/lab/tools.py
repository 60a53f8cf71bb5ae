"""The small commands that the lab's estate file names, as readable shell scripts.

They are what an operator would have: asked with an argument and the region in the
environment. They stand on their own and start in a millisecond, because the controller
asks them several times per second.
"""

from __future__ import annotations

from pathlib import Path

_HEAD = """#!/bin/sh
set -eu
run=$(dirname "$0")/../run
"""

_DUTY = (
    _HEAD
    + """# The nightly job: which region runs it? Each region's truth is its flag file.
#   duty holder|release|take, with DAYSHIFT_REGION
# Releasing waits for the slot that is being run: afterwards nothing is half done.
place=$run/${DAYSHIFT_REGION:?}
exec 9>"$place/nightly.lock"
case "$1" in
holder) if [ -e "$place/nightly.held" ]; then echo "$DAYSHIFT_REGION"; fi ;;
release) flock 9; rm -f "$place/nightly.held" ;;
take) flock 9; : >"$place/nightly.held" ;;
*) echo "usage: duty holder|release|take" >&2; exit 2 ;;
esac
"""
)

_SILENCE = (
    _HEAD
    + """# Alerts are silenced while run/silenced is there.
#   silence enter|leave|read
case "$1" in
enter) echo "${DAYSHIFT_RUN:-} ${DAYSHIFT_REGION:-}" >"$run/silenced" ;;
leave) rm -f "$run/silenced" ;;
read) if [ -e "$run/silenced" ]; then echo open; else echo closed; fi ;;
*) echo "usage: silence enter|leave|read" >&2; exit 2 ;;
esac
"""
)

_PAGE = (
    _HEAD
    + """# Call somebody: the lab's pager is a file.
{
    date -u +%FT%TZ
    env | grep '^DAYSHIFT_' || true
    [ -t 0 ] || timeout 2 cat
    echo "$@"
} >>"$run/pages.log"
"""
)


def write(place: Path) -> None:
    """Write the commands into `place`, executable."""
    place.mkdir(parents=True, exist_ok=True)
    for name, text in (("duty", _DUTY), ("silence", _SILENCE), ("page", _PAGE)):
        path = place / name
        path.write_text(text)
        path.chmod(0o755)
