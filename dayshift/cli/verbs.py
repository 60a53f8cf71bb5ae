"""The table of all verbs: where each lives, and its one line in `dayshift --help`.

Only data, so that the help needs none of the modules behind it.
"""

from __future__ import annotations

from typing import NamedTuple


class Verb(NamedTuple):
    """One verb: `module` under `dayshift.cli` holds `function`, or a Typer `app`."""

    name: str
    module: str
    function: str
    summary: str
    panel: str


PREPARE = "Prepare"
DO = "Do"
STEER = "Steer a run (from any terminal)"
LOOK = "Look"
EXITS = "Ways out of a hold"
PROVE = "Prove afterwards"
SERVE = "Run beside it"
PLAY = "Play"

VERBS = (
    Verb("init", "init", "init", "Write a commented dayshift.yaml.", PREPARE),
    Verb("check", "check", "check", "Reach everything, read it back.", PREPARE),
    Verb("dials", "dials", "dials", "What can move traffic here.", PREPARE),
    Verb("plan", "plan", "plan", "Show the whole run before it moves.", PREPARE),
    Verb("rehearse", "rehearse", "rehearse", "The same plan, under faults.", PREPARE),
    Verb("gate", "gate", "app", "Learn what is usual; try an incident.", PREPARE),
    Verb("approve", "approve", "approve", "Four eyes, bound to a digest.", PREPARE),
    Verb("run", "run", "run", "Do a change, or go on with it.", DO),
    Verb("drain", "everyday", "drain", "Take a region out of traffic.", DO),
    Verb("return", "everyday", "give_back", "Give a region its traffic back.", DO),
    Verb("evacuate", "everyday", "evacuate", "Emergency drain.", DO),
    Verb("pause", "steer", "pause", "Stop where it is; shares stay.", STEER),
    Verb("resume", "steer", "resume", "Go on after a pause.", STEER),
    Verb("abort", "abort", "abort", "Go back, verified; end the run.", STEER),
    Verb("take", "steer", "take", "I am on duty for this run.", STEER),
    Verb("hand-over", "steer", "hand_over", "Somebody else is on duty.", STEER),
    Verb("confirm", "steer", "confirm", "My word on a step that waits.", STEER),
    Verb("status", "look", "status", "Where it is.", LOOK),
    Verb("watch", "look", "watch", "Where it is, live.", LOOK),
    Verb("explain", "look", "explain", "Why it waits, what moves it.", LOOK),
    Verb("retry", "exits", "retry", "Try again what failed.", EXITS),
    Verb("done-by-hand", "exits", "done_by_hand", "I did this step.", EXITS),
    Verb("adopt", "exits", "adopt", "What the dials show is right.", EXITS),
    Verb("accept", "exits", "accept", "Accept a guard, with a reason.", EXITS),
    Verb("close", "exits", "close", "End the run; leave it drained.", EXITS),
    Verb("serve", "serve", "serve", "A controller that stays.", DO),
    Verb("report", "report", "report", "What users felt, what was decided.", PROVE),
    Verb("journal", "journal", "app", "Export, import, move the journal.", PROVE),
    Verb("audit", "audit", "audit", "Verify the journal, offline.", PROVE),
    Verb("agent", "agent", "agent", "The agent beside sockets.", SERVE),
    Verb("keys", "keys", "app", "Certificates: make, renew, revoke.", SERVE),
    Verb("seal", "seal", "app", "The bundle for break-glass.", PREPARE),
    Verb("lab", "lab", "app", "A real estate on this machine.", PLAY),
    Verb("version", "version", "version", "Which Dayshift this is.", PLAY),
)
