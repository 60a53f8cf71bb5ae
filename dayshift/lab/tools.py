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
holder) [ -e "$place/nightly.held" ] ;;     # 0: this region holds it, 1: it does not
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
read) [ -e "$run/silenced" ] ;;             # 0: open, 1: closed
*) echo "usage: silence enter|leave|read" >&2; exit 2 ;;
esac
"""
)

_PAGE = (
    _HEAD
    + """# Call somebody: the lab's pager is a file.
#   page send, with the page on standard input
#   page ack, with DAYSHIFT_PAGE: who took it?
#   page take KEY NAME: I do
case "$1" in
send) { date -u +%FT%TZ; cat; echo; } >>"$run/pages.log" ;;
ack)
    [ -e "$run/taken" ] || exit 1
    while read -r key name; do
        if [ "$key" = "$DAYSHIFT_PAGE" ]; then echo "$name"; exit 0; fi
    done <"$run/taken"
    exit 1
    ;;
take) echo "$2 $3" >>"$run/taken" ;;
*) echo "usage: page send|ack|take KEY NAME" >&2; exit 2 ;;
esac
"""
)


def write(place: Path) -> None:
    """Write the commands into `place`, executable."""
    place.mkdir(parents=True, exist_ok=True)
    for name, text in (("duty", _DUTY), ("silence", _SILENCE), ("page", _PAGE)):
        path = place / name
        path.write_text(text)
        path.chmod(0o755)
