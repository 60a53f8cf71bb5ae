"""The options of the drivers that come with Dayshift, for the JSON Schemas of editors.

Drivers of others are checked when the file is read, as ours are; a schema that is
shipped cannot know them, and lets their options be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dayshift.runtime.wiring import available, options_of

OURS = "dayshift."


def with_options(schema: dict[str, Any], forms: Mapping[str, str]) -> dict[str, Any]:
    """`schema` with a rule for each driver: that `driver`, so these `options`.

    Args:
        forms: which definition of the schema names drivers of which kind.
    """
    definitions = schema["$defs"]
    for form, kind in forms.items():
        rules = []
        for name in sorted(available(kind)):
            if available(kind)[name].value.startswith(OURS):
                found = _definitions(kind, name)
                definitions.update(found)
                rules.append(_rule(name, f"#/$defs/{kind}-{name}"))
        definitions[form]["allOf"] = rules
    return schema


def _definitions(kind: str, driver: str) -> dict[str, Any]:
    """The options of one driver and what they are made of, under names of its own."""
    model = options_of(kind, driver)
    assert model is not None
    prefix = f"{kind}-{driver}"
    options = model.model_json_schema(ref_template=f"#/$defs/{prefix}-{{model}}")
    parts = options.pop("$defs", {})
    return {prefix: options} | {f"{prefix}-{k}": part for k, part in parts.items()}


def _rule(driver: str, options: str) -> dict[str, Any]:
    return {
        "if": {"properties": {"driver": {"const": driver}}, "required": ["driver"]},
        "then": {"properties": {"options": {"$ref": options}}},
    }
