"""The dial suite against `exec` with the example script, which keeps files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from dayshift.drivers.base import Dial
from dayshift.drivers.dials.exec import ExecDial
from dayshift.model.dial import Setting
from tests.conformance.rigs import REGIONS, SplitRig, context, row

SCRIPT = Path(__file__).parents[2] / "docs/examples/exec-dial/dial.py"


class ExecRig(SplitRig):
    """Two instances, `a` and `b`, in a folder."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.devices = [place / "devices" / f"{name}.json" for name in "ab"]
        self.devices[0].parent.mkdir()
        for one in self.devices:
            one.write_text(json.dumps({"setting": msgspec.to_builtins(row(5000))}))

    def options(self, **more: Any) -> dict[str, Any]:
        argv = [sys.executable, "-S", "-E", str(SCRIPT), str(self.devices[0].parent)]
        return {"read": argv, "write": argv, "regions": list(REGIONS), **more}

    def dial(self) -> Dial:
        return ExecDial("entry", self.options(), context(self.place))

    def restart(self) -> None:
        """A file is what it was."""

    def stop(self, instance: int) -> None:
        self.devices[instance].with_suffix(".down").touch()

    def start(self, instance: int) -> None:
        self.devices[instance].with_suffix(".down").unlink()

    def tamper(self, instance: int, setting: Setting) -> None:
        device = self.devices[instance]
        state = json.loads(device.read_text())
        state["setting"] = msgspec.to_builtins(setting)
        device.write_text(json.dumps(state))
