"""Dials that are slow, lie, do half, change by themselves, or are moved by others."""

from __future__ import annotations

from functools import partial

from dayshift.model.dial import Setting
from dayshift.rehearsal.devices import DialLie, SimulatedDial
from dayshift.rehearsal.weather import End, Fault, Scene


def _lie(how: DialLie, ms: int, scene: Scene) -> End:
    dial = _dial(scene)
    dial.lie(how, ms=ms * scene.strength)
    return dial.be_honest


def _dial(scene: Scene) -> SimulatedDial:
    return scene.stage.dials[scene.one_of(list(scene.stage.dials))]


def _drift(scene: Scene) -> End:
    """Somebody else writes an old setting of their own; it stays until it is mended."""
    dial = _dial(scene)
    usual = scene.plan.baseline[dial.name]
    was = dial.devices[0].setting
    other = usual if was != usual else _bent(usual)
    dial.drift(other)

    def back() -> None:
        if all(one.setting == other for one in dial.devices):
            dial.drift(was, word="mended")

    return back


def _bent(usual: Setting) -> Setting:
    """A little off the usual: still a whole row."""
    rows = {key: dict(row) for key, row in usual.rows.items()}
    row = rows[min(rows)]
    rich = max(sorted(row), key=lambda name: row[name])
    poor = min(sorted(row), key=lambda name: row[name])
    if usual.kind.value != "switch" and rich != poor:
        row[rich], row[poor] = row[rich] - 700, row[poor] + 700
    elif usual.kind.value != "switch":
        first, second = sorted(row)[0], sorted(row)[-1]
        row[first], row[second] = row[first] - 700, row[second] + 700
    else:
        row[poor] = 0 if sum(1 for v in row.values() if v) > 1 else row[poor]
    return Setting(usual.kind, rows)


def _one_drifts(scene: Scene) -> End:
    """One instance of several was restarted from an old file."""
    dial = _dial(scene)
    device, was = dial.devices[-1], dial.devices[-1].setting
    scene.stage.world.advance()
    device.setting = scene.plan.baseline[dial.name]
    if was != device.setting:
        scene.stage.history.note(scene.stage.now_ms(), "drift", dial.name)

    def back() -> None:
        scene.stage.world.advance()
        if device.setting == scene.plan.baseline[dial.name]:
            device.setting = was
            if was != scene.plan.baseline[dial.name]:
                scene.stage.history.note(scene.stage.now_ms(), "mended", dial.name)

    return back


def _instance_away(scene: Scene) -> End:
    device = _dial(scene).devices[-1]
    device.up = False

    def back() -> None:
        device.up = True

    return back


def _fault(name: str, how: DialLie, ms: int, says: str) -> Fault:
    return Fault(name, says, partial(_lie, how, ms))


FAULTS = (
    _fault(
        "dial-slow", DialLie.SLOW, 1_500, "a dial does what it is told, seconds late"
    ),
    _fault("dial-hangs", DialLie.HANG, 0, "a dial never answers, and does nothing"),
    _fault(
        "dial-hangs-after", DialLie.HANG_AFTER, 0, "a dial does it and never answers"
    ),
    _fault("dial-lies", DialLie.NO_APPLY, 0, "a dial says done and does nothing"),
    _fault("dial-late", DialLie.LATE, 3_000, "a dial says done and does it later"),
    _fault(
        "dial-error-after", DialLie.ERROR_AFTER, 0, "a dial does it and reports failure"
    ),
    _fault(
        "dial-error-before", DialLie.ERROR_BEFORE, 0, "a dial fails and does nothing"
    ),
    _fault(
        "dial-half", DialLie.PARTIAL, 0, "one instance of a dial does it, then it fails"
    ),
    _fault(
        "dial-half-silent",
        DialLie.SILENT_PARTIAL,
        0,
        "one instance of a dial does it, and the dial says all did",
    ),
    _fault(
        "dial-self-reverts",
        DialLie.SELF_REVERT,
        4_000,
        "a dial goes back by itself after a while",
    ),
    _fault(
        "dial-unreadable",
        DialLie.READ_FAULT,
        0,
        "a dial cannot be read; writes go through",
    ),
    _fault("dial-away", DialLie.UNREACHABLE, 0, "a dial does not answer at all"),
    Fault("dial-drifts", "somebody else moves a dial", _drift),
    Fault("dial-instance-drifts", "one instance forgets what it was told", _one_drifts),
    Fault("dial-instance-away", "one instance of a dial is down", _instance_away),
)
