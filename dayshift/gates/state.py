"""What the gate remembers between looks, frozen, and the block it is given.

Values only. `rung` and `promote` start anew at every share; everything else lasts as
long as the return.
"""

from __future__ import annotations

import msgspec

from dayshift.gates.compare import STAKED, Logs
from dayshift.gates.signals import NOTHING, Pair
from dayshift.model.evidence import Counts


class Block(msgspec.Struct, frozen=True):
    """What one look added, of one service, seen from the users' side.

    None means that it could not be counted (source restarted, silent): blind, not zero.
    """

    canary: Counts | None
    others: Counts | None


class SignalState(msgspec.Struct, frozen=True):
    """One signal: what was counted, and the evidence both ways (natural logs).

    `started` is the grown stake, per model and ratio, without the `open` minute where a
    model counts by minutes. `delta` is the greatest excess that `promote` speaks of.
    """

    started: tuple[Logs, ...]
    run: Pair = NOTHING
    rung: Pair = NOTHING
    open: Pair = NOTHING
    promote: float = 0.0
    delta: float = 0.0


class JudgeState(msgspec.Struct, frozen=True):
    """All signals of one service through one return; `JudgeState()` begins one.

    `minute` counts the others' requests and errors in the open block, dropped looks
    included; `incident` and `blind` are the last look's.
    """

    share_bp: int = -1
    signals: tuple[SignalState, ...] = ()
    absolute: Logs = ()
    waiting: float = 1 - STAKED
    requests: int = 0
    run_ms: int = 0
    block_ms: int = 0
    minute: Pair = NOTHING
    incident: bool = False
    blind: bool = False
