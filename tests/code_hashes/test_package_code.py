"""Nothing that makes a number is missing in the keys of stages: the imports of what does them are followed."""

from __future__ import annotations

import ast
import importlib.metadata
import shutil
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

from tests.small import load, small_registry
from workbench.code_hashes import package_code
from workbench.code_hashes.package_code import (
    ENCODING,
    EVALUATION,
    NO_NUMBER,
    PACKAGES,
    TRAINING,
    core_code,
    core_files,
)
from workbench.code_hashes.sources import page
from workbench.runs.stages import chain

ROOT = Path(__file__).parents[2]
MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in ROOT.glob("workbench/**/*.py")
    if "templates" not in file.parts
}
PLUGINS = sorted(ROOT.glob("plugins/*/*.py"))
# Kinds of plugins that take part in no stage.
OUTSIDE = ("launchers", "trackers")

# What does each sort of stage, and what plugins import by way of the page.
PAGE = tuple(sorted(set(page().values())))
ROOTS = {
    "features": ("workbench.runs.feature_stage", "workbench.runs.workplace", *PAGE),
    "training": ("workbench.runs.training_stage", "workbench.model.restore", "workbench.runs.workplace", *PAGE),
    "evaluation": ("workbench.runs.evaluation_stage", "workbench.model.restore", "workbench.runs.stage_work", *PAGE),
}
CODE = {"features": ENCODING, "training": TRAINING, "evaluation": EVALUATION}

# Modules that are reached and can change no number, and why.
NUMBERLESS = {
    "workbench": "the page itself: names, and where they come from",
    "workbench.checkpoints.small_layers": "small models for a plan to try",
    "workbench.checkpoints.small_likeness": "small models for a plan to try",
    "workbench.checkpoints.small_widths": "small models for a plan to try",
    "workbench.code_hashes": "says what lies in it",
    "workbench.config": "says what lies in it",
    "workbench.config.problems": "the words of mistakes in an experiment file",
    "workbench.config.validation_messages": "the words of mistakes, and labels",
    "workbench.contracts.launcher": "where work is done",
    "workbench.contracts.tracker": "who hears of it",
    "workbench.devices": "says what lies in it",
    "workbench.devices.cgroups": "limits of a container: where and when work is done",
    "workbench.devices.foreign_imports": "refuses plugins that change torch, and sets nothing",
    "workbench.devices.machine": "cores and memory: where and when work is done",
    "workbench.devices.process_state": "makes a process as it was before a stage",
    "workbench.devices.torch_switches": "looks at switches of torch and sets none",
    "workbench.discovery": "finds the files of plugins, whose code is in the key",
    "workbench.errors": "exceptions and suggestions",
    "workbench.hookspecs": "the names of hooks and kinds",
    "workbench.ingredient": "names the packages and files that keys hold",
    "workbench.options": "checks options; what they come to stands in the trial's spec",
    "workbench.code_hashes.package_code": "makes the keys: another way to make them gives other keys",
    "workbench.registry": "looks a plugin up by its exact name, and hands on the options of the spec",
    "workbench.runs": "says what lies in it",
    "workbench.runs.memo": "remembers what was made, as it was",
    "workbench.runs.provenance": "what a record says of the machine and the run",
    "workbench.runs.rank_processes": "starts the processes of a stage, and ends them",
    "workbench.runs.same_run": "compares a machine with the keys, and refuses it",
    "workbench.runs.stage_keys": "makes the keys: another way to make them gives other keys",
    "workbench.runs.stage_work": "takes a stage and hands it to the module that does it",
    "workbench.runs.stages": "makes the keys of a chain, and the settings in them",
    "workbench.runs.trial_record": "writes the numbers of an evaluation down as they are given",
    "workbench.code_hashes.sources": "hashes code: another way to do it gives other keys",
    "workbench.storage": "says what lies in it",
    "workbench.storage.cache": "where files lie that can be made again",
    "workbench.storage.chosen_store": "where stages lie",
    "workbench.storage.fsspec_store": "brings files as they are, compared with their checksums",
    "workbench.storage.remote_claims": "which run makes a stage",
    "workbench.storage.remote_files": "brings files as they are",
    "workbench.storage.run_claims": "which run makes a stage",
    "workbench.storage.stage_summary": "whether the files of a stage are those that were written",
    "workbench.storage.store": "where stages lie",
    "workbench.storage.claims": "whether a worker may still keep what it made",
    "workbench.storage.checksums": "whether a file is the one that was written",
    "workbench.storage.atomic": "writes what it is given, whole or not at all",
    "workbench.storage.experiment_summary": "what an experiment asked, beside its trials",
    "workbench.storage.locks": "who converts a file, and whether a run lives",
    "workbench.renamed": "names that an earlier version had, for messages",
    "workbench.storage.older_records": "names: what an earlier version wrote is read under those of this one",
    "workbench.storage.record_outline": "whether a record is there already",
    "workbench.storage.whole_trials": "whether a record is there already, and as it was written",
    "workbench.storage.records": "writes the numbers of a record as they are given",
    "workbench.storage.result_files": "the names of files, and what is damaged in them",
    "workbench.workers": "says what lies in it",
    "workbench.workers.ending": "when a stage ends before it is done, which leaves no number",
    "workbench.workers.failure": "the words of failures",
    "workbench.workers.line": "how a worker is reached",
    "workbench.workers.members": "how a worker is reached",
    "workbench.workers.messages": "how a worker is reached",
    "workbench.workers.remote": "how a worker is reached",
    "workbench.workers.worker": "carries jobs to a process and news back",
}
# The same of packages.
NUMBERLESS_PACKAGES = {
    "fsspec": "fetches files, which are compared with their checksums",
    "huggingface_hub": "fetches files, which count by their content",
    "lazy_loader": "imports the names of the page when they are first asked for",
    "pandas": "data frames of a report, which is made anew each time",
    "pluggy": "calls hooks",
    "psutil": "asks the machine for its memory and processes",
    "pydantic_core": "reads JSON, as Python's own module does",
    "pydantic": "checks settings and options, which stand in the trial's spec",
    "transformers": "counts with the plugins that use it",
}


@cache
def imported(file: Path) -> frozenset[str]:
    """Every module that a file imports when it runs, wherever in it; of `from a import b` both a and a.b."""
    found: set[str] = set()

    def look(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.update([str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)])
        for child in ast.iter_child_nodes(node):
            look(child)

    look(ast.parse(file.read_text(encoding="utf-8")))
    return frozenset(found | {package for module in found for package in packages_above(module)})


def packages_above(module: str) -> set[str]:
    """The packages whose `__init__` runs before a module does."""
    parts = module.split(".")
    return {".".join(parts[:length]) for length in range(1, len(parts))}


def closure(roots: Iterable[str]) -> set[str]:
    """The modules of the core that these import, and what those import, and so on. The names of the page lead on by
    ROOTS."""
    reached, waiting = set(), list(roots)
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting += imported(MODULES[module]) & set(MODULES)
    return reached


def modules_of(ingredients: tuple[str, ...]) -> set[str]:
    """The modules in these folders and files."""
    return {name for name, file in MODULES.items() if file in set(core_files(ingredients))}


@pytest.mark.parametrize("sort", ROOTS)
def test_every_module_that_makes_a_number_of_a_stage_is_in_its_key(sort):
    in_key = modules_of(CODE[sort])
    assert closure(ROOTS[sort]) - in_key - set(NUMBERLESS) == set()


def test_the_list_of_modules_without_numbers_names_none_that_is_in_a_key_or_is_not_reached():
    in_key = modules_of(EVALUATION)
    assert set(NUMBERLESS) & in_key == set()
    assert set(NUMBERLESS) <= closure(ROOTS["evaluation"])
    assert in_key <= closure(ROOTS["evaluation"]), "a module that nothing reaches makes results stale for nothing"


def test_every_package_that_a_number_is_made_of_is_in_the_key():
    reached = {
        package.partition(".")[0] for name in closure(ROOTS["evaluation"]) for package in imported(MODULES[name])
    }
    reached -= {"workbench", "__future__", *sys.stdlib_module_names}
    assert reached == {*PACKAGES, *NUMBERLESS_PACKAGES}
    versions = {name.partition(":")[2] for name in core_code(EVALUATION) if name.startswith("version:")}
    assert versions == set(PACKAGES.values())
    assert set(NUMBERLESS_PACKAGES) >= NO_NUMBER


@pytest.mark.parametrize(
    "file", [file for file in PLUGINS if file.parent.name not in OUTSIDE], ids=lambda file: file.stem
)
def test_every_package_that_a_built_in_plugin_imports_is_in_the_key_of_what_it_takes_part_in(file):
    plugins = [each for each in small_registry().plugins() if each.source == file.relative_to(ROOT).as_posix()]
    own = {package.partition(".")[0] for package in imported(file)} - {"workbench", "__future__"}
    for plugin in plugins:
        missing = own - sys.stdlib_module_names - set(plugin.packages) - set(PACKAGES) - NO_NUMBER
        assert [name for name in missing if importlib.metadata.packages_distributions().get(name)] == []


def test_what_a_plugin_reads_through_the_page_counts_with_its_package():
    for kind in ("encoder", "language_model"):
        assert "transformers" in small_registry().plugin(kind, "huggingface").packages


def test_a_stage_has_the_version_of_each_package_that_its_plugins_import_and_of_those_within_them(tmp_path):
    parts = "base.dataset={name: mixture, parts: {one: squares, other: {name: huggingface_dataset, source: org/name}}}"
    experiment = load(tmp_path, "metrics=[bleu]", parts)
    training, evaluation = chain(experiment.trials[0], small_registry(), lambda trial: "data")
    assert "version:sacrebleu" in evaluation.made_of
    assert "version:sacrebleu" not in training.made_of
    assert "version:datasets" in training.made_of
    assert evaluation.made_of["version:scipy"] == importlib.metadata.version("scipy")


START = "from __future__ import annotations\n"  # of a file, behind its docstring


@pytest.fixture
def core(tmp_path, monkeypatch):
    """The code of an evaluation after a change of one file of a copy of the workbench."""
    here = shutil.copytree(package_code.HERE, tmp_path / "workbench", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(package_code, "HERE", here)

    def after(name: str, old: str, new: str) -> dict[str, str]:
        file = here / name
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        assert old in text
        file.write_text(text.replace(old, new, 1) if old else new, encoding="utf-8")
        for kept in (package_code._core_code, package_code._source_of):
            kept.cache_clear()
        return core_code(EVALUATION)

    yield after
    for kept in (package_code._core_code, package_code._source_of):
        kept.cache_clear()


def changed(before: dict[str, str], now: dict[str, str]) -> list[str]:
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("model/restore.py", START, f"{START}MORE = 1\n"),
        ("config/seeds.py", "[:7]", "[:6]"),
        ("evaluation/plain_text.txt", "harbour", "port"),
        ("training/another.py", "", "RATE = 2\n"),
    ],
)
def test_a_change_of_what_computes_is_told_by_its_file(core, name, old, new):
    assert changed(core_code(EVALUATION), core(name, old, new)) == [f"code:workbench/{name}"]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("model/restore.py", START, f"{START}# Why.\n"),
        ("training/loop.py", '"""', '"""In other words: '),
        ("config/phase.py", 'description="what the report calls it"', 'description="its name"'),
        (
            "contracts/tracker.py",
            "from __future__ import annotations\n",
            "from __future__ import annotations\nMORE = 1\n",
        ),
        ("runs/scheduler.py", START, f"{START}MORE = 1\n"),
        ("reports/page.py", START, f"{START}MORE = 1\n"),
    ],
)
def test_words_and_what_computes_nothing_make_nothing_anew(core, name, old, new):
    assert changed(core_code(EVALUATION), core(name, old, new)) == []
