"""Which of the estate's controllers this process is.

And where what it starts lies. Told by `serve --name`, by the environment, or by the
machine's own name; the only controller of an estate needs no name. What follows from it
is decided elsewhere.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

from dayshift.errors import Reason, SettingsInvalid
from dayshift.model.estate import ControllerSpec, Estate
from dayshift.model.units import Entropy

VARIABLE = "DAYSHIFT_CONTROLLER"


def controller_name(estate: Estate, told: str = "") -> str:
    """The name of this controller in the estate, or nothing where it has none.

    Raises:
        SettingsInvalid: it was told a name that the estate does not have.
    """
    known = [one.name for one in estate.controllers]
    wanted = told or os.environ.get(VARIABLE, "")
    if wanted and wanted not in known:
        raise SettingsInvalid((_unknown(estate, wanted),))
    if wanted:
        return wanted
    if len(known) == 1:
        return known[0]
    host = socket.gethostname()
    return next((one for one in known if one in (host, host.split(".")[0])), "")


def jobs_id(state_dir: Path, entropy: Entropy) -> str:
    """Names the folder in which steps leave their records, once and for all.

    Why: controllers that share it see each other's steps; to all others such a step is
    neither running nor ended, and must not be begun again.
    """
    path = state_dir / "jobs" / ".id"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileExistsError), path.open("x") as file:
            file.write(entropy.token())
        return path.read_text().strip()
    except OSError:
        return ""  # A full disk must not be in the way of whoever leads.


def controller(estate: Estate, told: str) -> ControllerSpec:
    """The controller that `serve` is; one that is not declared may not serve.

    Raises:
        SettingsInvalid: the estate does not say who it is.
    """
    name = controller_name(estate, told)
    found = next((one for one in estate.controllers if one.name == name), None)
    if found is None:
        raise SettingsInvalid((_unknown(estate, told),))
    return found


def _unknown(estate: Estate, wanted: str) -> Reason:
    known = ", ".join(one.name for one in estate.controllers) or "none"
    named = f"`{wanted}` is not one of them" if wanted else "which one is this?"
    return Reason(
        "CONTROLLER-UNKNOWN",
        f"the estate's controllers are: {known}; {named}",
        because=f"--name, {VARIABLE} or this machine's name tells",
        so="nothing was started and nothing moved",
        next="declare it and its place under `controllers:` in dayshift.yaml",
    )
