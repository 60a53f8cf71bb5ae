"""From plain data to a checked form, with every fault in words that help.

A part that is wrong by itself is noted, marked as spoiled and left out, so that the
rules between keys still run over the rest: a person sees all faults at once, and none
that only follows from another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from difflib import get_close_matches
from enum import Enum
from importlib.metadata import entry_points
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from dayshift.runtime.settings.yaml_source import Path_, Source, short

OptionsOf = Callable[[str, str], type[BaseModel] | None]
Known = Callable[[str], Iterable[str]]
Form = TypeVar("Form", bound=BaseModel)
ROUNDS_MAX = 8
KINDS_SHOWN = {
    "string_type": "is not text; put it in quotes",
    "int_type": "is not a whole number",
    "int_from_float": "is not a whole number",
    "float_type": "is not a number",
    "bool_type": "is neither true nor false",
    "list_type": "is not a list of items",
    "tuple_type": "is not a list of items",
    "dict_type": "is not a mapping of keys",
    "model_type": "is not a mapping of keys",
    "model_attributes_type": "is not a mapping of keys",
    "greater_than_equal": "is below the least, {ge}",
    "less_than_equal": "is above the most, {le}",
    "greater_than": "is not above {gt}",
    "less_than": "is not below {lt}",
    "literal_error": "is not {expected}",
    "enum": "is not {expected}",
    "too_short": "has too few items (least {min_length})",
    "string_pattern_mismatch": "does not match `{pattern}`",
}


def form_of(model: type[Form], source: Source) -> Form:
    """The file in its form, without its spoiled parts.

    Raises:
        SettingsInvalid: nothing of it is left to say more about.
    """
    data: Any = source.data
    for number in range(ROUNDS_MAX):
        try:
            return model.model_validate(data)
        except ValidationError as error:
            faults = error.errors(include_url=False)
        if not number:
            data = deepcopy(data)
            source.spoiled |= note_faults(faults, (), source, model)
        for fault in faults:
            _leave_out(data, fault["loc"], model)
    source.check()
    raise AssertionError("a validation error without a reason")


def _leave_out(data: Any, path: Path_, model: type[BaseModel]) -> None:
    """Blank a required value that is missing or wrong; remove any other.

    A wrong item takes its whole list with it, since the others must keep their places.
    """
    while path:
        holder = data
        for part in path[:-1]:
            holder = _step(holder, part)
        if isinstance(holder, dict):
            field, kind = _field_at(model, path)
            if field is not None and field.is_required():
                holder[path[-1]] = _blank(kind)
            else:
                holder.pop(path[-1], None)
            return
        path = path[:-1]


def _step(here: Any, part: int | str) -> Any:
    if isinstance(here, dict):
        return here.get(part)
    if isinstance(here, list) and isinstance(part, int) and part < len(here):
        return here[part]
    return None


def _blank(kind: Any) -> Any:
    """A value of this kind that says nothing."""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind)).value
    return {dict: {}, list: [], str: ""}.get(get_origin(kind) or kind)


def _field_at(model: type[BaseModel], path: Path_) -> tuple[FieldInfo | None, Any]:
    """The field at a path, if it is one of a model, and the type of what lies there."""
    field: FieldInfo | None = None
    here: Any = model
    for part in path:
        field = None
        if isinstance(here, type) and issubclass(here, BaseModel):
            field = _fields(here).get(str(part))
            here = _bare(field.annotation) if field else None
        elif get_origin(here) in (list, tuple, dict):
            inside = get_args(here)
            here = _bare(inside[1 if get_origin(here) is dict else 0])
        else:
            here = None
    return field, here


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    fields = model.model_fields.items()
    return {field.alias or name: field for name, field in fields}


def _bare(kind: Any) -> Any:
    """A type without its annotations and without `None`."""
    while get_origin(kind) in (Annotated, Union, UnionType):
        inside = [one for one in get_args(kind) if one is not type(None)]
        kind = inside[0]
    return kind


def note_faults(
    faults: list[ErrorDetails], base: Path_, source: Source, model: type[BaseModel]
) -> set[Path_]:
    """Note each fault once, in words; return the paths that are spoiled by them."""
    spoiled: set[Path_] = set()
    unknown = [fault for fault in faults if fault["type"] == "extra_forbidden"]
    for fault in unknown:
        spoiled |= _note_unknown(fault["loc"], base, source, model)
    for fault in faults:
        path = _in_file((*base, *fault["loc"]), source)
        if fault["type"] == "too_short" and _has_faults_inside(fault, faults):
            continue
        if fault["type"] == "missing" and path not in spoiled:
            code, what = "KEY-MISSING", "is missing"
            source.fault(code, path, what, f"add `{path[-1]}:`")
        elif fault["type"] not in ("missing", "extra_forbidden"):
            what, next_step = _words(fault)
            source.fault("VALUE-INVALID", path, what, next_step)
        if fault["type"] != "extra_forbidden":
            spoiled.add(path)
    return spoiled


def _has_faults_inside(outer: ErrorDetails, faults: list[ErrorDetails]) -> bool:
    """Wrong items are left out of their list, which then seems too short."""
    loc = outer["loc"]
    return any(
        fault["loc"][: len(loc)] == loc and fault is not outer for fault in faults
    )


def _note_unknown(
    loc: Path_, base: Path_, source: Source, model: type[BaseModel]
) -> set[Path_]:
    """Note a key that does not belong; return the path that it was meant for."""
    _, holder = _field_at(model, loc[:-1])
    known = sorted(_fields(holder)) if hasattr(holder, "model_fields") else []
    close = get_close_matches(str(loc[-1]), known, 1)
    listed = f"known here: {', '.join(known)}" if known else "remove it"
    hint = f"did you mean `{close[0]}`? {listed}" if close else listed
    path = (*base, *loc)
    source.fault("KEY-UNKNOWN", path, "is not a key that belongs here", hint)
    return {(*path[:-1], close[0])} if close else set()


def _words(fault: ErrorDetails) -> tuple[str, str]:
    """What is wrong with a value, and what to do."""
    value = fault["input"]
    if value is None or value == "":
        return "is empty", "write a value, or remove the key; empty never means all"
    told = KINDS_SHOWN.get(fault["type"])
    if told is None:
        text = fault["msg"].removeprefix("Value error, ")
        return text[:1].lower() + text[1:], "mend the value"
    context = fault.get("ctx", {})
    what = f"has {_shown(value)}, which {told.format(**context)}"
    choices = re.findall("'([^']+)'", str(context.get("expected", "")))
    close = get_close_matches(str(value), choices, 1)
    return what, f"did you mean `{close[0]}`?" if close else "mend the value"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "`true`" if value else "`false`"
    return f"`{short(str(value))}`"


def _in_file(loc: Path_, source: Source) -> Path_:
    """The part of a location that is the file's own (unions add words of theirs)."""
    path: Path_ = ()
    for part in loc:
        if source.has((*path, part)):
            path = (*path, part)
    last = loc[-1] if loc else ""
    return path if path[-1:] == (last,) or not loc else (*path, last)


def installed(kind: str) -> list[str]:
    """The names of the drivers of one kind that are installed here."""
    return sorted({one.name for one in entry_points(group=f"dayshift.{kind}")})


class Drivers:
    """Checks drivers' names and options against what the drivers themselves say."""

    def __init__(self, source: Source, options_of: OptionsOf, known: Known) -> None:
        self._source = source
        self._options_of = options_of
        self._known = known

    def check(
        self, kind: str, driver: str, options: Mapping[str, Any], path: Path_
    ) -> BaseModel | None:
        """Note what is wrong with one driver; `path` is where its name stands.

        The options as the driver reads them, or None where they are not right.
        """
        source = self._source
        try:
            model = self._options_of(kind, driver)
        except Exception as error:  # a driver of others that cannot be imported
            told = f"{type(error).__name__}: {short(str(error), 120)}"
            what = f"{driver} cannot be loaded: {told}"
            source.fault("DRIVER-BROKEN", path, what, "install it again")
            return None
        if model is None:
            self._unknown(kind, driver, path)
            return None
        base = (*path[:-1], "options")
        try:
            return model.model_validate(options)
        except ValidationError as error:
            note_faults(error.errors(include_url=False), base, source, model)
        except Exception as error:  # a validator of others that has a bug
            told = f"{type(error).__name__}: {short(str(error), 120)}"
            what = f"driver {driver} cannot read this: {told}"
            source.fault("DRIVER-BROKEN", base, what, "mend the options")
        return None

    def _unknown(self, kind: str, driver: str, path: Path_) -> None:
        known = sorted(self._known(kind))
        close = get_close_matches(driver, known, 1)
        hint = f"did you mean `{close[0]}`? " if close else ""
        listed = f"installed are: {', '.join(known) or 'none'}"
        what = f"names `{short(driver)}`, but there is no such driver of {kind}"
        because = "only installed drivers can reach anything"
        self._source.fault("DRIVER-UNKNOWN", path, what, hint + listed, because)
