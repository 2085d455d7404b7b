"""Options of plugins: the keyword-only parameters of a factory, their types as schema for what YAML may set."""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from workbench.errors import UserError
from workbench.hookspecs import KINDS

if TYPE_CHECKING:
    import pydantic

MOST = 2**63 - 1  # what a processor and a tensor's shape hold; Python alone computes with larger ones, without end


@dataclass(frozen=True)
class _NotWritten:
    """See `NOT_WRITTEN`."""


NOT_WRITTEN = _NotWritten()
"""In the annotation of an option: records do not write it where it has its default, so that trials keep the ids they
had before there was that option. `Annotated[bool, Field(description=...), NOT_WRITTEN]`."""


class OptionError(UserError):
    """An option that no experiment file could be checked against; the registry tells whose it is."""


@dataclass(frozen=True)
class Option:
    """A keyword-only parameter of a factory: what YAML may set, and in one line what it means."""

    name: str
    annotation: Any
    default: Any
    required: bool
    description: str = ""

    @property
    def type_name(self) -> str:
        """The annotation as a reader would write it: `int > 0`, `tuple[str, ...]`."""
        return _type_name(self.annotation)

    @property
    def kind(self) -> str | None:
        """For an option that takes components by name, as `dict[str, Dataset]`: their kind."""
        inner = typing.get_args(self.annotation)
        if typing.get_origin(self.annotation) is not dict or inner[0] is not str:
            return None
        kind = vars(inner[1]).get("kind") if inspect.isclass(inner[1]) else None
        return kind if kind in KINDS else None

    @property
    def written_at_default(self) -> bool:
        """Whether records write it where nobody has set it."""
        return NOT_WRITTEN not in typing.get_args(self.annotation)[1:]

    def validate(self, value: Any) -> Any:
        """A value from YAML as the annotated type; ValueError says in words what is wrong.

        Strict, as JSON: 1 is a float and a list a tuple, but "1" is no number, and neither is NaN.
        """
        import pydantic

        if self.kind:
            if not isinstance(value, dict) or not value:
                raise ValueError(f"give each {self.kind} a name of your own, as {{first: ..., second: ...}}")
            return value
        try:
            text = json.dumps(value, allow_nan=False)
        except TypeError as error:
            raise ValueError(f"{type(value).__name__} is no type of YAML that options take") from error
        except ValueError as error:
            raise ValueError("infinity and NaN are no numbers to compute with") from error
        try:
            found = _adapter_of(self.annotation).validate_json(text, strict=True)
        except pydantic.ValidationError as error:
            raise ValueError("; ".join(problem["msg"] for problem in error.errors()[:3])) from error
        if any(abs(each) > MOST for each in _integers(found)):
            raise ValueError(f"no computer counts so far: give a whole number from {-MOST:,} to {MOST:,}")
        return found


def options_of(factory: Callable[..., Any]) -> dict[str, Option]:
    """The keyword-only parameters of a factory, by name. `NameError` where an annotation names what is not imported."""
    constructor = factory.__init__ if inspect.isclass(factory) else factory
    hints = typing.get_type_hints(constructor, include_extras=True)
    options = {}
    for name, parameter in inspect.signature(factory).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY:
            annotation, description = _without_description(hints.get(name, Any))
            required = parameter.default is parameter.empty
            options[name] = Option(name, annotation, parameter.default, required, description)
    return options


def check_signature(factory: Callable[..., Any], positional: tuple[str, ...]) -> None:
    """Raise `OptionError` unless a factory takes `positional` and declares every option by name and type."""
    taken = []
    for parameter in inspect.signature(factory).parameters.values():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            raise OptionError(
                f"its factory takes '{parameter}': name its options as keyword-only parameters, so that an experiment"
                " file can be checked against them"
            )
        if parameter.kind is not parameter.KEYWORD_ONLY:
            taken.append(parameter.name)
    if len(taken) != len(positional):
        wanted = ", ".join(positional) or "nothing"
        mend = f"; write '*' before '{taken[len(positional)]}'" if len(taken) > len(positional) else ""
        raise OptionError(
            f"the workbench gives its factory {wanted} by position, but it takes ({', '.join(taken)}). Options come"
            f" from the experiment file and are keyword-only{mend}"
        )
    for option in options_of(factory).values():
        _check_option(option)


def _integers(value: Any) -> Iterator[int]:
    """Every whole number in an option's value."""
    match value:
        case int():
            yield value
        case dict():
            for each in value.values():
                yield from _integers(each)
        case tuple() | list() | set() | frozenset():
            for each in value:
                yield from _integers(each)


def _check_option(option: Option) -> None:
    import pydantic

    if option.name == "name":
        raise OptionError("no option can be called 'name': in an experiment file that is the plugin's own name")
    if option.kind:
        return
    if option.annotation is Any:
        raise OptionError(f"its option '{option.name}' has no type; write one, such as '{option.name}: int = 1'")
    try:
        _adapter_of(option.annotation)
    except pydantic.errors.PydanticUserError as error:
        raise OptionError(
            f"its option '{option.name}' has the type {option.type_name}, which YAML cannot give: use numbers,"
            " strings, bool, None, tuples or dicts of them, Literal[...] or Path"
        ) from error


def _without_description(annotation: Any) -> tuple[Any, str]:
    """`Annotated[int, Field(ge=0, description="...")]` -> `Annotated[int, Ge(0)]` and the description.

    What is left is the type alone, so that options of one type share what checks them: no two Fields are equal.
    """
    if typing.get_origin(annotation) is not Annotated:
        return annotation, ""
    from pydantic.fields import FieldInfo

    inner, *metadata = typing.get_args(annotation)
    description, limits = "", []
    for each in metadata:
        described = isinstance(each, FieldInfo) and each.description
        description = " ".join(described.split()) if described else description
        limits += each.metadata if described else [each]
    return (Annotated[(inner, *limits)] if limits else inner), description


def _adapter_of(annotation: Any) -> pydantic.TypeAdapter[Any]:
    """What checks values of a type; many options have the same, and to make one takes as long as many checks."""
    try:
        hash(annotation)
    except TypeError:  # something in it has no hash
        return _new_adapter(annotation)
    return _known_adapter(annotation)


def _new_adapter(annotation: Any) -> pydantic.TypeAdapter[Any]:
    import pydantic

    return pydantic.TypeAdapter(annotation)


_known_adapter = cache(_new_adapter)


def _type_name(annotation: Any) -> str:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return " ".join([_type_name(inner[0]), _bounds(inner[1:])]).strip()
    if origin is typing.Literal:
        return " | ".join(map(repr, inner))
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(_type_name, inner))
    if origin is not None:
        names = ", ".join("..." if each is Ellipsis else _type_name(each) for each in inner)
        return f"{origin.__name__}[{names}]"
    return "None" if annotation is type(None) else getattr(annotation, "__name__", str(annotation))


def _bounds(metadata: tuple[Any, ...]) -> str:
    """`> 0`, `>= 0, < 1`: the limits that pydantic's annotations hold."""
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    limits = [limit for each in metadata for limit in (each, *getattr(each, "metadata", ()))]
    return ", ".join(
        f"{sign} {getattr(limit, name)}"
        for limit in limits
        for name, sign in signs.items()
        if getattr(limit, name, None) is not None
    )
