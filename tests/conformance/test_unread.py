"""What a plugin may leave out is declared: a misspelt name is told, and a function stands for the defaults."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from tests.tiny import builtin_registry
from workbench.cli.display import show_plugins
from workbench.cli.scaffold import write_plugin
from workbench.config.component import Component
from workbench.config.component_files import files_of
from workbench.conformance.check_command import check_path
from workbench.conformance.unread import CONTRACTS, unread_names
from workbench.contracts.launcher import Launcher
from workbench.hookspecs import KINDS
from workbench.registry import Plugin, Registry, load_registry

PLUGIN = '''
from pathlib import Path
from workbench import Connector, Fusion, Launcher, Metric, hookimpl


class Misspelt(Fusion):
    """A fusion that changes nothing."""

    read_text = True
    package = ("numpy",)

    def __init__(self, vision, decoder, *, size: int = 1):
        super().__init__()

    def fuse_imputs(self, vision, inputs):
        """Scheme A, it seems."""
        return inputs

    def size_of(self):
        """A name of its own."""


class Begun(Connector):
    """A connector whose weights lie in a file."""

    packages = ("gymnasium",)

    def __init__(self, vision, text_width, *, start: Path):
        super().__init__()

    @classmethod
    def files(cls, options):
        return [options["start"]]


def made(vision, text_width, *, start: Path):
    """The same by a function."""
    return Begun(vision, text_width, start=start)


made.files = lambda options: [options["start"]]
made.packages = ("gymnasium",)


class Elsewhere(Launcher):
    """A launcher that is not asked for."""


def usually():
    """A launcher by a function."""
    return Elsewhere()


usually.usual = True


@hookimpl
def register_fusions(register):
    register("misspelt", Misspelt)


@hookimpl
def register_connectors(register):
    register("begun", Begun)
    register("made", made)


@hookimpl
def register_launchers(register):
    register("usually", usually)
'''


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("unread") / "mine.py"
    file.write_text(PLUGIN)
    return file


@pytest.fixture(scope="module")
def registry(file: Path) -> Registry:
    return load_registry([file])


def test_names_close_to_optional_ones_of_the_contract_are_told(registry):
    told = unread_names(registry.plugin("fusion", "misspelt"))
    for name, meant in (("fuse_imputs", "fuse_inputs"), ("package", "packages"), ("read_text", "reads_text")):
        assert f"`{name}` of the fusion 'misspelt' is no name of its contract. Did you mean `{meant}`?" in told
    assert len(told) == 3, "a name of its own is its own"


def test_a_name_is_no_misspelling_of_one_that_the_class_has_as_well():
    class Both(CONTRACTS["fusion"]):
        reads_text = True
        read_text = "a name of its own"

    assert unread_names(Plugin("fusion", "both", Both, __name__, "both.py")) == []


def test_nothing_is_told_of_the_plugins_that_come_along_and_of_new_ones(tmp_path):
    for kind in KINDS:
        write_plugin(kind, f"new_{kind}", tmp_path)
    registry = load_registry([tmp_path])
    assert len(registry.plugins()) == len(builtin_registry().plugins()) + len(KINDS)
    assert [told for plugin in registry.plugins() for told in unread_names(plugin)] == []


def test_it_is_told_where_plugins_are_listed_and_where_they_are_checked(file, registry):
    listed, checked = (Console(file=io.StringIO(), width=1000) for _ in range(2))
    show_plugins(listed, registry, "fusion")
    check_path(file, "fusion", checked)
    for console in (listed, checked):
        assert console.file.getvalue().count("Did you mean `fuse_inputs`?") == 1  # pyright: ignore


def test_what_a_class_says_of_its_files_and_packages_is_read(registry, tmp_path):
    component = Component("connector", "begun", {"start": Path("weights")}, tmp_path)
    assert files_of(component, registry) == (tmp_path / "weights",)
    assert "gymnasium" in registry.plugin("connector", "begun").packages
    assert unread_names(registry.plugin("connector", "begun")) == []


def test_a_function_stands_for_the_defaults_and_what_hangs_on_it_is_told(registry, tmp_path):
    component = Component("connector", "made", {"start": Path("weights")}, tmp_path)
    assert files_of(component, registry) == ()
    assert "gymnasium" not in registry.plugin("connector", "made").packages
    told = unread_names(registry.plugin("connector", "made"))
    assert [each.split("`")[1] for each in told] == ["packages", "files"]
    assert all("is asked of a class derived from `Connector`" in each for each in told)


def test_a_launcher_by_a_function_is_never_the_usual_one(registry):
    for known in (registry, builtin_registry()):
        assert len([plugin for plugin in known.plugins("launcher") if plugin.declared(Launcher).usual]) == 1
    assert [each.split("`")[1] for each in unread_names(registry.plugin("launcher", "usually"))] == ["usual"]


def test_every_kind_has_its_contract():
    assert set(CONTRACTS) == set(KINDS)
