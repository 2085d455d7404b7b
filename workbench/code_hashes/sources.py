"""What code is made of: the hash of what a source file says, and the other files and packages that it imports.

A comment, a docstring, what an option means in words or another layout changes no number, so none of them changes a
hash. A constant, a default or an annotation may, so each of them does.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

import workbench

PAGE = "workbench"  # what plugins import; its names lead on to modules of the core
INSTALLED = {"site-packages", "dist-packages"}
LEFT_OUT = {"ctx", "kind", "type_comment"}  # fields of the syntax tree that say nothing of their own
ALIASES = {"PIL": "pillow"}  # whose own name is another one than that of its import, and that is needed each time
NAME, LONGEST_NAME = re.compile(r"(?!\.)[\w.-]+(/(?!\.)[\w.-]+)*"), 100  # of a file, as code may write it
IMPORTERS = ("import_module", "__import__")


@dataclass(frozen=True)
class Import:
    """`from <level dots><module> import <names>`; `import a.b` has no names."""

    level: int
    module: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """What a source file says: the hash of its syntax tree, its imports, wherever they stand but for type checkers, and
    the texts in it that could be names of files."""

    hash: str
    imports: tuple[Import, ...]
    names: tuple[str, ...] = ()


@cache
def page() -> Mapping[str, str]:
    """The names that plugins import from the page, and the module that each lies in."""
    stub = ast.parse(Path(workbench.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: f"{PAGE}.{node.module}" for node in imports for alias in node.names}


class Code:
    """The code of one plugin: its file as it was when this was made, what the files of its folder share (`_*.py`),
    every other file of one's own that these import, and files of data that lie beside one of them and are named in it.
    It is looked through when that is first asked."""

    def __init__(self, file: Path, module: str):
        self._own = module.partition(".")[0]  # an installed plugin's own package is its code, and no version
        self._contents = {each: each.read_bytes() for each in (file, *file.parent.glob("_*.py"))}

    @property
    def hash(self) -> str:
        """Of all these files; where they lie does not count."""
        return self._looked_through[0]

    @property
    def packages(self) -> tuple[str, ...]:
        """The installed packages that they import, by the names that `import` knows."""
        return self._looked_through[1]

    @cached_property
    def _looked_through(self) -> tuple[str, tuple[str, ...]]:
        contents, waiting, packages = dict(self._contents), list(self._contents), set()
        while waiting:
            file = waiting.pop()
            for each in read_source(contents[file]).imports:
                files, names = _found(each, file, self._own)
                packages |= names
                for other in files:
                    if other not in contents:
                        contents[other] = other.read_bytes()
                        waiting.append(other)
        read = [(file, read_source(content)) for file, content in contents.items()]
        tables = {table for file, source in read for table in _tables(file.parent, source.names)}
        hashes = [f"{file.name} {source.hash}" for file, source in read]
        hashes = sorted([*hashes, *(f"{table.name} {_hash_of(table)}" for table in tables)])
        return _short("\n".join(hashes).encode()), tuple(sorted(packages))


@cache
def read_source(content: bytes) -> Source:
    """What a source file says. One that is no Python counts by its bytes.

    Python's own `ast.dump` writes empty fields, which an older Python does not have; here only what is there counts, so
    every Python that reads the file gives the same hash.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as of an escape in a text, of which its import tells
            tree = ast.parse(content)
        return Source(_short(repr(_plain(tree)).encode()), tuple(_imports(tree)), tuple(_names(tree)))
    except (SyntaxError, ValueError, RecursionError):
        return Source(_short(content), ())


@cache
def version_of(package: str) -> str | None:
    """The installed version of a package, by its own name or by that which `import` knows; None if there is none."""
    for name in (ALIASES.get(package, package), None):
        try:
            return version(name or next(iter(_distributions().get(package, ())), package))
        except PackageNotFoundError:  # not installed, or in a way that leaves no metadata
            continue
    return None


@cache
def _distributions() -> Mapping[str, list[str]]:
    """Which packages offer what can be imported; to find out takes half a second."""
    return packages_distributions()


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _plain(node: Any) -> Any:
    """A part of a syntax tree as nested tuples of what is there. Text is escaped: what can be shown as it is depends on
    the Python."""
    match node:
        case ast.AST():
            fields = [(name, getattr(node, name, None)) for name in node._fields if name not in LEFT_OUT]
            if isinstance(node, ast.JoinedStr):
                fields = [("values", _merged(node.values))]
            if isinstance(node, ast.Call):
                fields = [("func", node.func), ("args", node.args), ("keywords", _without_meaning(node))]
            return (type(node).__name__, *((name, _plain(value)) for name, value in fields if value not in (None, [])))
        case list():
            return [_plain(each) for each in node if not _does_nothing(each)]
        case float() | complex():
            return f"{type(node).__name__} {node!r}"
    return f"{type(node).__name__} {ascii(node)}"


def _without_meaning(call: ast.Call) -> list[ast.keyword]:
    """The keywords of a call, but for what an option or a setting means in words: `Field(description="...")`."""
    if ast.unparse(call.func).rpartition(".")[2] != "Field":
        return call.keywords
    return [each for each in call.keywords if each.arg != "description" or not isinstance(each.value, ast.Constant)]


def _does_nothing(statement: Any) -> bool:
    """A docstring, `...` or `pass`."""
    constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return constant or isinstance(statement, ast.Pass)


def _merged(values: Iterable[ast.expr]) -> list[ast.expr]:
    """The parts of an f-string; where its texts are cut, and whether empty ones are there, depends on the Python."""
    merged: list[ast.expr] = []
    for each in values:
        last = merged[-1] if merged else None
        if isinstance(each, ast.Constant) and isinstance(last, ast.Constant):
            merged[-1] = ast.Constant(f"{last.value}{each.value}")
        elif not (isinstance(each, ast.Constant) and each.value == ""):
            merged.append(each)
    return merged


def _imports(tree: ast.AST) -> Iterator[Import]:
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        waiting += ast.iter_child_nodes(node)
        match node:
            case ast.Import():
                yield from (Import(0, each.name) for each in node.names)
            case ast.ImportFrom():
                yield Import(node.level, node.module or "", tuple(each.name for each in node.names))
            case ast.Call(args=[ast.Constant(value=str(name)), *_]) if _is_importer(node.func):
                yield Import(len(name) - len(name.lstrip(".")), name.lstrip("."))


def _names(tree: ast.AST) -> Iterator[str]:
    texts = {each.value: None for each in ast.walk(tree) if isinstance(each, ast.Constant) and type(each.value) is str}
    yield from (text for text in texts if len(text) < LONGEST_NAME and NAME.fullmatch(text))


def _tables(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """The files in a folder that have one of these names, also in a folder below it that has one; no Python."""
    places = [folder, *(folder / name for name in names if (folder / name).is_dir())]
    for file in (place / name for place in places for name in names):
        if file.suffix != ".py" and file.is_file():
            yield file


def _hash_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:16]


def _is_importer(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in IMPORTERS


def _found(each: Import, file: Path, own: str) -> tuple[list[Path], set[str]]:
    """What an import in `file` leads to: files of one's own, and installed packages."""
    if each.level:
        folder = file.parents[each.level - 1]
        return [*_initial(folder), *_files_below([folder], _parts(each.module), each.names)], set()
    first, *rest = each.module.split(".")
    if first in sys.stdlib_module_names:
        return [], set()
    if first == PAGE:
        return _found_in_core(rest, each.names)
    places, alone = _places(first)
    installed = any(INSTALLED & set(place.parts) for place in places)
    if first != own and installed and version_of(first) is not None:
        return [], {first}
    if alone:
        return places, set()
    return [init for place in places for init in _initial(place)] + _files_below(places, rest, each.names), set()


def _found_in_core(parts: Sequence[str], names: tuple[str, ...]) -> tuple[list[Path], set[str]]:
    """The code behind the page is in every key, the packages it needs are not; a module named outright is code of one's
    own."""
    places = [Path(place) for place in workbench.__path__]
    homes = {page().get(name) for name in names} - {None} if not parts else set()
    packages = {package for home in homes for package in _packages_of(str(home))}
    names = tuple(name for name in names if parts or page().get(name) is None)
    return _files_below(places, parts, names), packages


@cache
def _packages_of(module: str) -> frozenset[str]:
    *_, file = _files_below([Path(place) for place in workbench.__path__], module.split(".")[1:], ())
    firsts = {each.module.partition(".")[0] for each in read_source(file.read_bytes()).imports}
    return frozenset(firsts - {PAGE, "__future__"} - sys.stdlib_module_names)


def _places(first: str) -> tuple[list[Path], bool]:
    """Where a top-level module lies: its folders, or the one file that it is, which is told by True."""
    try:
        specification = importlib.util.find_spec(first)
    except (ImportError, ValueError, AttributeError):  # made by hand, or half loaded
        return [], False
    if specification is None:
        return [], False
    if specification.submodule_search_locations is not None:
        return [Path(place) for place in specification.submodule_search_locations], False
    file = Path(specification.origin or "")
    return ([file], True) if file.is_file() else ([], False)


def _parts(module: str) -> list[str]:
    return module.split(".") if module else []


def _initial(folder: Path) -> list[Path]:
    file = folder / "__init__.py"
    return [file] if file.is_file() else []


def _files_below(places: Sequence[Path], parts: Sequence[str], names: Sequence[str]) -> list[Path]:
    """The files that are run when the module `parts` is imported from one of these folders, and from it `names`, which
    may be modules as well."""
    if not parts:
        return [file for name in names for file in _files_below(places, [name], ())]
    first, *rest = parts
    for place in places:
        folder, file = place / first, place / f"{first}.py"
        if file.is_file() and not _initial(folder):
            return [file]
        if folder.is_dir():
            return [*_initial(folder), *_files_below([folder], rest, names)]
    return []
