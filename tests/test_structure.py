"""The core names no plugin, imports run one way, plugins import `workbench` only, and `--help` needs no torch."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.tiny import builtin_registry
from workbench.code_hashes.sources import page
from workbench.hookspecs import KINDS

ROOT = Path(__file__).parents[1]
CORE = sorted(file.relative_to(ROOT) for file in ROOT.glob("workbench/**/*.py") if "templates" not in file.parts)
PLUGINS = sorted(file.relative_to(ROOT) for file in ROOT.glob("plugins/*/*.py"))
PAGES = sorted(file.relative_to(ROOT) for file in ROOT.glob("workbench/reports/templates/*.html"))

# The house: what stands on what. A package or a module beside them imports from floors below its own alone.
FLOORS = (
    {"errors", "hookspecs", "ingredient", "renamed"},
    {"code_hashes", "devices", "discovery", "options", "statistics", "storage"},
    {"checkpoints", "layers", "registry"},
    {"config", "contracts"},
    {"data", "workers"},
    {"model", "reports"},
    {"conformance", "evaluation", "inference", "training"},
    {"runs", "verification"},
    {"cli"},
)
# Where the outside world enters, and the one exception that says so. Any other is there for somebody who catches it.
BORDERS = {
    "UserError": "the command line, and whatever has no border of its own: plugins, devices, options that do not fit",
    "ExperimentError": "the experiment file and what is set in it",
    "RegistryError": "plugins: which there are, and whether they can be used",
    "CompositionError": "plugins put together to one model",
    "CheckpointError": "what other people trained: weights, tokenizers, preprocessing, adapters",
    "DataError": "files that datasets and texts are read from",
    "ResultsError": "what runs and exports left on the disk",
    "ArtifactError": "stages that are kept for later ones",
    "StorageError": "the disk that is written to",
    "RenamedError": "plugins that were written for an earlier version",
}
BESIDE = {file.name for file in CORE if len(file.parts) == 2}
# A report is made from records alone.
OF_REPORTS = {"contracts", "errors", "registry", "reports", "statistics", "storage"}
MOST_MODULES, MOST_LINES, MOST_LINES_OF_A_FUNCTION = 10, 300, 40
# Words that mean something else as well: a loss of training, `reduction="none"`, `{folder}` in names of images, words
# of metrics' names that reports spell in capitals.
WORDS = {"bleu", "cider", "folder", "loss", "none"}


@cache
def tree(file: Path) -> ast.Module:
    """What a file is made of; nobody changes it."""
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


def imported(file: Path, typing: bool = True) -> set[str]:
    """Every module that a file imports anywhere in it; those for type checking alone only with `typing`."""
    found: set[str] = set()
    statements = tree(file).body
    if not typing:
        statements = [node for node in statements if "TYPE_CHECKING" not in ast.unparse(node).split("\n")[0]]
    for node in (inner for statement in statements for inner in ast.walk(statement)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def room_of(module: str) -> str:
    """The package in `workbench/` that a module lies in, or the module itself where it lies beside them."""
    return module.split(".")[1]


def floor_of(room: str) -> int:
    return next(number for number, floor in enumerate(FLOORS, start=1) if room in floor)


def rooms() -> set[str]:
    return {file.parts[1].removesuffix(".py") for file in CORE} - {"__init__"}


@pytest.mark.parametrize("file", CORE, ids=str)
def test_the_core_names_no_plugin(file):
    names = {plugin.name for plugin in builtin_registry().plugins()} - WORDS
    literals = {node.value for node in ast.walk(tree(file)) if isinstance(node, ast.Constant)}
    assert names.isdisjoint(literal for literal in literals if isinstance(literal, str))


@pytest.mark.parametrize("file", CORE, ids=str)
def test_the_core_imports_no_plugin(file):
    assert not [module for module in imported(file) if module.startswith(("plugins", "workbench.plugins"))]


def test_every_package_has_its_floor_and_every_floor_its_packages():
    assert rooms() == set().union(*FLOORS)
    assert sum(map(len, FLOORS)) == len(rooms()), "no package stands on two floors"
    assert len(FLOORS) <= 9


def test_the_drawing_of_the_house_shows_every_package_on_its_floor():
    drawing = (ROOT / "docs/floors.svg").read_text(encoding="utf-8")
    for number, floor in enumerate(FLOORS, start=1):
        drawn = drawing.partition(f'<g id="floor-{number}">')[2].partition("</g>")[0]
        packages = {room for room in floor if f"{room}.py" not in BESIDE}
        named = set(re.findall(r'class="package"[^>]*>(\w+)<', drawn))
        assert packages <= named <= floor
        assert all(room in drawn for room in floor)


@pytest.mark.parametrize("file", CORE, ids=str)
def test_the_core_imports_by_whole_names(file):
    """What is written from a dot on would pass by every rule here, and by that of the keys of stages."""
    assert not [node for node in ast.walk(tree(file)) if isinstance(node, ast.ImportFrom) and node.level]


@pytest.mark.parametrize("file", [*CORE, *PLUGINS], ids=str)
def test_a_file_and_a_function_can_be_read_at_a_sitting(file):
    assert len((ROOT / file).read_text(encoding="utf-8").splitlines()) <= MOST_LINES
    functions = [node for node in ast.walk(tree(file)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [each.name for each in functions if (each.end_lineno or 0) - each.lineno + 1 > MOST_LINES_OF_A_FUNCTION]
    assert long == []


def test_few_modules_lie_beside_the_packages_and_their_names_are_on_the_list():
    assert len(BESIDE) <= MOST_MODULES
    assert "registry.py" in BESIDE


@pytest.mark.parametrize("file", [file for file in CORE if len(file.parts) > 2 or file.stem != "__init__"], ids=str)
def test_imports_run_one_way(file):
    own = file.parts[1].removesuffix(".py")
    there = {room_of(module) for module in imported(file) if module.startswith("workbench.")} & rooms() - {own}
    assert {room for room in there if floor_of(room) >= floor_of(own)} == set()
    if own == "reports":
        assert there <= OF_REPORTS


@pytest.mark.parametrize("package", sorted(room for room in rooms() if (ROOT / "workbench" / room).is_dir()))
def test_a_package_says_what_lies_in_it_and_runs_nothing(package):
    if package == "conformance":  # its page is what a plugin's own test imports
        return
    [docstring] = tree(Path(f"workbench/{package}/__init__.py")).body
    assert isinstance(docstring, ast.Expr)
    assert ast.get_docstring(tree(Path(f"workbench/{package}/__init__.py")))


def test_no_two_modules_of_the_core_import_each_other():
    names = {".".join(file.with_suffix("").parts).removesuffix(".__init__"): file for file in CORE}
    graph = {
        # A module of a package may name the package to reach its neighbours.
        name: {other for other in imported(file) & set(names) if not f"{name}.".startswith(f"{other}.")}
        for name, file in names.items()
        if name != "workbench"
    }
    order = list(TopologicalSorter(graph).static_order())  # CycleError where there is a circle
    assert order.index("workbench.contracts.fusion") < order.index("workbench.model.build")
    assert order.index("workbench.model.build") < order.index("workbench.cli.main")


@pytest.mark.parametrize("file", PLUGINS, ids=str)
def test_a_plugin_imports_of_the_workbench_only_what_is_on_its_page(file):
    inner = {module for module in imported(file) if module.startswith("workbench.")}
    assert {module.removeprefix("workbench.") for module in inner} <= set(page())
    assert not any(module.startswith(("plugins", "workbench.plugins")) for module in imported(file))


def test_every_kind_has_a_folder_and_every_plugin_lies_in_that_of_its_kind():
    folders = {kind: {Path(plugin.source).parent.name for plugin in builtin_registry().plugins(kind)} for kind in KINDS}
    for kind, found in folders.items():
        assert len(found) == 1
        assert found <= {kind, f"{kind}s"}


@pytest.mark.parametrize("file", [*CORE, *PLUGINS], ids=str)
def test_no_checkpoint_or_yaml_can_run_code(file):
    for node in ast.walk(tree(file)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        called = ast.unparse(node.func)
        if called == "torch.load":
            assert {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}.get("weights_only") == "True"
        assert called not in ("yaml.load", "yaml.unsafe_load", "yaml.full_load", "pickle.load", "pickle.loads") or (
            "conformance" in file.parts
        )


def exceptions_of(files: list[Path]) -> list[str]:
    """The name of every class of exceptions that is defined there, as often as it is."""
    classes = [node for file in files for node in ast.walk(tree(file)) if isinstance(node, ast.ClassDef)]
    bases = {each.name: {ast.unparse(base).rpartition(".")[2] for base in each.bases} for each in classes}
    found: set[str] = set()
    while (
        new := {
            name
            for name, own in bases.items()
            if any(base in found or base.endswith(("Error", "Exception", "Exit", "Interrupt")) for base in own)
        }
        - found
    ):
        found |= new
    return sorted(each.name for each in classes if each.name in found)


def caught_by_name(files: list[Path]) -> set[str]:
    """The classes that `except` and `suppress` name, `isinstance` asks for, or whose name a record is compared with."""
    found: set[str] = set()
    for node in (node for file in files for node in ast.walk(tree(file))):
        match node:
            case ast.ExceptHandler(type=ast.expr() as asked):
                chosen = [asked]
            case ast.Call(func=ast.Name("isinstance"), args=[_, asked]):
                chosen = [asked]
            case ast.Call(func=ast.Name("suppress") | ast.Attribute(attr="suppress"), args=chosen):
                pass
            case ast.Compare(comparators=[ast.Attribute(attr="__name__") as asked]):
                chosen = [asked]
            case _:
                continue
        found |= {name.id for each in chosen for name in ast.walk(each) if isinstance(name, ast.Name)}
    return found


def test_every_exception_is_caught_by_its_name_or_is_the_one_of_a_border():
    defined = exceptions_of([*CORE, *PLUGINS])
    assert set(defined) - caught_by_name([*CORE, *PLUGINS]) - set(BORDERS) == set()
    assert set(BORDERS) <= set(defined)
    assert len(defined) == len(set(defined)), "two classes of one name"


def test_the_page_of_plugin_authors_offers_what_it_lists():
    import workbench

    assert sorted(page()) == sorted(workbench.__all__)  # pyright: ignore[reportAttributeAccessIssue]
    for name, module in page().items():
        assert getattr(workbench, name) is getattr(importlib.import_module(module), name)
    with pytest.raises(AttributeError, match="no attribute 'Fusions'"):
        workbench.Fusions  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    "statement",
    [
        "import workbench",
        "from workbench import hookimpl, UserError",
        "import workbench.cli.main",
        "import workbench.config.trial, workbench.errors, workbench.hookspecs",
        "import sys; sys.argv = ['workbench', '--help']; import workbench.cli.main\ntry: workbench.cli.main.main()\n"
        "except SystemExit: pass",
    ],
)
def test_the_command_line_answers_without_torch(statement):
    heavy = "{'torch', 'pandas', 'transformers', 'seaborn'}"
    text = f"{statement}\nimport sys; sys.exit(', '.join({heavy} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_plan_waits_for_no_library_that_only_training_or_a_report_needs():
    unwanted = "{'pandas', 'scipy', 'seaborn', 'transformers'}"
    text = f"import workbench.runs.planner, sys; sys.exit(', '.join({unwanted} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
