"""Whatever a file holds, the loader gives an estate or reasons, never a traceback.

Each reason names the file and a line that exists, and says the way out.
"""

from __future__ import annotations

import copy
import io
import re
import tempfile
import time
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from dayshift.errors import SettingsInvalid
from dayshift.model.estate import Change, Estate
from dayshift.runtime import wiring
from dayshift.runtime.settings import load

KIT = Path(__file__).parent.parent / "kit"
ESTATE_TEXT = (KIT / "dayshift.yaml").read_text()
CHANGE_TEXT = (KIT / "change.yaml").read_text()
GOOD = load.load_estate(KIT / "dayshift.yaml", wiring.options_of)
PLACE = re.compile(r"(dayshift|change)\.yaml:(\d+): .")
LOAD_S_MAX = 1.0


def outcome(raw: bytes, name: str) -> Estate | Change | None:
    """Load the bytes as a file; None if refused, by reasons that are well formed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(raw)
        started = time.process_time()
        try:
            if name == "dayshift.yaml":
                return load.load_estate(path, wiring.options_of)
            return load.load_change(path, GOOD, wiring.options_of)
        except SettingsInvalid as error:
            lines = max(1, raw.count(b"\n") + (not raw.endswith(b"\n")))
            assert error.reasons
            for reason in error.reasons:
                found = PLACE.match(reason.what)
                assert found and found[1] in name, reason.what
                assert 1 <= int(found[2]) <= lines, f"{reason.what} of {lines} lines"
                assert reason.code and reason.next
                assert "\n" not in reason.what + reason.next
                str(reason).encode()
            return None
        finally:
            assert time.process_time() - started < LOAD_S_MAX


def plain(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def dumped(data: Any) -> bytes:
    stream = io.BytesIO()
    YAML(typ="safe", pure=True).dump(data, stream)
    return stream.getvalue()


def paths(data: Any, base: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = data.items() if isinstance(data, dict) else ()
    if isinstance(data, list):
        inside = enumerate(data)
    return [base, *(p for key, one in inside for p in paths(one, (*base, key)))]


ESTATE_DATA, CHANGE_DATA = plain(ESTATE_TEXT), plain(CHANGE_TEXT)
WORDS = st.sampled_from(
    [
        "*", "", "fra", "muc", "50 %", "101 %", "30 s", "-1 s", "envoy", "users", "~",
        "1e400", ".nan", "0x10", "true", "null", "split", "2031-01-31", "9" * 30, "<<",
    ]
)  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | WORDS
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(WORDS | st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
CRUMBS = st.sampled_from(
    [
        ": ", "- ", "\n", "  ", "\t", "[", "]", "{", "}", ",", "&a ", "*a", "!t ", "? ",
        "|", ">", "#", "'", '"', "\\", "%", "---", "...", "estate", "regions", "fra",
        "0", "\r", "\u2028", "\u0085", "\ufeff", "\x00", "@", "`", "<<: ",
    ]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_value_at_any_place(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["dayshift.yaml", "change.yaml"]))
    tree = copy.deepcopy(ESTATE_DATA if name == "dayshift.yaml" else CHANGE_DATA)
    for _ in range(data.draw(st.integers(1, 3))):
        *base, last = data.draw(st.sampled_from(paths(tree)[1:] or [("estate",)]))
        here = tree
        for part in base:
            here = here[part]
        match data.draw(st.sampled_from(["set", "drop", "add"])):
            case "drop":
                del here[last]
            case "add" if isinstance(here, dict):
                here[data.draw(WORDS | st.text(max_size=8))] = data.draw(VALUES)
            case _:
                here[last] = data.draw(VALUES)
    outcome(dumped(tree), name)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["dayshift.yaml", "change.yaml"]),
    st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 12), CRUMBS | st.text(max_size=5)),
        min_size=1,
        max_size=4,
    ),
)
def test_any_damage_to_the_text(
    name: str, damages: list[tuple[float, int, str]]
) -> None:
    text = ESTATE_TEXT if name == "dayshift.yaml" else CHANGE_TEXT
    for at, cut, crumb in damages:
        place = int(at * len(text))
        text = text[:place] + crumb + text[place + cut :]
    outcome(text.encode("utf-8", "surrogatepass"), name)


@settings(max_examples=150, deadline=None)
@given(st.lists(CRUMBS | st.text(max_size=6), max_size=40).map("".join))
@example("? [a]\n: b\n")
@example('"\\UFFFFFFFF"')
@example("a: " + "[" * 3_000)
@example("- " * 3_000)
@example("{" * 3_000)
@example("a: &a\n  <<: *a\n")
def test_any_text(text: str) -> None:
    assert outcome(text.encode("utf-8", "surrogatepass"), "dayshift.yaml") is None


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
@example(b"\xef\xbb\xbfestate: \xff")
@example(b"\xff\xfee\x00")
def test_any_bytes(raw: bytes) -> None:
    assert outcome(raw, "change.yaml") is None


def test_the_good_files_load() -> None:
    assert outcome(ESTATE_TEXT.encode(), "dayshift.yaml") == GOOD
    assert isinstance(outcome(CHANGE_TEXT.encode(), "change.yaml"), Change)
    assert isinstance(outcome(dumped(ESTATE_DATA), "dayshift.yaml"), Estate)
