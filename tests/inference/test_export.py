"""An exported folder stands by itself: read back it computes the same bits, and its card has the record's numbers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.inference.test_pipeline import finished, image_file, trials
from tests.small import PLUGINS, CommandLine
from workbench.inference.export import export, is_exported, read_exported
from workbench.inference.load_trial import FinishedTrial, load_trial
from workbench.inference.pipeline import Pipeline, open_image
from workbench.model.build import count_bytes
from workbench.reports.number_format import megabytes
from workbench.storage.artifacts import TOKENIZER
from workbench.storage.records import read_record
from workbench.storage.result_files import ResultsError

__all__ = ["finished"]  # a fixture, made once for each file


def exported(folder: Path, trial: Path, out: Path, separate: bool = False) -> FinishedTrial:
    found = load_trial(str(trial), folder / "results", [PLUGINS])
    export(found, out, separate)
    return found


@pytest.mark.parametrize("separate", [False, True])
def test_an_exported_trial_computes_the_same_bits_from_its_folder_alone(finished, tmp_path, separate):
    for number, trial in enumerate(trials(finished)):
        out = tmp_path / str(number)
        found = exported(finished, trial, out, separate)
        moved = shutil.move(finished / "clip", tmp_path / "away")
        try:
            again = read_exported(out, [PLUGINS])
            model = again.model()
        finally:
            shutil.move(moved, finished / "clip")
        own, theirs = found.model().state_dict(), model.state_dict()
        assert own.keys() == theirs.keys()
        assert all(torch.equal(own[name], theirs[name]) for name in own)
        image = open_image(image_file(tmp_path))
        questions = ["is it red?", "what color is it?"]
        assert Pipeline(model, again.trial).answers([image], questions) == Pipeline(found.model(), found.trial).answers(
            [image], questions
        )


def with_quantizer(folder: Path, name: str) -> Path:
    """One of the trials with that quantizer."""
    return next(each for each in trials(folder) if read_record(each).spec["quantizer"]["name"] == name)


def test_the_folder_holds_what_training_changed_and_the_files_of_pretrained_parts(finished, tmp_path):
    exported(finished, with_quantizer(finished, "none"), tmp_path / "merged")
    exported(finished, with_quantizer(finished, "none"), tmp_path / "apart", separate=True)
    merged, apart = (load_file(tmp_path / each / "weights.safetensors") for each in ("merged", "apart"))
    assert not [name for name in merged if name.startswith("encoder.") or "lora" in name]
    assert merged.keys() == apart.keys()
    adapter = load_file(tmp_path / "apart/adapter.safetensors")
    assert adapter
    assert all("lora" in name for name in adapter)
    assert (tmp_path / "apart/adapter_peft/adapter_config.json").is_file()
    assert (tmp_path / "merged/encoder/model.safetensors").is_file()
    assert not (tmp_path / "merged/adapter.safetensors").exists()
    assert (tmp_path / "merged/plugins/dataset/squares.py").is_file()


def test_a_quantized_trial_is_kept_quantized_and_its_parts_without_weights(finished, tmp_path):
    found = exported(finished, with_quantizer(finished, "int8"), tmp_path / "narrow")
    kept = load_file(tmp_path / "narrow/weights.safetensors")
    assert sum(each.nbytes for each in kept.values()) == count_bytes(found.model())
    assert torch.int8 in {each.dtype for each in kept.values()}
    weights = tmp_path / "narrow/encoder/pytorch_model.bin"
    shapes = torch.load(weights, weights_only=True)
    assert shapes.keys() == load_file(finished / "clip/model.safetensors").keys()
    assert not any(each.any() for each in shapes.values())
    assert weights.stat().st_size < (finished / "clip/model.safetensors").stat().st_size
    folder = [file for file in (tmp_path / "narrow").rglob("*") if file.is_file() and "plugins" not in file.parts]
    size = sum(file.stat().st_size for file in folder if file.name != "README.md")
    assert f"MB as evaluated, {megabytes(size)} MB on disk" in (tmp_path / "narrow/README.md").read_text()


def test_the_card_has_the_record_s_numbers(finished, tmp_path):
    (finished / "clip/README.md").write_text("---\nlicense: mit\n---\n")
    found = exported(finished, trials(finished)[0], tmp_path / "out")
    (finished / "clip/README.md").unlink()
    card = (tmp_path / "out/README.md").read_text()
    assert f"{found.record.metrics['parameters']:,.0f} parameters" in card
    assert f"{100 * found.record.metrics['vqa_accuracy']:.1f} [" in card
    for control in ("prior", "mean image", "other answer"):
        assert f"| VQA accuracy % | {control} |" in card
    assert "| visual gain | image minus the prior |" in card
    assert "| encoder | mit |" in card
    assert "| adapt | adapter | questions | 2 steps | 0.01 | 4 |" in card
    assert json.loads((tmp_path / "out/config.json").read_text())["record"]["id"] == found.record.id


@pytest.fixture
def workbench(finished, monkeypatch, capsys) -> CommandLine:
    return CommandLine(finished, monkeypatch, capsys)


def test_an_exported_folder_is_asked_like_a_trial(workbench, tmp_path):
    trial, image = trials(workbench.folder)[0].name, image_file(tmp_path)
    told = workbench("export", trial, tmp_path / "out", "--plugins", PLUGINS, "--separate-adapter")
    assert told.code == 0
    assert is_exported(tmp_path / "out")
    plugins = ("--plugins", tmp_path / "out/plugins")
    own = workbench("ask", trial, image, "what color is it?", "--plugins", PLUGINS)
    again = workbench("ask", tmp_path / "out", image, "what color is it?", *plugins)
    assert (again.code, again.output) == (0, own.output)
    maps = workbench("attention", tmp_path / "out", image, "is it red?", "--out", tmp_path / "maps.png", *plugins)
    assert maps.code == 0 or "is empty" in maps.errors


def test_what_cannot_be_exported_says_why(workbench, tmp_path):
    trial = trials(workbench.folder)[0].name
    told = workbench("export", trial, tmp_path, "--plugins", PLUGINS)
    assert told.code == 2
    assert "is there already" in told.errors


def test_code_in_an_exported_folder_is_not_run_by_itself(workbench, tmp_path):
    assert workbench("export", trials(workbench.folder)[0], tmp_path / "out", "--plugins", PLUGINS).code == 0
    told = workbench("ask", tmp_path / "out", image_file(tmp_path), "is it red?")
    assert told.code == 2
    assert "there is no dataset 'squares'" in told.errors
    assert "--plugins" in told.errors


def test_a_damaged_folder_is_refused(finished, tmp_path):
    exported(finished, trials(finished)[0], tmp_path / "out")
    (tmp_path / "out" / TOKENIZER).unlink()
    config = json.loads((tmp_path / "out/config.json").read_text())
    (tmp_path / "out/config.json").write_text(json.dumps({**config, "workbench_export": 99}))
    with pytest.raises(ResultsError, match="another version"):
        read_exported(tmp_path / "out", [PLUGINS])
    del config["spec"]
    (tmp_path / "out/config.json").write_text(json.dumps(config))
    with pytest.raises(ResultsError, match="is damaged"):
        read_exported(tmp_path / "out", [PLUGINS])
