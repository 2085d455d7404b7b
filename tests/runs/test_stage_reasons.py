"""Why a stage has to be done: the plan names the file that is another one."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.small import PLUGINS, SMALL, CommandLine, load, run_inside, small_registry
from workbench.registry import load_registry
from workbench.runs.planner import Planner

TEXT = SMALL.replace("{name: vit, image_size: 16, patch_size: 8, width: 16, depth: 1, heads: 2}", "sociable")


def write_weights(file: Path, value: float) -> None:
    save_file({"patches.weight": torch.full((16, 192), value), "patches.bias": torch.zeros(16)}, file)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A folder in which an experiment has run whose encoder reads its weights from a file."""
    folder = tmp_path_factory.mktemp("finished")
    write_weights(folder / "weights.safetensors", 0.1)
    run_inside(load(folder, f"base.encoder.weights={folder / 'weights.safetensors'}", text=TEXT), folder / "results")
    return folder


def reasons(folder: Path, plugins: Iterable[Path] = (PLUGINS,)) -> dict[str, str]:
    """By the names of stages: why each has to be done."""
    experiment = load(folder, f"base.encoder.weights={folder / 'weights.safetensors'}", text=TEXT)
    registry = small_registry() if plugins == (PLUGINS,) else load_registry(list(plugins))
    plan = Planner(experiment, registry, folder / "results").plan()
    return {plan.missing[key].name: why for key, why in plan.reasons.items()}


def test_a_checkpoint_file_that_was_edited_in_place_is_named(finished, monkeypatch, capsys):
    file = finished / "weights.safetensors"
    assert reasons(finished) == {}
    write_weights(file, 0.2)
    assert reasons(finished) == {"tune": f"{file} changed", "evaluate": f"{file} changed"}
    told = CommandLine(finished, monkeypatch, capsys)(
        "plan", "small.yaml", "--plugins", PLUGINS, "--set", f"base.encoder.weights={file}"
    )
    assert f"to do: 1 x tune ({file} changed)" in told.output
    write_weights(file, 0.1)
    assert reasons(finished) == {}, "the same bytes are the same weights, whenever they were written"


def test_the_file_of_a_plugin_that_changed_is_named(finished, tmp_path):
    mine = tmp_path / "mine"
    shutil.copytree(PLUGINS, mine, ignore=shutil.ignore_patterns("__pycache__"))
    assert reasons(finished, (mine,)) == {}, "the same source in another place"
    with (mine / "sociable.py").open("a") as source:
        source.write("# a comment\n")
    assert reasons(finished, (mine,)) == {}
    with (mine / "sociable.py").open("a") as source:
        source.write("ANOTHER = 1\n")
    assert reasons(finished, (mine,)) == dict.fromkeys(("tune", "evaluate"), f"{mine / 'sociable.py'} changed")
