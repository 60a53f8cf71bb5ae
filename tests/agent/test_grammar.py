"""The grammar between controllers and agents changes only with its version."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec

from dayshift.drivers.agents import messages as m

GRAMMARS = {2: "dbda9b744aff993b"}
"""What each protocol asks for. Not in it: fields of nouns that may be missing, which an
older side neither sends nor needs."""


def demands(schema: dict[str, Any]) -> dict[str, Any]:
    """What both sides must agree on, of one definition."""
    closed = schema.get("additionalProperties") is False
    required = schema.get("required", [])
    names = schema.get("properties", {})
    asked = {key: one for key, one in names.items() if closed or key in required}
    return {"enum": schema.get("enum"), "required": required, "fields": asked}


def digest() -> str:
    _, parts = msgspec.json.schema_components([m.Request, m.Reply])
    found = {name: demands(one) for name, one in parts.items()}
    text = json.dumps(_bare(found), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _bare(value: Any) -> Any:
    """Without what is only said to people."""
    if isinstance(value, dict):
        told = ("description", "title", "default")
        return {key: _bare(one) for key, one in value.items() if key not in told}
    return [*map(_bare, value)] if isinstance(value, list) else value


def test_who_changes_the_grammar_raises_the_protocol() -> None:
    """Then controllers and agents of the two versions say so instead of guessing."""
    known = GRAMMARS.get(m.PROTOCOL)
    assert digest() == known, (
        f"the grammar is now {digest()}: raise PROTOCOL in drivers/agents/messages.py "
        "and add its digest here"
    )


def test_the_first_words_stay_what_they_are() -> None:
    """Also for those who know more or less than we do."""
    raw = b'{"do":"attest","version":"9","protocol":7,"more":[1]}'
    assert m.REQUESTS.decode(raw) == m.Attest("9", 7)
    raw = b'{"is":"attested","version":"9","protocol":7,"more":{}}'
    assert m.REPLIES.decode(raw) == m.Attested("9", 7)
    assert msgspec.json.decode(m.framed(m.Attest("1", 2))[m.LENGTH_BYTES :]) == {
        "do": "attest",
        "version": "1",
        "protocol": 2,
    }
