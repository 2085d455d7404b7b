"""A new plugin works as it stands, and writing one overwrites nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.cli.scaffold import write_plugin
from workbench.conformance import check
from workbench.errors import UserError
from workbench.hookspecs import KINDS
from workbench.registry import load_registry


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_keeps_every_rule_of_its_kind(tmp_path, kind):
    plugin, test = write_plugin(kind, "late-glance", tmp_path / "plugins")
    assert (plugin.name, test.name) == ("late_glance.py", "test_late_glance.py")
    registry = load_registry([tmp_path / "plugins"])
    assert registry.failures == []
    assert registry.plugin(kind, "late-glance").source == str(plugin.resolve())
    assert registry.plugin(kind, "late-glance").factory.__name__.startswith("LateGlance")
    assert registry.plugin(kind, "late-glance").options
    assert [finding for finding in check(registry, kind, "late-glance") if not finding.passed] == []


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_the_template_is_left_in_a_new_plugin(tmp_path, kind):
    for file in write_plugin(kind, "glance", tmp_path):
        text = file.read_text().lower()
        assert "new_" not in text.replace("new_cache", "")
        assert "newplugin" not in text


def test_the_test_of_a_new_plugin_passes_and_fails_with_it(tmp_path):
    plugin, test = write_plugin("metric", "glance", tmp_path)
    broken = plugin.read_text().replace("float(self", "-float(self")
    twice = f"""
import pathlib, pytest
command = ["-q", "-p", "no:cacheprovider", {test.name!r}]
assert pytest.main(command) == 0
pathlib.Path({plugin.name!r}).write_text({broken!r})
print("broken")
assert pytest.main(command) == 1
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", twice]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "perfect answers get the best value" in done.stdout.partition("broken\n")[2]


def test_plugins_of_all_kinds_fit_into_one_folder(tmp_path):
    for kind in KINDS:
        write_plugin(kind, f"my_{kind}", tmp_path)
    registry = load_registry([tmp_path])
    assert registry.failures == []
    assert all(registry.plugin(kind, f"my_{kind}") for kind in KINDS)


def test_a_folder_sorted_by_kinds_stays_sorted(tmp_path):
    (tmp_path / "encoders").mkdir()
    (tmp_path / "fusion").mkdir()
    assert write_plugin("encoder", "mine", tmp_path)[0] == tmp_path / "encoders" / "mine.py"
    assert write_plugin("fusion", "mine", tmp_path)[0] == tmp_path / "fusion" / "mine.py"


def test_a_name_that_is_taken_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(UserError, match="already a fusion 'gated', in plugins/fusion/gated.py"):
        write_plugin("fusion", "gated", tmp_path / "plugins")
    assert not (tmp_path / "plugins").exists()


@pytest.mark.parametrize("existing", ["mine.py", "test_mine.py"])
def test_a_file_that_is_there_is_left_as_it_is(tmp_path, existing):
    (tmp_path / existing).write_text("# mine")
    with pytest.raises(UserError, match=f"{existing} is already there"):
        write_plugin("fusion", "mine", tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [existing]
    assert (tmp_path / existing).read_text() == "# mine"


@pytest.mark.parametrize("name", ["", "two words", "1st", "_mine", "../mine", "test_mine", "conftest"])
def test_a_name_that_could_not_be_used_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="cannot name a plugin"):
        write_plugin("fusion", name, tmp_path)


def test_an_unknown_kind_is_answered_with_the_nearest_one(tmp_path):
    with pytest.raises(UserError, match="Did you mean 'adapter'"):
        write_plugin("adaptor", "mine", tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write to"):
        write_plugin("fusion", "mine", tmp_path / "file" / "plugins")
