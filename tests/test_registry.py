"""Plugins are found, named exactly, checked, and told apart; one that is broken stops only who asks for it."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, PositiveInt

from tests.processes import forked
from tests.tiny import builtin_registry
from workbench.cli.scaffold import write_plugin
from workbench.config.experiment import plugin_folders
from workbench.errors import UserError
from workbench.hookspecs import KINDS, hook_name
from workbench.options import Option, options_of
from workbench.registry import Plugin, Registry, RegistryError, check_options, load_registry, resolve_options

METRIC = """
from workbench import Metric, hookimpl

class {name}(Metric):
    "One for everything."

    def scores(self, predictions):
        return [1.0 for _ in predictions]

@hookimpl
def register_metrics(register):
    register("{name}", {name})
"""


def write(folder: Path, file: str, text: str) -> Path:
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def only_failure(folder: Path) -> str:
    [failure] = load_registry([folder]).failures
    return failure.reason


def test_every_kind_has_a_hook_and_a_built_in_plugin():
    for kind in KINDS:
        assert builtin_registry().plugins(kind), kind
        assert hook_name(kind) == f"register_{kind}s"
    assert builtin_registry().failures == []


def test_every_built_in_plugin_says_in_a_line_what_it_is():
    for plugin in builtin_registry().plugins():
        assert len(plugin.summary) > 10, plugin
        assert plugin.source.startswith("plugins/")


def test_a_name_is_found_exactly_or_not_at_all():
    registry = builtin_registry()
    assert registry.plugin("fusion", "gated").name == "gated"
    for near in ("gate", "Gated", "gated ", "cross", "attention"):
        with pytest.raises(RegistryError, match="there is no fusion"):
            registry.plugin("fusion", near)


def test_an_unknown_name_is_answered_with_the_nearest_one():
    with pytest.raises(RegistryError, match="Did you mean 'cross_attention'"):
        builtin_registry().plugin("fusion", "cross_atention")


def test_an_unknown_name_of_another_kind_is_told_so():
    with pytest.raises(RegistryError, match="plugin of another kind: adapter"):
        builtin_registry().plugin("fusion", "lora")


def test_an_unknown_kind_is_answered_with_the_nearest_one():
    with pytest.raises(RegistryError, match="Did you mean 'fusion'"):
        builtin_registry().plugin("fusions", "gated")


def test_a_users_folder_is_searched_with_its_subfolders(tmp_path):
    write(tmp_path, "metrics/deep/always.py", METRIC.format(name="Always"))
    plugin = load_registry([tmp_path]).plugin("metric", "Always")
    assert plugin.source == str(tmp_path / "metrics/deep/always.py")
    assert plugin.factory().scores([]) == []


def test_one_file_can_be_loaded_alone(tmp_path):
    file = write(tmp_path, "always.py", METRIC.format(name="Always"))
    write(tmp_path, "never.py", "1 / 0")
    registry = load_registry([file])
    assert registry.plugin("metric", "Always")
    assert registry.failures == []


def test_a_folder_given_twice_or_inside_another_is_loaded_once(tmp_path):
    write(tmp_path, "inner/always.py", METRIC.format(name="Always"))
    registry = load_registry([tmp_path, tmp_path, tmp_path / "inner"])
    assert registry.plugin("metric", "Always")


def test_the_built_in_folder_given_as_a_users_folder_is_loaded_once():
    folder = Path(__file__).parents[1] / "plugins"
    assert len(load_registry([folder]).plugins()) == len(builtin_registry().plugins())


def test_tests_hidden_files_and_shared_code_are_no_plugins(tmp_path):
    for file in ("test_it.py", ".hidden.py", "_shared.py", "tests/case.py", "conftest.py"):
        write(tmp_path, file, "raise AssertionError('imported')")
    assert load_registry([tmp_path]).failures == []


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match="no plugin folder .*nowhere"):
        load_registry([tmp_path / "nowhere"])


def test_two_plugins_of_one_name_are_an_error_that_names_both_files(tmp_path):
    first = write(tmp_path, "first.py", METRIC.format(name="Always"))
    second = write(tmp_path, "second.py", METRIC.format(name="Always"))
    with pytest.raises(RegistryError, match="registered twice") as error:
        load_registry([tmp_path])
    assert str(first) in str(error.value)
    assert str(second) in str(error.value)


def test_a_built_in_name_cannot_be_taken_again(tmp_path):
    mine = write(tmp_path, "mine.py", METRIC.format(name="Always").replace('"Always"', '"loss"'))
    with pytest.raises(RegistryError, match="plugins/metrics/loss.py and in .*mine.py") as error:
        load_registry([tmp_path])
    assert str(mine) in str(error.value)


def test_one_name_may_stand_for_two_kinds(tmp_path):
    write(tmp_path, "mine.py", METRIC.format(name="Always").replace('"Always"', '"lora"'))
    registry = load_registry([tmp_path])
    assert registry.plugin("metric", "lora").kind == "metric"
    assert registry.plugin("adapter", "lora").kind == "adapter"


def test_a_plugin_that_fails_to_import_stops_only_who_asks_for_it(tmp_path):
    write(tmp_path, "broken.py", "import a_package_nobody_has")
    write(tmp_path, "always.py", METRIC.format(name="Always"))
    registry = load_registry([tmp_path])
    assert registry.plugin("metric", "Always")
    with pytest.raises(RegistryError, match="not loaded: .*broken.py: ModuleNotFoundError: .*a_package_nobody_has"):
        registry.plugin("metric", "Broken")


@pytest.mark.parametrize("statement", ["raise SystemExit(3)", "def (", "raise ValueError('why')", "assert False"])
def test_whatever_a_plugin_does_while_it_is_imported_is_listed(tmp_path, statement):
    write(tmp_path, "broken.py", statement)
    [failure] = load_registry([tmp_path]).failures
    assert failure.source == str(tmp_path / "broken.py")
    known = ("sys.exit(3) was called in broken.py, line 1", "SyntaxError", "ValueError", "AssertionError")
    assert failure.reason.partition(":")[0] in known
    assert "broken.py" in failure.details


CHANGING = "from tests.own_plugins.changing import CHANGES\nCHANGES[{what!r}]()\n"


def load_and_tell(folder: Path, told: Connection) -> None:
    """In a process of its own: where it is after loading, and what stopped it."""
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    begin, stopped = Path.cwd(), ""
    try:
        load_registry([folder])
    except RegistryError as error:
        stopped = str(error)
    same = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    told.send((os.getpid(), same and Path.cwd() == begin, stopped))
    os._exit(0)


def loaded_elsewhere(folder: Path, content: str) -> tuple[bool, str]:
    write(folder, "changing_all.py", content)
    ours, theirs = multiprocessing.Pipe()
    process = forked(load_and_tell, folder, theirs)
    theirs.close()
    [(number, same, stopped)] = [ours.recv()]
    process.join()
    assert number == process.pid
    with pytest.raises(EOFError):
        ours.recv()
    return same, stopped


@pytest.mark.parametrize("what", ["dtype", "threads", "denormals", "patched"])
def test_a_plugin_that_changes_torch_for_all_others_when_it_is_imported_is_refused(tmp_path, what):
    same, stopped = loaded_elsewhere(tmp_path, CHANGING.format(what=what))
    assert same
    assert "changing_all.py" in stopped and "where a plugin computes" in stopped


def test_what_else_the_import_of_a_plugin_changes_is_put_back(tmp_path):
    ignored = "import os, signal\nfor each in (signal.SIGINT, signal.SIGTERM): signal.signal(each, signal.SIG_IGN)\n"
    assert loaded_elsewhere(tmp_path, f"{ignored}os.chdir('/')\n{METRIC.format(name='Always')}") == (True, "")


def test_libraries_and_the_compiler_are_imported_by_any_plugin(tmp_path):
    libraries = "import torch._dynamo, transformers, os\nos.environ['OF_A_LIBRARY'] = '1'\n"
    assert loaded_elsewhere(tmp_path, libraries) == (True, "")


def test_a_child_that_the_import_of_a_plugin_forks_does_not_go_on_as_a_second_command(tmp_path):
    assert loaded_elsewhere(tmp_path, "import os\nos.fork()\n") == (True, "")


def test_a_misspelt_hook_is_answered_with_the_nearest_one(tmp_path):
    write(tmp_path, "mine.py", METRIC.format(name="Always").replace("register_metrics", "register_metric"))
    assert "Did you mean 'register_metrics'" in only_failure(tmp_path)


def test_a_misspelt_hook_without_its_mark_is_found_too(tmp_path):
    text = METRIC.format(name="Always").replace("register_metrics", "register_metric").replace("@hookimpl\n", "")
    write(tmp_path, "mine.py", text)
    assert "Did you mean 'register_metrics'" in only_failure(tmp_path)


def test_a_hook_without_its_mark_is_found(tmp_path):
    write(tmp_path, "mine.py", METRIC.format(name="Always").replace("@hookimpl\n", ""))
    assert "lacks its @hookimpl" in only_failure(tmp_path)


def test_a_hook_with_another_parameter_is_refused_and_spoils_no_other_plugin(tmp_path):
    write(tmp_path, "a.py", METRIC.format(name="First").replace("(register)", "(registry)"))
    write(tmp_path, "b.py", METRIC.format(name="Second"))
    registry = load_registry([tmp_path])
    assert registry.plugin("metric", "Second")
    [failure] = registry.failures
    assert "registry" in failure.reason


def test_a_function_called_register_something_that_was_imported_is_no_hook(tmp_path):
    text = "from atexit import register\nfrom copyreg import pickle as register_pickle\n" + METRIC.format(name="Always")
    write(tmp_path, "mine.py", text)
    assert load_registry([tmp_path]).failures == []


def test_a_file_that_registers_nothing_is_listed(tmp_path):
    write(tmp_path, "empty.py", "WIDTH = 3")
    assert "registers nothing" in only_failure(tmp_path)


@pytest.mark.parametrize(
    ("signature", "told"),
    [
        ("self, **kwargs", r"\*\*kwargs': name its options"),
        ("self, *sizes", r"\*sizes': name its options"),
        ("self, size: int = 1", r"takes \(size\).*write '\*' before 'size'"),
        ("self, *, size=1", "option 'size' has no type"),
        ("self, *, name: str = 'x'", "no option can be called 'name'"),
        ("self, *, size: Metric = None", "which YAML cannot give"),
        ("self, *, size: NoSuchType = 1", "NoSuchType"),
    ],
)
def test_a_factory_whose_options_cannot_be_checked_is_refused(tmp_path, signature, told):
    body = f"\n    def __init__({signature}):\n        pass\n\n    def scores"
    text = "from __future__ import annotations\n" + METRIC.format(name="Always").replace("\n    def scores", body)
    write(tmp_path, "mine.py", text)
    with pytest.raises(RegistryError, match=told):
        load_registry([tmp_path]).plugin("metric", "Always")


def test_a_factory_takes_what_the_workbench_gives():
    def without_vision(*, size: int = 1) -> None:
        """A fusion that asks for nothing."""

    with pytest.raises(RegistryError, match="vision, decoder by position, but it takes"):
        Registry().add(Plugin("fusion", "mine", without_vision, "here", "here"))


@pytest.mark.parametrize("name", ["", "two words", "a/b", 3])
def test_a_name_that_yaml_could_not_hold_is_refused(name):
    with pytest.raises(RegistryError, match="is no plugin name"):
        Registry().add(Plugin("metric", name, lambda: None, "here", "here"))


def test_what_is_no_factory_is_refused():
    with pytest.raises(RegistryError, match="give a class or a function"):
        Registry().add(Plugin("metric", "mine", 3, "here", "here"))  # pyright: ignore[reportArgumentType]


def test_each_load_makes_a_registry_of_its_own(tmp_path):
    write(tmp_path, "always.py", METRIC.format(name="Always"))
    assert load_registry([tmp_path]).plugin("metric", "Always")
    with pytest.raises(RegistryError):
        load_registry().plugin("metric", "Always")


def test_a_changed_file_is_imported_anew_and_an_unchanged_one_is_not(tmp_path):
    file = write(tmp_path, "always.py", METRIC.format(name="Always"))
    first = load_registry([tmp_path]).plugin("metric", "Always")
    again = load_registry([tmp_path]).plugin("metric", "Always")
    assert again.factory is first.factory
    hash_before = first.code_hash
    file.write_text(METRIC.format(name="Always").replace("1.0", "2.0"))
    changed = load_registry([tmp_path]).plugin("metric", "Always")
    assert changed.factory().scores([None]) == [2.0]
    assert changed.code_hash != hash_before


def test_plugins_of_a_folder_can_share_code_and_a_change_of_it_shows_in_their_hash(tmp_path):
    shared = write(tmp_path, "_shared.py", "SCORE = 0.25")
    text = METRIC.format(name="Always").replace("1.0", "SCORE")
    write(tmp_path, "always.py", "from ._shared import SCORE\n" + text)
    plugin = load_registry([tmp_path]).plugin("metric", "Always")
    assert plugin.factory().scores([None]) == [0.25]
    before = plugin.code_hash
    shared.write_text("SCORE = 0.5")
    assert plugin.code_hash == before, "it is that of what was loaded"
    assert load_registry([tmp_path]).plugin("metric", "Always").code_hash != before


def test_two_folders_may_hold_files_of_the_same_name(tmp_path):
    write(tmp_path, "one/mine.py", METRIC.format(name="First"))
    write(tmp_path, "two/mine.py", METRIC.format(name="Second"))
    registry = load_registry([tmp_path / "one", tmp_path / "two"])
    assert [plugin.name for plugin in registry.plugins("metric") if "mine.py" in plugin.source] == ["First", "Second"]


def test_an_installed_package_offers_plugins_by_its_entry_point(tmp_path, monkeypatch):
    write(tmp_path, "my_metrics.py", METRIC.format(name="Installed"))
    write(tmp_path, "my_metrics-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: my-metrics\nVersion: 1.0\n")
    points = "[workbench]\nmine = my_metrics\ngone = a_module_that_is_gone\n"
    write(tmp_path, "my_metrics-1.0.dist-info/entry_points.txt", points)
    monkeypatch.syspath_prepend(tmp_path)
    registry = load_registry()
    assert registry.plugin("metric", "Installed").source == "my-metrics: my_metrics"
    assert len(registry.plugin("metric", "Installed").code_hash) == 16
    assert [failure.source for failure in registry.failures] == ["my-metrics: a_module_that_is_gone"]
    sys.modules.pop("my_metrics")


@pytest.mark.parametrize("offered", ["plugin", "Plugin"])
def test_an_object_that_offers_plugins_is_made_of_the_code_of_its_module(tmp_path, monkeypatch, offered):
    text = METRIC.format(name="Always").replace(
        "@hookimpl\ndef", "class Plugin:\n    @staticmethod\n    @hookimpl\n    def"
    )
    text = text.replace('    register("', '        register("') + "\nplugin = Plugin()\nSCORE = 1\n"
    file = write(tmp_path, "my_object.py", text)
    write(tmp_path, "my_object-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: my-object\nVersion: 1.0\n")
    write(tmp_path, "my_object-1.0.dist-info/entry_points.txt", f"[workbench]\nmine = my_object:{offered}\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = load_registry().plugin("metric", "Always").code_hash
    file.write_text(text.replace("SCORE = 1", "SCORE = 2"))
    assert load_registry().plugin("metric", "Always").code_hash != before
    sys.modules.pop("my_object")


def unpickle_in_worker(folder: Path, pickled: bytes, connection) -> None:
    """What a worker process does: load the same plugins, then read what it is sent."""
    registry = load_registry([folder])
    value = pickle.loads(pickled)
    same = type(value) is registry.plugin("metric", "Always").factory
    connection.send((value.weight, same, pickle.dumps(value)))


def test_a_plugins_object_crosses_to_a_worker_process_and_back(tmp_path):
    text = "from dataclasses import dataclass\n" + METRIC.format(name="Always")
    text = text.replace("class Always", "@dataclass(kw_only=True)\nclass Always").replace(
        '    "One for everything."', '    "One for everything."\n    weight: float = 0.5'
    )
    write(tmp_path, "sub/always.py", text)
    metric = load_registry([tmp_path]).create("metric", "Always", weight=0.75)
    assert type(metric).__module__.startswith("workbench.external.")
    ours, theirs = multiprocessing.Pipe()
    worker = forked(unpickle_in_worker, tmp_path, pickle.dumps(metric), theirs)
    theirs.close()
    weight, same, returned = ours.recv()
    worker.join()
    assert (weight, same) == (0.75, True)
    assert pickle.loads(returned) == metric


def plugin_with(**annotations) -> Plugin:
    """A plugin whose factory has these options, all required."""
    names = ", ".join(f"{name}: annotations['{name}']" for name in annotations)
    scope: dict[str, Any] = {"annotations": annotations}
    exec(f"def build(*, {names}): ...", scope)
    return Plugin("metric", "mine", scope["build"], "here", "here")


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        (int, [1, -3], ["1", 1.5, True, None, [1]]),
        (float, [1, 1.5], ["1", True, None, float("nan"), float("inf")]),
        (bool, [True, False], [0, 1, "true"]),
        (str, ["a", ""], [1, None, ["a"]]),
        (PositiveInt, [1], [0, -1]),
        (Annotated[float, Field(ge=0, lt=1)], [0, 0.5], [1, -0.1]),
        (int | None, [None, 2], ["none"]),
        (tuple[str, ...], [[], ["a", "b"]], ["a", [1]]),
        (Literal["a", "b"], ["a"], ["c", 1]),
        (dict[str, int], [{"a": 1}], [{"a": "1"}, [1]]),
        (int, [1], [sys]),
    ],
)
def test_options_are_held_to_their_types(annotation, good, bad):
    plugin = plugin_with(size=annotation)
    for value in good:
        assert check_options(plugin, {"size": value}) == [], value
    for value in bad:
        [(name, message)] = check_options(plugin, {"size": value})
        assert name == "size"
        assert "does not fit mine.size" in message


def test_unknown_and_missing_options_are_named():
    wrong = dict(check_options(plugin_with(rank=int, alpha=float), {"ranc": 3}))
    assert "Did you mean 'rank'" in wrong["ranc"]
    assert "needs the option 'rank' (int)" in wrong["rank"]
    assert "needs the option 'alpha' (float)" in wrong["alpha"]


def test_options_are_resolved_to_their_types_with_their_defaults():
    plugin = builtin_registry().plugin("adapter", "lora")
    options = resolve_options(plugin, {"rank": 2, "targets": ["*.query"]})
    assert options["targets"] == ("*.query",)
    assert list(options) == list(plugin.options)
    with pytest.raises(UserError, match="does not fit lora.rank"):
        resolve_options(plugin, {"rank": 0})


@pytest.mark.parametrize(
    ("annotation", "shown"),
    [
        (PositiveInt, "int > 0"),
        (Annotated[float, Field(ge=0, lt=1)], "float >= 0, < 1"),
        (PositiveInt | None, "int > 0 | None"),
        (tuple[str, ...], "tuple[str, ...]"),
        (Literal["a", "b"], "'a' | 'b'"),
        (dict[str, int], "dict[str, int]"),
        (Path, "Path"),
    ],
)
def test_a_type_is_shown_as_a_reader_would_write_it(annotation, shown):
    assert Option("size", annotation, None, True).type_name == shown


def test_a_built_in_plugin_keeps_the_hash_of_the_code_that_was_imported(tmp_path, monkeypatch):
    """Python does not import it again, so what an edited file would do is not what runs."""
    before = load_registry().plugin("fusion", "gated")
    module = sys.modules[before.module]
    edited = tmp_path / "gated.py"
    edited.write_text(Path(str(module.__file__)).read_text() + "EDITED = True\n")
    monkeypatch.setattr(module, "__file__", str(edited))
    assert load_registry().plugin("fusion", "gated").code_hash == before.code_hash


def test_options_of_equal_types_are_checked_alike_and_those_of_other_types_apart():
    def factory(*, count: PositiveInt = 1, twice: PositiveInt = 1, share: Annotated[float, Field(gt=0, lt=1)] = 0.5):
        return count, twice, share

    options = options_of(factory)
    assert [options[name].validate(2) for name in ("count", "twice")] == [2, 2]
    with pytest.raises(ValueError, match="less than 1"):
        options["share"].validate(2)
    with pytest.raises(ValueError, match="greater than 0"):
        options["twice"].validate(0)


@pytest.fixture
def checkout(tmp_path) -> Path:
    """Another checkout of the workbench, with the built-in plugins and one more."""
    root = tmp_path / "checkout"
    shutil.copytree("plugins", root / "plugins", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "workbench").mkdir()
    for name in ("hookspecs.py", "registry.py", "discovery.py"):
        shutil.copy(Path("workbench") / name, root / "workbench")
    write(root, "plugins/metrics/more.py", METRIC.format(name="More"))
    return root


def test_the_plugins_of_another_checkout_are_no_users_and_the_list_says_so(checkout, monkeypatch):
    monkeypatch.chdir(checkout)
    registry = load_registry(plugin_folders("any.yaml"))
    assert {each.source for each in registry.plugins()} == {each.source for each in load_registry().plugins()}
    [failure] = registry.failures
    assert failure.source == str(checkout / "plugins")
    assert "another copy of the workbench than the one that runs" in failure.reason
    with pytest.raises(RegistryError, match="not loaded: .*checkout/plugins: it belongs to another copy"):
        registry.plugin("metric", "More")


def test_so_are_those_beside_an_experiment_given_by_name_and_linked_to(checkout, tmp_path):
    (tmp_path / "linked").symlink_to(checkout / "plugins")
    for folders in (plugin_folders(checkout / "x.yaml"), [checkout / "plugins"], [tmp_path / "linked"]):
        assert [failure.source for failure in load_registry(folders).failures] == [str(checkout / "plugins")]


def test_of_a_folder_or_file_within_them_only_what_is_not_there_already_is_loaded(checkout):
    registry = load_registry([checkout / "plugins/metrics"])
    assert registry.plugin("metric", "More")
    assert {Path(failure.source).name for failure in registry.failures} >= {"loss.py", "bleu.py"}
    [failure] = load_registry([checkout / "plugins/fusion/gated.py"]).failures
    assert failure.source.endswith("plugins/fusion/gated.py")


def test_those_of_an_installed_workbench_are_recognised_too(checkout, tmp_path):
    installed = tmp_path / "site-packages/workbench"
    shutil.copytree(checkout / "workbench", installed)
    shutil.copytree(checkout / "plugins", installed / "plugins")
    assert len(load_registry([installed / "plugins"]).failures) == 1


def test_nothing_is_written_into_them(checkout, monkeypatch):
    monkeypatch.chdir(checkout)
    with pytest.raises(UserError, match="belongs to a copy of the workbench"):
        write_plugin("fusion", "mine", Path("plugins"))


def test_a_users_folder_may_be_sorted_by_kinds_and_lie_beside_things_called_workbench(checkout, tmp_path):
    for root in ("plain", "beside_a_checkout", "beside_a_whole_package"):
        write(tmp_path / root, "plugins/metrics/mine.py", METRIC.format(name="Mine"))
        write(tmp_path / root, "plugins/fusion/_none.py", "")
    checkout.rename(tmp_path / "beside_a_checkout/workbench")
    whole = tmp_path / "beside_a_whole_package/workbench"
    shutil.copytree(tmp_path / "beside_a_checkout/workbench/workbench", whole)
    (whole / "plugins").mkdir()
    for root in ("plain", "beside_a_checkout", "beside_a_whole_package"):
        registry = load_registry(plugin_folders(tmp_path / root / "x.yaml"))
        assert registry.plugin("metric", "Mine").source == str(tmp_path / root / "plugins/metrics/mine.py")
        assert registry.failures == []


def test_a_user_who_registers_a_built_in_name_again_is_told(tmp_path):
    write(tmp_path, "plugins/metrics/loss.py", METRIC.format(name="Loss").replace('"Loss"', '"loss"'))
    with pytest.raises(RegistryError, match=r"'loss' is registered twice: in plugins/metrics/loss.py and in .*loss.py"):
        load_registry([tmp_path / "plugins"])
