"""Plain values -> a settings model (`Phase`, `Evaluation`), with what is wrong said in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from workbench.config.problems import Keys
from workbench.errors import did_you_mean

Model = TypeVar("Model", bound=BaseModel)
Fault = tuple[Keys, str]  # the way to a value below the model, and what is wrong with it


def check_settings(model: type[Model], value: Any) -> tuple[Model | None, list[Fault]]:
    """The model of these values, or None and every fault. JSON mode: the models are strict, and lists are tuples."""
    try:
        return model.model_validate_json(json.dumps(value)), []
    except ValidationError as error:
        found = [(_way(each["loc"], value), each) for each in error.errors(include_url=False)]
    faults: list[Fault] = []
    for way, each in found:
        if each["type"] in _NOUNS:
            if not any(_says_more(other, each, way) for other in found):
                faults.append((way, _wrong_type([same for other, same in found if other == way], each["input"])))
        elif not (each["type"] == "too_short" and each["input"]):
            faults.append((way, _in_words(model, each)))
    return None, list(dict.fromkeys(faults))


def _says_more(other: tuple[Keys, Any], error: Any, way: Keys) -> bool:
    """Of a value that may be one thing or another, pydantic reports every branch. The error `other` says more than
    a wrong type at `way` when it lies deeper, or finds the type right and something else wrong."""
    deeper, kind = len(other[0]) > len(way), other[1]["type"]
    return other[1] is not error and other[0][: len(way)] == way and (deeper or kind not in _NOUNS)


def _way(location: tuple[str | int, ...], value: Any) -> Keys:
    """The part of pydantic's location that is in the value: names of union branches are not."""
    keys: list[str | int] = []
    for key in location:
        if isinstance(value, Mapping) and key in value or isinstance(value, list) and isinstance(key, int):
            keys.append(key)
            value = value[key]  # type: ignore[index]
    return tuple(keys)


def _wrong_type(errors: list[Any], given: Any) -> str:
    nouns = dict.fromkeys(_NOUNS[error["type"]] for error in errors)
    only_a_list = all(error["type"] in ("list_type", "tuple_type") for error in errors)
    instead = f": write [{label(given)}]" if only_a_list and not isinstance(given, dict) else ""
    return f"this must be {' or '.join(nouns)}, not {shown(given)}{instead}"


def _in_words(model: type[BaseModel], error: Any) -> str:
    """What is wrong, and what to write."""
    given, context = error.get("input"), error.get("ctx", {})
    last = str(error["loc"][-1]) if error["loc"] else ""
    known = tuple(model.model_fields)
    match error["type"]:
        case "extra_forbidden":
            return f"there is no key '{last}' here.{did_you_mean(last, known)} Keys: {', '.join(known)}"
        case "missing":
            description = model.model_fields[last].description or ""
            return f"'{last}' is missing. Write '{last}: ...' ({description})"
        case "literal_error":
            allowed = [word.strip(" '") for word in context["expected"].replace(" or ", ", ").split(",")]
            return f"'{given if last != '[key]' else error['loc'][-2]}' is not known here.{_near(given, allowed)}"
        case "value_error":
            return str(context["error"])
        case "too_short" | "string_too_short":
            return "this must not be empty"
        case "greater_than":
            return f"this must be greater than {context['gt']:g}, not {shown(given)}"
        case "greater_than_equal":
            return f"this must be at least {context['ge']:g}, not {shown(given)}"
        case "less_than":
            return f"this must be less than {context['lt']:g}, not {shown(given)}"
        case "less_than_equal":
            return f"this must be at most {context['le']:g}, not {shown(given)}"
        case "finite_number":
            return f"this must be a finite number, not {shown(given)}"
        case _:
            return error["msg"]


_NOUNS = {
    "bool_type": "true or false",
    "dict_type": "a mapping, as {key: value}",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_type": "a mapping of keys, as {key: value}",
    "string_type": "a text",
    "tuple_type": "a list",
}


def _near(word: Any, allowed: list[str]) -> str:
    return f"{did_you_mean(str(word), allowed)} Write one of: {', '.join(allowed)}"


def shown(value: Any) -> str:
    """A value inside a message. A text is called one, so that '3' and 3 can be told apart."""
    if isinstance(value, str):
        return f"the text '{value}'"
    return repr(value) if isinstance(value, float) else label(value)


def label(value: Any) -> str:
    """A value as the label of an axis: `true`, `0.001`, `2`, `[1, 2]`."""
    match value:
        case None | bool():
            return json.dumps(value)
        case float():
            return repr(value).removesuffix(".0")
        case dict():
            return "{" + ", ".join(f"{key}: {label(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(label(item) for item in value) + "]"
        case _:
            return str(value)
