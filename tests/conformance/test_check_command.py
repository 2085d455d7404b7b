"""`workbench check` tries the plugins of a file, a folder or an experiment, and says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from tests.conformance.broken_metric import RULE, experiment, plugin
from tests.small import PLUGINS, CommandLine
from tests.tiny import builtin_registry
from workbench.conformance import check_path
from workbench.errors import UserError

GOOD = """
from workbench import Metric, hookimpl

class Always(Metric):
    def scores(self, predictions):
        return [float(each.answer in each.example.answers) for each in predictions]

@hookimpl
def register_metrics(register):
    register("always", Always)
"""


@pytest.fixture
def workbench(tmp_path, monkeypatch, capsys) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


def shown(path, kind=None) -> tuple[bool, str]:
    console = Console(width=200, record=True)
    kept = check_path(path, kind, console)
    return kept, console.export_text()


def test_a_users_file_is_checked_and_what_is_wrong_is_told(tmp_path):
    file = tmp_path / "always.py"
    file.write_text(GOOD)
    kept, text = shown(file)
    assert (kept, text.strip()) == (True, "metric always: 9 of 9 rules kept")
    file.write_text(GOOD.replace("float(", "-float("))
    kept, text = shown(tmp_path)
    assert not kept
    assert "metric always: 8 of 9 rules kept" in text
    assert "perfect answers get the best value: perfect answers get [-1.0" in text


def test_a_plugin_that_is_not_loaded_fails_the_check(tmp_path):
    (tmp_path / "broken.py").write_text("import a_package_nobody_has")
    kept, text = shown(tmp_path)
    assert not kept
    assert "a_package_nobody_has" in text


def test_a_plugin_that_needs_an_option_is_left_to_its_own_test(tmp_path):
    (tmp_path / "always.py").write_text(
        GOOD.replace("    def scores", "    def __init__(self, *, path: str): ...\n\n    def scores")
    )
    kept, text = shown(tmp_path)
    assert kept
    assert "not checked, since it needs path" in text


def test_the_built_in_plugins_of_a_kind_can_be_checked():
    kept, text = shown(None, "metric")
    assert kept
    assert text.count("rules kept") == len(builtin_registry().plugins("metric"))


def test_a_built_in_plugin_can_be_checked_by_its_file():
    kept, text = shown(Path(__file__).parents[2] / "plugins/metrics/loss.py")
    assert (kept, text.strip()) == (True, "metric loss: 9 of 9 rules kept")


def test_nothing_to_check_is_the_users_mistake(tmp_path):
    with pytest.raises(UserError, match="no plugin in"):
        shown(tmp_path)
    with pytest.raises(UserError, match="Did you mean 'fusion'"):
        shown(tmp_path, "fusions")


def test_an_experiment_is_checked_with_the_options_of_its_trials(workbench):
    plugin(workbench.folder)
    file = experiment(workbench.folder)
    told = workbench("check", file, "--plugins", PLUGINS)
    assert told.code == 1
    assert "dataset squares(images=16): 10 of 10 rules kept" in told.output
    assert f"metric mine(share=2, folder=null): 8 of 9 rules kept\n  {RULE}: " in told.output
    told = workbench("check", file, "--plugins", PLUGINS, "--set", "metrics=[mine]", "--kind", "metric")
    assert (told.code, told.output) == (0, "metric mine(share=1, folder=null): 9 of 9 rules kept\n")


def test_options_are_set_for_a_check(workbench):
    plugin(workbench.folder)
    assert workbench("check", "plugins").code == 0
    told = workbench("check", "plugins", "--set", "metric.share=2")
    assert told.code == 1
    assert RULE in told.output


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("metric.shares=2", "no metric there has such an option. Did you mean 'share'?"),
        ("metrics.share=2", "Did you mean 'metric'?"),
        ("metric.share=two", "does not fit mine.share (float)"),
        ("metric=mine", "give an option, as --set metric.OPTION=value"),
        ("metric.share", "this is no setting"),
    ],
)
def test_a_setting_that_does_not_fit_is_told(workbench, setting, told):
    plugin(workbench.folder)
    ended = workbench("check", "plugins", "--set", setting)
    assert ended.code == 2
    assert told in ended.errors
