"""`dayshift init`: a commented estate and an example of a change, to begin with.

Asks, or takes flags; what is written was loaded before, so that it is right by itself.
What it cannot know (addresses, capacity) is marked in the files with EDIT.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from dayshift.cli import say
from dayshift.cli.everywhere import ESTATE_FILE, Cli
from dayshift.errors import Reason, Refused, SettingsInvalid

CHANGE_FILE = "change.yaml"
SCHEMA_FOLDER = ".schema"
ESTATE_DEFAULT = "demo"
REGIONS_DEFAULT = ("fra", "ber")
SERVICE_DEFAULT = "shop"
DRIVER_DEFAULT = "envoy"
EDIT = "# EDIT"

Estate = Annotated[str, typer.Option("--estate", help="The estate's name.")]
Regions = Annotated[
    list[str] | None, typer.Option("--region", help="A region; give two or more.")
]
Service = Annotated[str, typer.Option("--service", help="What users reach.")]
Driver = Annotated[str, typer.Option("--driver", help="What moves its traffic.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; take defaults.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what is there.")]


@dataclass(frozen=True)
class Answers:
    """What must be known to write the files; empty where it was not said."""

    estate: str
    regions: tuple[str, ...]
    service: str
    driver: str

    def missing(self) -> list[str]:
        """The flags that were not given."""
        said = {"--estate": self.estate, "--region": self.regions}
        said |= {"--service": self.service}
        return [flag for flag, value in said.items() if not value]


def init(
    cli: Cli,
    estate: Estate = "",
    region: Regions = None,
    service: Service = "",
    driver: Driver = DRIVER_DEFAULT,
    yes: Yes = False,
    force: Force = False,
) -> int:
    """Write a commented dayshift.yaml and an example of a change.

    Answer the questions, or give the flags. What only you can know is marked EDIT in
    the files; then `dayshift check` reaches everything and says what is missing.

    Example: `dayshift init --estate demo --region fra --region ber --service shop`
    """
    folder = (cli.directory or Path.cwd()).resolve()
    _refuse_overwriting(folder, force)
    given = Answers(estate, tuple(region or ()), service, driver)
    texts = _checked(_completed(cli, given, yes))
    written = [_place(folder / name, text) for name, text in texts.items()]
    if cli.as_json:
        say.document({"written": [str(path) for path in written]})
        return 0
    for path in written:
        say.out(f"wrote {path}")
    edits = sum(text.count(EDIT) for text in texts.values())
    say.out(f"next: fill in the {edits} lines marked `{EDIT}`, then `dayshift check`")
    return 0


def _refuse_overwriting(folder: Path, force: bool) -> None:
    there = [name for name in (ESTATE_FILE, CHANGE_FILE) if (folder / name).exists()]
    if there and not force:
        raise Refused(
            Reason(
                "FILE-EXISTS",
                f"{' and '.join(there)} exist already in {folder}",
                because="a file that somebody wrote is not overwritten unasked",
                so="nothing was written",
                next="another place with `--dir DIR`, or `--force` to overwrite",
            )
        )


def _completed(cli: Cli, given: Answers, yes: bool) -> Answers:
    """The answers with what was asked, or with the defaults."""
    if yes or not given.missing():
        return replace(
            given,
            estate=given.estate or ESTATE_DEFAULT,
            regions=given.regions or REGIONS_DEFAULT,
            service=given.service or SERVICE_DEFAULT,
        )
    if cli.as_json or not sys.stdin.isatty():
        why = "--json asks nobody" if cli.as_json else "stdin is no terminal"
        raise _wrong(
            "NEEDS-ANSWERS",
            f"not given: {', '.join(given.missing())}",
            f"{why}, so nobody can answer",
            "give these flags, or `--yes` for the defaults",
        )
    return _asked(given)


def _asked(given: Answers) -> Answers:
    """Ask a person for what was not given."""
    estate = given.estate or _ask("Name of the estate", ESTATE_DEFAULT)
    regions = given.regions
    if not regions:
        text = _ask("Its regions, with spaces between", " ".join(REGIONS_DEFAULT))
        regions = tuple(text.replace(",", " ").split())
    service = given.service or _ask("The service that users reach", SERVICE_DEFAULT)
    return replace(given, estate=estate, regions=regions, service=service)


def _ask(question: str, default: str) -> str:
    return str(typer.prompt(question, default=default, err=True)).strip()


def _checked(answers: Answers) -> dict[str, str]:
    """The text of every file, loaded once as a proof that it is right.

    Raises:
        SettingsInvalid: an answer cannot stand in the files.
    """
    from dayshift.cli.init_files import DRIVERS, change_text, estate_text
    from dayshift.runtime import wiring
    from dayshift.runtime.settings import load, schema

    _refuse_answers(answers, DRIVERS)
    texts = {ESTATE_FILE: estate_text(answers.estate, answers.regions, answers.service)}
    texts[CHANGE_FILE] = change_text(answers.regions, answers.service)
    with tempfile.TemporaryDirectory() as name:
        for file, text in texts.items():
            (Path(name) / file).write_text(text, encoding="utf-8")
        estate = load.load_estate(Path(name) / ESTATE_FILE, wiring.options_of)
        load.load_change(Path(name) / CHANGE_FILE, estate, wiring.options_of)
    for file in schema.FORMS:
        texts[f"{SCHEMA_FOLDER}/{file}"] = schema.schema_text(file)
    return texts


def _refuse_answers(answers: Answers, drivers: tuple[str, ...]) -> None:
    """Raise every fault of the answers, which stand in no file yet."""
    from dayshift.runtime.settings.units import name_fault

    named = [("--estate", answers.estate), ("--service", answers.service)]
    named += [("--region", one) for one in answers.regions]
    faults = [(flag, text) for flag, name in named if (text := name_fault(name))]
    if len(set(answers.regions)) != len(answers.regions):
        faults.append(("--region", "names a region twice"))
    if len(answers.regions) < 2:
        faults.append(("--region", "one region cannot be taken out: name two or more"))
    if answers.driver not in drivers:
        known = ", ".join(drivers)
        faults.append(("--driver", f"`{answers.driver}` is not one of: {known}"))
    if faults:
        reasons = tuple(_answer_reason(flag, text) for flag, text in faults)
        raise SettingsInvalid(reasons)


def _answer_reason(flag: str, text: str) -> Reason:
    return Reason(
        "ANSWER-INVALID",
        f"{flag}: {text}",
        because="the files would not load",
        so="nothing was written",
        next=f"the same command with another {flag}",
    )


def _wrong(code: str, what: str, because: str, way_out: str) -> SettingsInvalid:
    reason = Reason(code, what, because, "nothing was written", way_out)
    return SettingsInvalid((reason,))


def _place(path: Path, text: str) -> Path:
    """Write a file whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_name(f".{path.name}.new")
        half.write_text(text, encoding="utf-8")
        half.replace(path)
    except OSError as error:
        raise _wrong(
            "FILE-UNWRITABLE",
            f"{path} cannot be written: {error.strerror}",
            "the place does not allow it",
            "another place with `--dir DIR`",
        ) from None
    return path
