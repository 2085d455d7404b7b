"""Options say in a line what they mean, and that line changes nothing else about them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, PositiveInt
from rich.console import Console

from tests.small import PLUGINS, SMALL, CommandLine, write
from tests.tiny import builtin_registry
from workbench.cli.display import show_plugin
from workbench.cli.scaffold import write_plugin
from workbench.config.component import Checkpoint
from workbench.config.experiment import load_experiment
from workbench.config.phase import Share
from workbench.conformance import check
from workbench.contracts.dataset import Dataset
from workbench.hookspecs import KINDS
from workbench.options import Option, OptionError, check_signature, options_of
from workbench.registry import Plugin, load_registry

ROOT = Path(__file__).parents[1]
LONGEST = 100  # of a meaning, in characters: it stands in one line beside its option
MEANING = "what it is good for"
METRIC = """
from typing import Annotated
from pydantic import Field, PositiveInt
from workbench import Metric, hookimpl

class Words(Metric):
    "Shares of words."

    def __init__(self, *, words: WORDS = 1, case: bool = False):
        self.words = words

    def scores(self, predictions):
        return [float(each.answer in each.example.answers) for each in predictions]

@hookimpl
def register_metrics(register):
    register("words", Words)
"""
DESCRIBED = 'Annotated[PositiveInt, Field(description="words at the start")]'


def undescribed(plugin: Plugin) -> list[str]:
    """The options of a plugin without a line of meaning."""
    return [name for name, option in plugin.options.items() if not 0 < len(option.description) <= LONGEST]


@pytest.mark.parametrize("plugin", builtin_registry().plugins(), ids=lambda plugin: f"{plugin.kind} {plugin.name}")
def test_every_option_of_a_built_in_plugin_says_what_it_means(plugin):
    assert undescribed(plugin) == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_of_a_new_plugin_says_what_it_means(tmp_path, kind):
    write_plugin(kind, "glance", tmp_path)
    plugin = load_registry([tmp_path]).plugin(kind, "glance")
    assert plugin.options
    assert undescribed(plugin) == []


def test_every_option_of_a_plugin_for_benchmarks_says_what_it_means():
    registry = load_registry([ROOT / "benchmarks/plugins"])
    assert [undescribed(each) for each in registry.plugins() if "benchmarks" in each.source] == [[]]


def shown(plugin: Plugin, width: int) -> list[str]:
    """The lines about a plugin's options on a console of that width."""
    console = Console(file=io.StringIO(), width=width)
    show_plugin(console, plugin)
    text = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    return text.partition("\nOptions:\n")[2].partition("\nIn an experiment file:")[0].splitlines()


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize("plugin", builtin_registry().plugins(), ids=lambda plugin: f"{plugin.kind} {plugin.name}")
def test_the_meaning_of_every_option_is_shown_beside_it_within_the_width(plugin, width):
    lines = shown(plugin, width)
    assert all(len(line) <= width for line in lines)
    meanings = [option.description for option in plugin.options.values()]
    beside = [" ".join(line[column:].strip() for line in lines).split() for column in range(width)]
    assert " ".join(meanings).split() in beside, "in one column, and nothing else in it"


def test_the_command_shows_the_meaning_of_an_option(tmp_path, monkeypatch, capsys):
    told = CommandLine(tmp_path, monkeypatch, capsys)("plugins", "adapter", "lora")
    [line] = [line for line in told.output.splitlines() if line.startswith("  alpha: ")]
    assert line.startswith("  alpha: float > 0 = 16.0  ")
    assert line.endswith("  the update is scaled by alpha / rank")


def test_the_overview_stays_as_short_as_it_was(tmp_path, monkeypatch, capsys):
    told = CommandLine(tmp_path, monkeypatch, capsys)("plugins", "adapter")
    assert "alpha: float > 0 = 16.0" in told.output
    assert "scaled by" not in told.output


def test_a_plugin_whose_options_have_no_meaning_written_is_loaded_checked_and_shown(tmp_path):
    write(tmp_path, METRIC.replace("WORDS", "PositiveInt"), "words.py")
    registry = load_registry([tmp_path])
    assert registry.failures == []
    assert shown(registry.plugin("metric", "words"), 80) == ["  words: int > 0 = 1", "  case: bool = false"]
    assert [finding for finding in check(registry, "metric", "words") if not finding.passed] == []


def factory_with(annotation: Any) -> Any:
    """A factory with one option of that type."""

    def build(*, size): ...

    build.__annotations__ = {"size": annotation}
    return build


def option_of(annotation: Any) -> Option:
    return options_of(factory_with(annotation))["size"]


COUNT: Any = PositiveInt
TYPES = [
    int,
    COUNT,
    COUNT | None,
    Annotated[float, Field(ge=0, lt=1)],
    Share,
    bool,
    str,
    Path,
    Path | dict[str, Path],
    Checkpoint,
    Checkpoint | None,
    Literal["a", "b"],
    tuple[str, ...],
    dict[str, Annotated[float, Field(gt=0)]],
    dict[str, Dataset],
]
VALUES = [0, 1, -1, 0.5, True, None, "a", "", [], ["a"], {"a": 1}, {"a": "b"}, {}]


@pytest.mark.parametrize("annotation", TYPES, ids=str)
def test_a_meaning_changes_neither_the_type_that_is_shown_nor_what_is_accepted(annotation):
    plain, described = option_of(annotation), option_of(Annotated[annotation, Field(description=MEANING)])
    assert (plain.description, described.description) == ("", MEANING)
    assert (described.type_name, described.kind) == (plain.type_name, plain.kind)
    for value in VALUES:
        assert outcome(described, value) == outcome(plain, value)


def outcome(option: Option, value: Any) -> tuple[Any, type | str]:
    """The value that an option makes of one, or what it says against it."""
    try:
        checked = option.validate(value)
    except ValueError as error:
        return None, str(error)
    return checked, type(checked)


def test_limits_may_stand_beside_the_meaning_and_around_those_of_the_type():
    beside = option_of(Annotated[int, Field(ge=0, lt=64, description=MEANING)])
    assert (beside.type_name, beside.description) == ("int >= 0, < 64", MEANING)
    around = option_of(Annotated[PositiveInt, Field(lt=64, description=MEANING)])
    assert (around.type_name, around.description) == ("int > 0, < 64", MEANING)
    for option, bad in ((beside, -1), (beside, 64), (around, 0), (around, 64)):
        with pytest.raises(ValueError, match="should be"):
            option.validate(bad)


def test_of_two_meanings_that_of_the_option_counts_and_lines_are_joined():
    named = Annotated[int, Field(description="of the type")]
    assert option_of(named).description == "of the type"
    assert option_of(Annotated[named, Field(description="of\n    the option")]).description == "of the option"


def test_options_of_one_type_share_what_checks_them_whatever_they_mean():
    """To make a checker takes as long as many checks, and two Fields are never equal."""
    first, second = (option_of(Annotated[PositiveInt, Field(description=each)]) for each in ("one", "another"))
    assert first.annotation == second.annotation == PositiveInt
    assert hash(first.annotation) == hash(second.annotation)


def test_an_option_with_a_meaning_still_needs_a_type():
    with pytest.raises(OptionError, match="'size' has no type"):
        check_signature(factory_with(Annotated[Any, Field(description=MEANING)]), ())


def test_a_trial_is_the_same_whatever_its_options_mean(tmp_path):
    specs = []
    for name, words in (("plain", "PositiveInt"), ("described", DESCRIBED)):
        folder = tmp_path / name
        folder.mkdir()
        write(folder, METRIC.replace("WORDS", words), "words.py")
        file = write(folder, SMALL.replace("[vqa_accuracy, loss]", "[{name: words, words: 2}]"))
        registry = load_registry([PLUGINS, folder])
        [trial] = load_experiment(file, registry).trials
        specs.append((trial.id, trial.spec(), [each.spec() for each in trial.metrics]))
    assert specs[0] == specs[1]


@pytest.mark.parametrize("value", [10**30, -(10**30)])
def test_a_number_beyond_what_processors_count_is_no_option(value):
    option = Option("depth", int, 1, False)
    with pytest.raises(ValueError, match="no computer counts so far"):
        option.validate(value)
    assert option.validate(2**63 - 1) == 2**63 - 1
    with pytest.raises(ValueError, match="no computer counts so far"):
        Option("sizes", dict[str, tuple[int, ...]], None, False).validate({"a": [1, value]})
