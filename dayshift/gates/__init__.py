"""The gate: counts in, a verdict with its evidence out. Pure statistics.

Here live the questions asked before the next rung of a return and while traffic is
there. No clock, no I/O, no randomness, no numpy; floats inside, integers out. Nothing
here knows a driver, a dial or a plan: whoever calls says what was counted, for how
long, and at which share. Callers use this page's names and nothing deeper.
"""

from dayshift.gates.judge import combine, for_services, verdict
from dayshift.gates.look import observe
from dayshift.gates.state import Block, JudgeState

__all__ = ["Block", "JudgeState", "combine", "for_services", "observe", "verdict"]
