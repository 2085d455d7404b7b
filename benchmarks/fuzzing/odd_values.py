"""Values and texts that no file should hold, and how files of any kind are damaged."""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Place = tuple[Any, ...]

TEXTS = [
    "",
    " ",
    "größe\x07",
    "\u202ereversed",
    "\ud83d",
    "nul\x00byte",
    "\x1b[31mred\x1b[0m",
    "x" * 300,
    "../missing",
    "/",
    ".",
    "~",
    "a\nb",
    "a" * 5000,
    "0x10",
    "1e400",
    "<image>",
    "{folder}",
    "%s",
    "=1+1",
    "\ufeff",
    "no",
]
VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1,
    10**6,
    10**9,
    2**40,
    10**30,
    10**400,
    -(10**30),
    0.5,
    1e30,
    1e-320,
    float("nan"),
    float("inf"),
    float("-inf"),
    [],
    {},
    [1, 2],
    [None],
    [[[]]],
    {"name": "x"},
    {"": 1},
    {"name": None},
    *TEXTS,
]


def deep(levels: int = 200) -> Any:
    """Lists in lists."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Where every value within nested lists and mappings stands."""
    yield place
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from places(inner, (*place, key))


def value_at(document: Any, place: Place) -> Any:
    for key in place:
        document = document[key]
    return document


def changed(document: Any, place: Place, value: Any) -> Any:
    """A copy with another value there."""
    if not place:
        return value
    made = copy.deepcopy(document)
    value_at(made, place[:-1])[place[-1]] = value
    return made


def without(document: Any, place: Place) -> Any:
    """A copy without what stands there."""
    made = copy.deepcopy(document)
    del value_at(made, place[:-1])[place[-1]]
    return made


def odd_json(content: Any, dice: random.Random) -> tuple[str, Any]:
    """A document with one value another, missing or more; and what was changed."""
    place = dice.choice(list(places(content)))
    if place and dice.random() < 0.2:
        return f"{place} removed", without(content, place)
    if isinstance(value_at(content, place), dict) and dice.random() < 0.2:
        key = dice.choice([*TEXTS, "unknown"])
        return f"{(*place, key)!a} added", changed(content, (*place, key), dice.choice(VALUES))
    value = dice.choice([*VALUES, deep()])
    return f"{place} = {value!a:.80}", changed(content, place, value)


def damage_json(file: Path, dice: random.Random) -> str:
    """Change one value of a JSON file; or of one line, where a line is a document."""
    text = file.read_text(encoding="utf-8")
    try:
        change, value = odd_json(json.loads(text), dice)
        file.write_text(json.dumps(value), encoding="utf-8")
        return change
    except json.JSONDecodeError:
        lines = text.splitlines()
    number = dice.randrange(len(lines))
    change, value = odd_json(json.loads(lines[number]), dice)
    file.write_text("\n".join([*lines[:number], json.dumps(value), *lines[number + 1 :]]) + "\n", encoding="utf-8")
    return f"line {number + 1}: {change}"


def flip_a_byte(file: Path, dice: random.Random) -> str:
    content = bytearray(file.read_bytes())
    if not content:
        return write_noise(file, dice)
    place = dice.randrange(len(content))
    content[place] ^= 1 << dice.randrange(8)
    file.write_bytes(content)
    return f"bit of byte {place} flipped"


def change_a_digit(file: Path, dice: random.Random) -> str:
    content = bytearray(file.read_bytes())
    digits = [place for place, byte in enumerate(content) if 48 <= byte < 58]
    if not digits:
        return flip_a_byte(file, dice)
    place = dice.choice(digits)
    content[place] = 48 + (content[place] - 48 + dice.randrange(1, 10)) % 10
    file.write_bytes(content)
    return f"digit at byte {place} changed"


def cut(file: Path, dice: random.Random) -> str:
    content = file.read_bytes()
    kept = dice.randrange(len(content)) if content else 0
    file.write_bytes(content[:kept])
    return f"cut to {kept} of {len(content)} bytes"


def empty(file: Path, dice: random.Random) -> str:
    file.write_bytes(b"")
    return "emptied"


def write_noise(file: Path, dice: random.Random) -> str:
    file.write_bytes(dice.randbytes(dice.randrange(1, 3000)))
    return "random bytes"


def write_other_json(file: Path, dice: random.Random) -> str:
    text = dice.choice(["null", "[]", "{}", "3", '"text"', "[[]]", "NaN", '{"a": ' * 3000, "[" * 100_000, '"\\ud83d"'])
    file.write_text(text, encoding="utf-8")
    return f"holds {text[:20]} instead"


def encode_otherwise(file: Path, dice: random.Random) -> str:
    content = file.read_bytes()
    how = dice.choice(["utf-8-sig", "utf-16", "cr lf", "nul"])
    if how == "cr lf":
        made = content.replace(b"\n", b"\r\n")
    elif how == "nul":
        made = content[: len(content) // 2] + b"\0" + content[len(content) // 2 :]
    else:
        made = content.decode("utf-8", "replace").encode(how)
    file.write_bytes(made)
    return f"written with {how}"


def remove(file: Path, dice: random.Random) -> str:
    file.unlink()
    return "removed"


def make_folder(file: Path, dice: random.Random) -> str:
    file.unlink()
    file.mkdir()
    return "a folder instead"


def link_to_nowhere(file: Path, dice: random.Random) -> str:
    file.unlink()
    file.symlink_to(dice.choice(["nowhere", file.name]))
    return "a link to nowhere, or to itself"


def make_pipe(file: Path, dice: random.Random) -> str:
    file.unlink()
    os.mkfifo(file)
    return "a named pipe instead"


Damage = Callable[[Path, random.Random], str]
BYTES: tuple[Damage, ...] = (flip_a_byte, cut, empty, write_noise, write_other_json, encode_otherwise)
PLACES: tuple[Damage, ...] = (remove, make_folder, link_to_nowhere, make_pipe)
