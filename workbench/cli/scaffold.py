"""Writes a new plugin that works as it stands, with a test beside it."""

from __future__ import annotations

import re
from pathlib import Path

from workbench.discovery import is_of_another
from workbench.errors import UserError
from workbench.registry import Registry, load_registry

TEMPLATES = Path(__file__).parent / "templates"


def write_plugin(kind: str, name: str, folder: Path) -> list[Path]:
    """Write `folder/name.py` and `folder/test_name.py`; where the folder is sorted by kinds, in its folder for them.

    The templates are plugins themselves, for the kind's smallest useful example. Nothing is overwritten.
    """
    if is_of_another(folder):
        raise UserError(f"{folder} belongs to a copy of the workbench that is not the one which runs. Use --in MINE")
    registry = load_registry([folder] if folder.is_dir() else [])
    _check_name(registry, kind, name)
    stem = re.sub(r"\W", "_", name)
    place = next((folder / each for each in (kind, f"{kind}s") if (folder / each).is_dir()), folder)
    files = {
        place / f"{stem}.py": (TEMPLATES / f"{kind}.py").read_text(encoding="utf-8"),
        place / f"test_{stem}.py": (TEMPLATES / "test_plugin.py").read_text(encoding="utf-8"),
    }
    for file in files:
        if file.exists():
            raise UserError(f"{file} is already there and is left as it is. Choose another name or folder")
    words = {"new_plugin": name, "NewPlugin": _class_name(kind, name), "new_kind": kind, "new_file": f"test_{stem}.py"}
    try:
        place.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            with file.open("x", encoding="utf-8") as opened:
                opened.write(re.sub("|".join(words), lambda found: words[found[0]], text))
    except OSError as error:
        raise UserError(f"cannot write to {place}: {error.strerror}. Choose another folder with --in") from error
    return list(files)


def _check_name(registry: Registry, kind: str, name: str) -> None:
    registry.check_kind(kind)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", name) or name.startswith("test_") or name in ("tests", "conftest"):
        raise UserError(
            f"'{name}' cannot name a plugin: begin with a letter, go on with letters, digits, '_', '-' and '.', and do"
            " not begin with 'test_', which names its test"
        )
    taken = [plugin.source for plugin in registry.plugins(kind) if plugin.name == name]
    if taken:
        raise UserError(f"there is already a {kind} '{name}', in {taken[0]}. Choose another name")


def _class_name(kind: str, name: str) -> str:
    """`("fusion", "late_glance")` -> `"LateGlanceFusion"`: never the name of the base class."""
    words = [part for text in (name, kind) for part in re.split(r"[_.-]+", text) if part]
    return "".join(word[0].upper() + word[1:] for word in words)
