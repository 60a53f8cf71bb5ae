"""The gate: counts in, a verdict with its evidence out. Pure statistics.

Here live the questions asked before the next rung of a return and while traffic is
there. No clock, no I/O, no randomness; floats inside, integers out. Nothing here knows
a driver, a dial or a plan: whoever calls says what was counted, for how long, and at
which share. Callers use this page's names and nothing deeper. They are loaded when
first used: most commands never judge, and need not wait for numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dayshift.gates.calibration import calibrate as calibrate
    from dayshift.gates.expected import RungSpeed as RungSpeed
    from dayshift.gates.expected import detectable as detectable
    from dayshift.gates.expected import resolution as resolution
    from dayshift.gates.judge import Judge as Judge
    from dayshift.gates.nouns import Look as Look

HOMES = {
    "Judge": "judge",
    "Look": "nouns",
    "RungSpeed": "expected",
    "calibrate": "calibration",
    "detectable": "expected",
    "resolution": "expected",
}

__all__ = ["Judge", "Look", "RungSpeed", "calibrate", "detectable", "resolution"]


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(name)
    return getattr(import_module(f"dayshift.gates.{HOMES[name]}"), name)
