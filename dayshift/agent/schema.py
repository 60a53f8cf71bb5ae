"""The JSON Schema of `agent.yaml` for editors; a test says whether it is current.

`python -m dayshift.agent.schema` writes it beside this module, as it is shipped.
"""

from __future__ import annotations

import json
from pathlib import Path

from dayshift.agent.settings import AgentSettingsFile
from dayshift.runtime.settings.driver_schemas import with_options
from dayshift.runtime.settings.schema import DIALECT

PATH = Path(__file__).with_name("agent.schema.json")


def text() -> str:
    """The schema, as it is shipped."""
    schema = {"$schema": DIALECT, **AgentSettingsFile.model_json_schema()}
    with_options(schema, {"AgentDialFile": "dials"})
    schema["title"] = "Dayshift agent (agent.yaml)"
    return json.dumps(schema, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
