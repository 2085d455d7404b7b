"""The documentation of plugins agrees with the code: every hook, every method, and an example that works."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

from workbench import hookspecs
from workbench.cli.scaffold import write_plugin
from workbench.config.experiment import load_experiment, plugin_folders
from workbench.conformance import check
from workbench.hookspecs import KINDS, hook_name
from workbench.registry import load_registry

ROOT = Path(__file__).parents[1]
PLUGINS = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")


def section(kind: str) -> str:
    """The text under a kind's heading."""
    return PLUGINS.partition(f"## {hook_name(kind)}(")[2].partition("\n## ")[0]


def code(language: str) -> str:
    """The first block of code in that language."""
    found = re.search(rf"^```{language}\n(.*?)^```", PLUGINS, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def contract(kind: str) -> type:
    module = importlib.import_module(f"workbench.contracts.{kind}")
    return getattr(module, "".join(word.capitalize() for word in kind.split("_")))


def test_every_hook_has_a_section_headed_by_its_exact_signature():
    headings = re.findall(r"^## (register_.*)$", PLUGINS, re.MULTILINE)
    hooks = [getattr(hookspecs, hook_name(kind)) for kind in KINDS]
    assert headings == [f"{hook.__name__}{inspect.signature(hook)}".replace("'", "") for hook in hooks]


@pytest.mark.parametrize("kind", KINDS)
def test_a_section_gives_the_factory_as_the_contract_does(kind):
    [factory] = re.findall(r"Factory: `(.+?)`", section(kind))
    assert factory in inspect.getsource(contract(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_a_section_names_every_method_of_the_contract_and_no_other(kind):
    own = {name for name in vars(contract(kind)) if not name.startswith("_")}
    rows = re.findall(r"^\| (`.*?) \|", section(kind), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)[(`]", row)}
    assert named == own - {"kind", "reads_text", "shape", "image_size", "tokenizer", "bits"}


def test_the_example_is_what_the_scaffold_writes(tmp_path):
    plugin, _ = write_plugin("fusion", "glance", tmp_path)
    assert code("python") == plugin.read_text()


def test_the_example_keeps_every_rule_and_its_experiment_is_accepted(tmp_path):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins/glance.py").write_text(code("python"))
    (tmp_path / "glance.yaml").write_text(code("yaml"))
    registry = load_registry([tmp_path / "plugins"])
    assert [finding for finding in check(registry, "fusion", "glance") if not finding.passed] == []
    experiment = load_experiment(tmp_path / "glance.yaml", registry)
    assert len(experiment.trials) == 4


@pytest.mark.parametrize("page", sorted(file.relative_to(ROOT).as_posix() for file in ROOT.glob("docs/*.md")))
def test_every_link_to_a_file_leads_somewhere(page):
    file = ROOT / page
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose):
        if "://" not in link:
            assert (file.parent / link).exists(), link


@pytest.mark.parametrize(
    "file", sorted(each.relative_to(ROOT).as_posix() for each in ROOT.glob("experiments/**/*.yaml"))
)
def test_every_experiment_that_comes_along_is_accepted(file):
    registry = load_registry(plugin_folders(ROOT / file, ()))
    assert load_experiment(ROOT / file, registry).trials
