"""Reads YAML into plain values and remembers the line of each.

Numbers are read as researchers write them (`1e-3` is one), and only `true` and `false` are truth values:
YAML 1.1 would make a text of the first and truth values of `on` and `no`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from workbench.config.problems import Document, ExperimentError, Keys, Place, Problems
from workbench.errors import did_you_mean
from workbench.storage.places import is_file, is_folder

MOST_VALUES = 100_000
TAG = "tag:yaml.org,2002:"

_PLAIN = (
    (f"{TAG}bool", re.compile(r"true|True|TRUE|false|False|FALSE")),
    (f"{TAG}null", re.compile(r"null|Null|NULL|~|")),
    (f"{TAG}int", re.compile(r"[-+]?[0-9][0-9_]*")),
    (
        f"{TAG}float",
        re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf)|\.(nan|NaN)"),
    ),
)
_HALF = re.compile(r"[\ud800-\udfff]")
_RESOLVERS = {None: [(tag, re.compile(rf"(?:{pattern.pattern})\Z")) for tag, pattern in _PLAIN]}


class PlainLoader(yaml.SafeLoader):
    """The safe loader with the plain values described above."""

    yaml_implicit_resolvers = _RESOLVERS


class PlainDumper(yaml.SafeDumper):
    """Writes what `PlainLoader` reads back as the same values."""

    yaml_implicit_resolvers = _RESOLVERS


def read_yaml_file(path: Path) -> tuple[str, Document]:
    """The text of a file and its values; `ExperimentError` when it cannot be read."""
    whole = Place(0, str(path))
    if is_folder(path):
        files = ", ".join(sorted(file.name for file in path.glob("*.y*ml"))) or "it holds no *.yaml"
        raise ExperimentError((whole, f"this is a folder. Give one experiment file in it ({files})"))
    if not is_file(path):
        raise ExperimentError((whole, f"there is no such file.{_nearby(path)}"))
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        message = "the file is not UTF-8 text. Save it with the encoding UTF-8"
        raise ExperimentError((_line(path, line), message)) from error
    except OSError as error:
        raise ExperimentError((whole, f"the file cannot be read: {error.strerror}. Check its permissions")) from error
    return text, replace(parse_yaml(text, str(path)), folder=path.resolve().parent)


def parse_yaml(text: str, source: str, place: Place | None = None) -> Document:
    """YAML text -> its values; `ExperimentError` with all that cannot be read. Their places are lines of `source`, or
    `place` where one is given."""
    node = _compose(text, source, place)
    builder = _Builder(source, place)
    value = builder.build(node, ()) if node else None
    document = Document(value, {**builder.places, (): place or _line(source, 1)})
    problems = Problems(document)
    for keys, message in builder.problems:
        problems.add(keys, message)
    problems.stop_if_any()
    return document


def write_yaml(value: Any) -> str:
    """Plain values -> YAML that `parse_yaml` reads back as the same values, keys in their order."""
    return yaml.dump(value, Dumper=PlainDumper, sort_keys=False, allow_unicode=True, width=120)


@dataclass
class _Builder:
    """Turns nodes into values, noting where each stands and what is wrong with it."""

    source: str
    fixed: Place | None
    places: dict[Keys, Place] = field(default_factory=dict)
    problems: list[tuple[Keys, str]] = field(default_factory=list)
    open: list[Node] = field(default_factory=list)
    count: int = 0

    def build(self, node: Node, keys: Keys) -> Any:
        self.count += 1
        if self.count > MOST_VALUES:
            message = f"there are more than {MOST_VALUES:,} values, counting what aliases (*) repeat. Write less"
            raise ExperimentError((self.place(self.open[min(1, len(self.open) - 1)]), message))
        self.places.setdefault(keys, self.place(node))
        if any(node is outer for outer in self.open):
            self.problems.append((keys, "the alias (*) stands inside what it repeats. Write the value out"))
            return None
        self.open.append(node)
        try:
            return self.value(node, keys)
        finally:
            self.open.pop()

    def value(self, node: Node, keys: Keys) -> Any:
        if isinstance(node, ScalarNode):
            return self.scalar(node, keys)
        if node.tag not in (f"{TAG}map", f"{TAG}seq"):
            self.problems.append((keys, f"tags such as '{_tag(node)}' are not read. Write plain values"))
        if isinstance(node, SequenceNode):
            return [self.build(item, (*keys, index)) for index, item in enumerate(node.value)]
        return self.mapping(node, keys)

    def mapping(self, node: Node, keys: Keys) -> dict[str, Any]:
        assert isinstance(node, MappingNode)
        values: dict[str, Any] = {}
        for key, item in node.value:
            if not isinstance(key, ScalarNode):
                self.problems.append((keys, f"in line {self.line(key)} a key is a list or mapping. A key is a word"))
                continue
            inner = (*keys, self.letters(key.value, keys))
            if key.value == "<<":
                self.problems.append((keys, "'<<' is not read. Write the keys out"))
            elif inner[-1] in values:
                first = self.places[inner].line
                self.places[inner] = self.place(key)
                self.problems.append(
                    (inner, f"the key is given twice, in lines {first} and {self.line(key)}. Keep one")
                )
            else:
                self.places[inner] = self.place(key)
                values[inner[-1]] = self.build(item, inner)
        return values

    def scalar(self, node: ScalarNode, keys: Keys) -> Any:
        try:
            return self.letters(_scalar(node), keys)
        except (KeyError, ValueError):
            self.problems.append((keys, f"'{node.value}' with the tag '{_tag(node)}' is not read. Write a plain value"))
            return None

    def letters(self, value: Any, keys: Keys) -> Any:
        """A text with the two halves of a letter, as JSON writes it, put together; half of one alone is a problem."""
        if not isinstance(value, str):
            return value
        try:
            return value.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            half = ascii(_HALF.findall(value)[0])[1:-1]
            message = (
                f"{half} is half of a letter, and no text. Write both halves, as \\ud83d\\ude42, or the letter itself"
            )
            self.problems.append((keys, message))
            return _HALF.sub("?", value)

    def place(self, node: Node) -> Place:
        return self.fixed or _line(self.source, self.line(node))

    def line(self, node: Node) -> int:
        return node.start_mark.line + 1


def _scalar(node: ScalarNode) -> Any:
    text = node.value
    convert = {
        "str": lambda: text,
        "null": lambda: None,
        "bool": lambda: {"true": True, "false": False}[text.lower()],
        "int": lambda: int(text.replace("_", "")),
        "float": lambda: float(re.sub(r"\.(inf|nan)", r"\1", text.replace("_", "").lower())),
    }
    return convert[node.tag.removeprefix(TAG)]()


def _tag(node: Node) -> str:
    return node.tag.replace(TAG, "!!")


def _line(source: str | Path, line: int) -> Place:
    return Place(line, f"{source}:{line}")


def _compose(text: str, source: str, place: Place | None) -> Node | None:
    try:
        return yaml.compose(text, Loader=PlainLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark or yaml.Mark(source, 0, 0, 0, "", 0)
        first = error.context_mark.line + 1 if error.context_mark else mark.line + 1
        began = f" (it began in line {first})" if first <= mark.line and not place else ""
        message = f"column {mark.column + 1}: {_in_plain_words(error)}{began}"
        raise ExperimentError((place or _line(source, mark.line + 1), message)) from error
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        message = f"the character {chr(error.character)!r} cannot stand in YAML. Remove it"
        raise ExperimentError((place or _line(source, line), message)) from error
    except RecursionError as error:
        message = "the values are nested too deeply. Close the brackets you opened"
        raise ExperimentError((place or _line(source, 1), message)) from error


def _in_plain_words(error: yaml.MarkedYAMLError) -> str:
    problem, context = error.problem or "", error.context or ""
    for part, words in _words():
        if part in f"{context}: {problem}":
            return words
    return f"{problem}. Check the indentation, quotes and brackets here"


def _words() -> Iterable[tuple[str, str]]:
    """Parts of the YAML parser's messages, the particular ones first, and what to tell the user."""
    return (
        (r"'\t'", "there is a tab. Indent and separate with spaces"),
        ("escape", 'a backslash in "..." begins an escape that is none. Write \\\\ for a backslash'),
        ("quoted scalar", "a quotation mark is opened and not closed. Close it, or remove it"),
        ("node content", "a value is missing here. Write one, or remove the sign"),
        ("flow sequence", "a '[' is not closed, or a ',' is missing in the list. Write [first, second]"),
        ("flow mapping", "a '{' is not closed, or a ',' is missing in it. Write {key: value, key: value}"),
        ("sequence entries", "a list item '-' cannot stand here. Put it in a line of its own, or quote it"),
        ("anchor", "an anchor (&name) is given twice. Give each its own name"),
        (
            "mapping values are not allowed",
            "a ':' cannot stand here. Put text that holds ': ' in quotes, or check the indentation",
        ),
        ("could not find expected ':'", "a key without its ':'. Write 'key: value'"),
        ("block mapping", "the indentation does not fit the lines above. Indent keys of one mapping equally"),
        ("block collection", "the indentation does not fit the lines above. Indent the '-' of one list equally"),
        (
            "undefined alias",
            "an alias (*name) has no anchor (&name) before it. Put text that begins with '*' in quotes",
        ),
        ("single document", "a second document ('---') begins. Keep one experiment in a file"),
        ("cannot start any token", "a text cannot begin with this character. Put it in quotes"),
    )


def _nearby(path: Path) -> str:
    if not is_folder(path.parent):
        return f" There is no folder {path.parent} either"
    files = sorted(file.name for file in path.parent.glob("*.y*ml"))
    return did_you_mean(path.name, files) or (f" Files there: {', '.join(files)}" if files else "")
