#!/usr/bin/env python3
"""An exec dial whose "device" is one JSON file for each instance in a folder.

    dial.py FOLDER      what to do is in DAYSHIFT_DO: read, set or hold

Replace `instances`, `look` and `install` by what your device needs. Keep the shape: say
what the device itself shows, keep the claim there, and write all or nothing.
"""

import json
import os
import sys
from pathlib import Path

REFUSED, LATER = 3, 75


def instances(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.json"))


def look(device: Path) -> dict[str, object]:
    """What one instance shows now; a fault where it cannot be read."""
    shown: dict[str, object] = {"instance": device.stem, "setting": None, "claim": None}
    if device.with_suffix(".down").exists():
        return shown | {"fault": "it does not answer"}
    state = json.loads(device.read_text())
    return shown | {"setting": state["setting"], "claim": state.get("claim")}


def install(device: Path, state: dict[str, object]) -> bool:
    """Replace the file as a whole; False where the instance does not answer."""
    if device.with_suffix(".down").exists():
        return False
    new = device.with_suffix(".new")
    new.write_text(json.dumps(state))
    new.rename(device)
    return True


def main() -> int:
    folder = Path(sys.argv[1])
    if os.environ["DAYSHIFT_DO"] == "read":
        print(json.dumps({"instances": [look(one) for one in instances(folder)]}))
        return 0
    order = json.load(sys.stdin)
    if not any(any(row.values()) for row in order["setting"]["rows"].values()):
        print(json.dumps({"why": "every region at zero"}))
        return REFUSED
    state = {"setting": order["setting"], "claim": order["claim"]}
    done = [install(one, state) for one in instances(folder)]
    if not all(done):
        print("an instance does not answer", file=sys.stderr)
        return LATER
    return 0


if __name__ == "__main__":
    sys.exit(main())
