"""The workbench works as a wheel, editable and uninstalled, from any folder, even one with `plugins/` of its own."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("workbench", "plugins", "pyproject.toml", "README.md", "LICENSE")
IGNORED = shutil.ignore_patterns("__pycache__", "*.egg-info")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RUN_TIME, EXTRAS = PROJECT["dependencies"], PROJECT["optional-dependencies"]

LIST = """
import pathlib, workbench
from workbench.registry import load_registry

registry = load_registry()
assert not registry.failures, registry.failures
print(pathlib.Path(workbench.__file__).parent)
for plugin in registry.plugins():
    print(plugin.source)
"""


def built_in_files() -> set[str]:
    return {file.relative_to(ROOT).as_posix() for file in ROOT.glob("plugins/*/*.py") if file.name[0] != "_"}


def run(*command: str | Path, folder: Path, **environment: str) -> str:
    """The output of a command that ends well. Nothing of this test's own import path reaches it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COVERAGE"))}
    done = subprocess.run(
        [str(each) for each in command],
        cwd=folder,
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def listed(python: str | Path, folder: Path, **environment: str) -> tuple[Path, set[str]]:
    """Where the workbench was imported from, and the files of the plugins it lists."""
    place, *sources = run(python, "-c", LIST, folder=folder, **environment).split("\n")
    return Path(place), set(filter(None, sources))


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """A copy of what is packaged, so that nothing is built in the checkout."""
    folder = tmp_path_factory.mktemp("sources")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, ignore=IGNORED)
        elif (ROOT / part).exists():
            shutil.copy(ROOT / part, folder / part)
    return folder


@pytest.fixture(scope="module")
def wheel(sources) -> Path:
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", sources / "dist", ".", folder=sources)
    [file] = (sources / "dist").glob("*.whl")
    return file


@pytest.fixture
def environment(tmp_path) -> Path:
    """An environment that has this one's packages but no workbench; its Python."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "environment", folder=tmp_path)
    [packages] = (tmp_path / "environment/lib").glob("python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return tmp_path / "environment/bin/python"


@pytest.fixture
def elsewhere(tmp_path) -> Path:
    """A folder with a `plugins` package of its own, which nobody may mistake for the built-in plugins."""
    folder = tmp_path / "elsewhere"
    (folder / "plugins/encoders").mkdir(parents=True)
    for file in ("plugins/__init__.py", "plugins/encoders/__init__.py", "plugins/encoders/vit.py"):
        (folder / file).write_text("raise AssertionError('imported')")
    return folder


def install(python: Path, folder: Path, *what: str | Path) -> None:
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        *what,
        folder=folder,
    )


def test_the_wheel_holds_every_file_of_core_and_plugins_and_nothing_else(wheel, sources):
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    core = {file.relative_to(sources).as_posix() for file in sources.glob("workbench/**/*") if file.is_file()}
    plugins = {f"workbench/{name}" for name in built_in_files()}
    shared = {f"workbench/{file.relative_to(ROOT).as_posix()}" for file in ROOT.glob("plugins/**/_*.py")}
    assert packed == core | plugins | shared


def test_the_wheel_works_in_a_clean_environment_from_another_folder(wheel, environment, elsewhere):
    install(environment, elsewhere, wheel)
    place, found = listed(environment, elsewhere)
    assert place.is_relative_to(environment.parents[1])
    assert found == built_in_files()
    shown = run(environment.with_name("workbench"), "--help", folder=elsewhere)
    assert "plugins" in shown


def test_the_wheel_works_in_the_folder_of_a_checkout_that_is_not_installed(wheel, environment, sources):
    install(environment, sources, wheel)
    shown = run(environment.with_name("workbench"), "plugins", "metric", folder=sources, COLUMNS="300")
    assert "vqa_accuracy" in shown
    assert f"not loaded: {sources / 'plugins'}: it belongs to another copy of the workbench" in shown


def test_an_editable_install_works_from_another_folder(sources, environment, elsewhere):
    install(environment, elsewhere, "--no-build-isolation", "--editable", sources)
    place, found = listed(environment, elsewhere)
    assert place == sources / "workbench"
    assert found == built_in_files()


def test_a_checkout_works_without_being_installed(elsewhere):
    place, found = listed(sys.executable, elsewhere, PYTHONPATH=str(ROOT))
    assert place == ROOT / "workbench"
    assert found == built_in_files()


def bounds(requirements: Sequence[str]) -> dict[str, str]:
    """The lowest version of each distribution, all that a requirement here says."""
    parts = (each.split(">=") for each in requirements)
    return {name.partition("[")[0].lower(): bound for name, bound in parts}  # `pyright[nodejs]` is pyright


@cache
def imported_packages() -> dict[str, Path]:
    """The distributions that core and plugins import, and a file that does."""
    distributions = {"PIL": "pillow", "yaml": "pyyaml", "mlflow": "mlflow-skinny"}
    distributions |= {"rouge_score": "rouge-score", "triton": "torch"}  # its builds for GPUs bring triton along
    distributions |= {"pydantic_core": "pydantic"}  # which is its other half, each of one version with it
    found = {}
    for file in [*ROOT.glob("workbench/**/*.py"), *ROOT.glob("plugins/**/*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            for name in {each.partition(".")[0] for each in names} - set(sys.stdlib_module_names) - {"workbench"}:
                found[distributions.get(name, name).lower()] = file
    return found


def test_every_dependency_that_is_imported_is_declared():
    declared = {name for group in (RUN_TIME, *EXTRAS.values()) for name in bounds(group)}
    assert {name: file for name, file in imported_packages().items() if name not in declared} == {}


def test_every_dependency_at_run_time_is_imported():
    read_only = {"easy-vqa"}  # its files
    assert set(bounds(RUN_TIME)) - read_only <= set(imported_packages())


def test_the_lowest_versions_that_are_promised_are_those_that_are_tested():
    promised = {f"{name}=={bound}" for group in (RUN_TIME, *EXTRAS.values()) for name, bound in bounds(group).items()}
    lines = (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
    tested = [line for line in lines if not line.startswith("#")]
    assert tested == sorted(promised)
