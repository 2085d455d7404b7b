"""What code is: another constant makes it other code, another comment does not, and what it imports belongs to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.code_hashes.sources import Code, Import, read_source, version_of

BEFORE = '''\
"""What the module is for."""

from typing import Annotated

RATE = 0.5


class Part:
    """A part."""

    size: Annotated[int, "> 0"] = 3
    """Its size."""
    scale: Annotated[float, Field(gt=0, description="what it is multiplied by")] = 1.0

    def __init__(self, *, depth: int = 1, **more):
        # Why it is so.
        self.depth = {"depth": depth, **more}

    def empty(self):
        """Nothing."""
        pass
'''


def hash_of(text: str) -> str:
    return read_source(text.encode()).hash


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""What the module is for."""\n', ""),
        ('    """A part."""\n', '    """Another part,\n    in two lines."""\n'),
        ('    """Its size."""\n', ""),
        ("# Why it is so.", "# Why it is not so."),
        ('        """Nothing."""\n        pass\n', '        """Nothing."""\n'),
        ('        """Nothing."""\n        pass\n', "        ...\n"),
        ("RATE = 0.5\n", "RATE = (\n    0.50\n)\n"),
        ("*, depth: int = 1, **more", "\n        *,\n        depth: int = 1,\n        **more,\n    "),
        ('"depth"', "'depth'"),
        ('"what it is multiplied by"', '"the factor"'),
        (', description="what it is multiplied by"', ""),
    ],
)
def test_comments_docstrings_meanings_and_layout_change_no_hash(old, new):
    assert old in BEFORE
    assert hash_of(BEFORE.replace(old, new)) == hash_of(BEFORE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("gt=0", "ge=0"),
        ("Field(gt=0, description=", "Meant(gt=0, description="),
        ("0.5", "0.25"),
        ("depth: int = 1", "depth: int = 2"),
        ("depth: int = 1", "depth: float = 1"),
        ("depth: int = 1", "depth: int = True"),
        ("depth: int = 1", "depth: int = 1.0"),
        ("depth: int = 1", "depth: int"),
        ("= 3\n", "= None\n"),
        ("> 0", ">= 0"),
        ("*, depth", "depth"),
        ("**more}", '"more": more}'),
        ("self.depth", "self.deep"),
        ("pass", "return 1"),
        ("class Part:", "class Part(object):"),
        ("RATE = 0.5\n", ""),
    ],
)
def test_whatever_says_something_changes_the_hash(old, new):
    assert old in BEFORE
    assert hash_of(BEFORE.replace(old, new)) != hash_of(BEFORE)


def test_the_hash_is_the_same_under_every_python():
    """These are of Python 3.11, 3.12 and 3.13; one that gave others would call all results stale."""
    text = (
        'x = f"{a!r:>{width}} and {{b}} {c:{{d}}}" "e"\n\n\nasync def f(a, /, b: int = 1, *c, d=None, **e) -> None:\n'
    )
    text += "    match a:\n        case {'k': [1, *_], **rest} if rest:\n            return [y async for y in c]\n"
    text += "type_ = '\u00fc\U0001fae9'\n"
    assert (hash_of(BEFORE), hash_of(text)) == ("655dae2258218303", "8a0f4b076386108a")


def test_where_an_fstring_is_cut_does_not_count():
    assert hash_of('f"a{x}" "b" f"c"') == hash_of('f"a{x}bc"') != hash_of('f"a{x}bd"')


def test_what_is_no_python_counts_by_its_bytes():
    assert hash_of("no python (") != hash_of("no python  (")


def test_imports_are_found_wherever_they_stand_but_those_for_type_checkers():
    text = """
import a.b, c as d
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import unseen
else:
    from . import e
def late():
    try:
        from ..f.g import h
    except ImportError:
        import importlib
        importlib.import_module("i.j")
        importlib.import_module(".k", __package__)
"""
    expected = {Import(0, "a.b"), Import(0, "c"), Import(1, "", ("e",)), Import(2, "f.g", ("h",)), Import(0, "i.j")}
    expected |= {Import(1, "k"), Import(0, "typing", ("TYPE_CHECKING",)), Import(0, "importlib")}
    assert set(read_source(text.encode()).imports) == expected


@pytest.fixture
def mine(tmp_path, monkeypatch) -> Path:
    """Plugins of one's own that use a neighbour, a sub-folder, a module elsewhere, and a built-in plugin."""
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    files = {
        "mine/plugin.py": "from .neighbour import A\nfrom .below.deep import B\nimport my_tools.sub as C\n"
        "def late():\n    from my_single import D\n    from workbench.plugins.fusion.gated import Gated\n",
        "mine/neighbour.py": "A = 1\n",
        "mine/below/__init__.py": "ROOT = 1\n",
        "mine/below/deep.py": "from . import other\nB = 1\n",
        "mine/below/other.py": "OTHER = 1\n",
        "mine/unused.py": "UNUSED = 1\n",
        "mine/_shared.py": "SHARED = 1\n",
        "elsewhere/my_tools/__init__.py": "TOOLS = 1\n",
        "elsewhere/my_tools/sub.py": "import my_tools.further\nSUB = 1\n",
        "elsewhere/my_tools/further.py": "FURTHER = 1\n",
        "elsewhere/my_single.py": "D = 1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def code_hash(folder: Path) -> str:
    return Code(folder / "mine/plugin.py", "workbench.external.f0.plugin").hash


USED = ["mine/neighbour.py", "mine/below/__init__.py", "mine/below/deep.py", "mine/below/other.py", "mine/_shared.py"]
USED += [f"elsewhere/{name}.py" for name in ("my_tools/__init__", "my_tools/sub", "my_tools/further", "my_single")]


@pytest.mark.parametrize("file", USED)
def test_a_change_in_whatever_a_plugin_imports_changes_its_hash(mine, file):
    before = code_hash(mine)
    (mine / file).write_text((mine / file).read_text().replace("1", "2"))
    assert code_hash(mine) != before


def test_a_file_that_a_plugin_does_not_import_changes_nothing(mine):
    before = code_hash(mine)
    (mine / "mine/unused.py").write_text("UNUSED = 2\n")
    (mine / "mine/neighbour.py").write_text("A = 1  # still\n")
    assert code_hash(mine) == before


TABLES = {
    "beside": ("table.json", 'TABLE = (Path(__file__).parent / "table.json").read_text()\n'),
    "below, in one text": ("data/words.txt", 'open(os.path.join(HERE, "data/words.txt"))\n'),
    "below, in parts": ("data/words.txt", 'Path(__file__).parent / "data" / "words.txt"\n'),
}


@pytest.mark.parametrize("where", TABLES)
def test_a_table_that_lies_beside_the_code_and_is_named_in_it_counts(mine, where):
    name, code = TABLES[where]
    table, neighbour = mine / "mine" / name, mine / "mine/neighbour.py"
    table.parent.mkdir(exist_ok=True)
    table.write_text("1")
    unnamed = code_hash(mine)
    table.write_text("2")
    assert code_hash(mine) == unnamed
    neighbour.write_text(neighbour.read_text() + code)
    before = code_hash(mine)
    table.write_text("3")
    assert code_hash(mine) != before


def test_a_plugin_that_builds_on_a_built_in_one_is_made_of_it_too(mine):
    before = code_hash(mine)
    plugin = mine / "mine/plugin.py"
    plugin.write_text(plugin.read_text().replace("fusion.gated import Gated", "fusion.cross_attention import Gated"))
    named = code_hash(mine)
    plugin.write_text(
        plugin.read_text().replace("    from workbench.plugins.fusion.cross_attention import Gated\n", "")
    )
    assert len({before, named, code_hash(mine)}) == 3


def test_the_same_sources_in_another_place_have_the_same_hash(mine, tmp_path_factory):
    before = code_hash(mine)
    moved = tmp_path_factory.mktemp("moved") / "there"
    (mine / "mine").rename(moved)
    assert Code(moved / "plugin.py", "workbench.external.f1.plugin").hash == before


def test_installed_packages_count_by_their_version_and_under_one_name(tmp_path):
    file = tmp_path / "plugin.py"
    file.write_text("import numpy\nimport json\ndef late():\n    from PIL import Image\n    import not_there_at_all\n")
    assert Code(file, "workbench.external.f0.plugin").packages == ("PIL", "numpy")
    assert version_of("PIL") == version_of("pillow") == __import__("PIL").__version__
    assert version_of("yaml") == __import__("yaml").__version__
    assert version_of("not_there_at_all") is None


def test_an_installed_plugins_own_package_is_code_and_no_version(tmp_path, monkeypatch):
    place = tmp_path / "site-packages"
    monkeypatch.syspath_prepend(place)
    files = {"mine/__init__.py": "", "mine/plugin.py": "from mine.core import A\n", "mine/core.py": "A = 1\n"}
    files["mine-1.0.dist-info/METADATA"] = "Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n"
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    before = Code(place / "mine/plugin.py", "mine.plugin")
    assert before.packages == () and before.hash
    (place / "mine/core.py").write_text("A = 2\n")
    assert Code(place / "mine/plugin.py", "mine.plugin").hash != before.hash
    other = tmp_path / "other.py"
    other.write_text("import mine\n")
    assert Code(other, "workbench.external.f0.other").packages == ("mine",)
