"""The JSON Schemas that editors use, made from the forms of the two files.

`python -m dayshift.runtime.settings.schema` writes them beside this module, from where
they are shipped and `dayshift init` copies them; a test says whether they are current.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from dayshift.runtime.settings.change_file import ChangeFile
from dayshift.runtime.settings.driver_schemas import with_options
from dayshift.runtime.settings.estate_file import EstateFile

FOLDER = Path(__file__).parent
DIALECT = "https://json-schema.org/draft/2020-12/schema"
FORMS: dict[str, tuple[type[BaseModel], str]] = {
    "estate.schema.json": (EstateFile, "Dayshift estate (dayshift.yaml)"),
    "change.schema.json": (ChangeFile, "Dayshift change (change.yaml)"),
}
DRIVEN = {
    "estate.schema.json": {
        "DialFile": "dials",
        "MeterFile": "meters",
        "ProbeFile": "probes",
        "DutyFile": "duties",
        "BracketFile": "brackets",
        "NotifyFile": "notify",
        "JournalFile": "stores",
    },
}


def schema_text(name: str) -> str:
    """One schema, as it is shipped."""
    form, title = FORMS[name]
    schema: dict[str, Any] = {"$schema": DIALECT, **form.model_json_schema()}
    schema["title"] = title
    with_options(schema, DRIVEN.get(name, {}))
    return json.dumps(schema, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def write(folder: Path) -> None:
    """Write both schemas into a folder."""
    for name in FORMS:
        (folder / name).write_text(schema_text(name), encoding="utf-8")


if __name__ == "__main__":
    write(FOLDER)
