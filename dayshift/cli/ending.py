"""How a command that had to do with a run ends: its exit code and its last words."""

from __future__ import annotations

from dayshift.errors import (
    EXIT_ABORTED,
    EXIT_DONE,
    EXIT_HELD,
    EXIT_REFUSED,
)
from dayshift.surfaces import plain, words
from dayshift.surfaces.nouns import Story

NOBODY_RUNS = "no controller is running: nobody is watching"
NOBODY_NOW = "nobody is watching this run now"
SILENT = "its controller is there but does not answer; the journal alone was read"
CODES = {"aborted": EXIT_ABORTED, "refused": EXIT_REFUSED}


def exit_code(story: Story) -> int:
    """0 done, 3 held or paused, 4 aborted, 5 refused."""
    if story.status == "idle":
        return EXIT_DONE
    if story.status != "closed":
        return EXIT_HELD
    return CODES.get(story.result, EXIT_DONE)


def last_words(story: Story) -> str:
    """What to print when the picture is gone."""
    if story.status == "idle":
        return "no run was ever opened here"
    if story.status == "closed":
        return _closed(story)
    if story.status == "held":
        return f"{plain.held_page(story)}\n{_watching(story)}"
    what = {"paused": f"PAUSED by {story.paused_by}"}.get(story.status, "LEFT")
    where = "; ".join(f"{name} {text}" for name, text in _shares(story))
    return (
        f"{what}: run {story.run} is in {_place(story)}"
        f"\n  so       shares stay as they are: {where or 'unknown'}"
        f"\n{_watching(story)}"
    )


def _watching(story: Story) -> str:
    if story.watched:
        return "its controller goes on watching; `dayshift watch` follows it"
    return f"{NOBODY_NOW}\n  next     {go_on(story)}"


def _closed(story: Story) -> str:
    head = {
        "done": f"DONE: {', '.join(story.order)}",
        "evacuated": f"EVACUATED: {', '.join(story.order)}; it does not come back by "
        f"itself: `dayshift return {story.region}`",
        "left-drained": f"LEFT DRAINED: {', '.join(story.left_drained)}; "
        f"`dayshift return {story.region}` gives it back",
        "aborted": f"ABORTED: {story.why or 'back where it can be left'}",
        "refused": f"REFUSED: nothing moved\n{story.why}",
    }.get(story.result, story.result)
    where = "; ".join(f"{name} {text}" for name, text in _shares(story))
    return f"{head}\n  shares   {where}\n  report   dayshift report {story.run}"


def _shares(story: Story) -> list[tuple[str, str]]:
    many = len({s.service for one in story.regions for s in one.services}) > 1
    return [
        (
            f"{one.name} {service.service}" if many else one.name,
            words.share(service.share_bp),
        )
        for one in story.regions
        for service in one.services
    ]


def standing(story: Story) -> str:
    """How an open run stands, in one line."""
    held = f" ({story.hold.reason.code})" if story.hold else ""
    return f"{story.status}{held} in {_place(story)}"


def _place(story: Story) -> str:
    here = story.here
    phase = here.journey.phase if here and here.journey else "no phase"
    return f"{phase} of {story.region}"


def go_on(story: Story) -> str:
    """The command that goes on with an open run."""
    if story.silent:
        return (
            f"let {story.holder} go on (`kill -CONT`) or end it; only then can another "
            "command lead"
        )
    if story.status == "paused":
        return "`dayshift resume` goes on; `dayshift abort` goes back"
    if story.status == "held":
        return "one of the ways on above, in any terminal"
    verb = story.verb
    again = {
        "maintain": "`dayshift run` with the same change file",
        "drain": f"`dayshift drain {story.region}`",
        "return": f"`dayshift return {story.region}`",
        "evacuate": f"`dayshift evacuate {story.region}`",
    }.get(verb, "`dayshift run`")
    return f"{again} goes on where it stopped; `dayshift abort` goes back"
