"""An adapter on one of two layers that share a weight: trial, merged model, export and LLaVA folder are one model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from tests.inference.test_pipeline import image_file
from tests.plugins.test_huggingface import logits, some_ids
from tests.pretrained import reference, save
from tests.small import PLUGINS, SMALL, CommandLine, load, run_inside
from workbench.inference.export import export, read_exported
from workbench.inference.load_trial import FinishedTrial, load_trial
from workbench.model.build import count_bytes, count_parameters
from workbench.storage.records import read_record

PHASES = """\
    - {name: align, train: [connector], steps: 1, batch: 4}
    - {name: adapt, train: [connector, adapter], steps: 4, batch: 4, rate: 0.05}
"""
TARGETS = '["language_model.lm_head", "language_model.output", "*q_proj", "*attention.output"]'
GRID = f"""\
grid:
  adapter:
    - {{name: lora, rank: 2, targets: {TARGETS}}}
    - {{name: peft, settings: {{r: 2}}, targets: {TARGETS}}}
  language_model:
    - {{name: gpt, width: 16, depth: 1, heads: 2, vocabulary_size: 300}}
    - {{name: llama, width: 16, depth: 1, heads: 2, vocabulary_size: 300}}
    - {{name: llama, checkpoint: FOLDER}}
    - {{name: huggingface, checkpoint: FOLDER}}
  quantizer: [none, int8]
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Trials with an adapter on the output head of every decoder whose embedding shares its weight."""
    folder = tmp_path_factory.mktemp("finished")
    save(reference("Qwen2"), folder / "qwen")
    start, _, rest = SMALL.partition("    - {name: tune")
    grid = GRID.replace("FOLDER", str(folder / "qwen"))
    text = (start + PHASES + rest.partition("\n")[2] + grid).replace(
        "encoder: {name: vit,", "encoder: {name: clip, class_token: false,"
    )
    assert not run_inside(load(folder, text=text), folder / "results").failed
    return folder


def trials(folder: Path, quantizer: str = "none") -> list[Path]:
    found = sorted((folder / "results/small/trials").iterdir())
    return [each for each in found if read_record(each).spec["quantizer"]["name"] == quantizer]


def loaded(folder: Path, trial: Path) -> FinishedTrial:
    return load_trial(str(trial), folder / "results", [PLUGINS])


def told(model: Any) -> Tensor:
    """Logits of text, by embedding and head."""
    with torch.no_grad():
        return logits(model.eval().language_model, some_ids())


def test_merging_changes_no_output_and_unmerging_no_bit(finished):
    for trial in trials(finished):
        restored = loaded(finished, trial).restored()
        assert restored.adapter is not None
        before, weights = (
            told(restored.model),
            {name: each.clone() for name, each in restored.model.state_dict().items()},
        )
        shared = [each for each in restored.model.parameters()]
        restored.adapter.merge(restored.model)
        torch.testing.assert_close(told(restored.model), before, atol=1e-5, rtol=1e-4)
        restored.adapter.unmerge(restored.model)
        after = restored.model.state_dict()
        assert all(torch.equal(after[name], each) for name, each in weights.items())
        assert all(one is other for one, other in zip(restored.model.parameters(), shared, strict=True))


@pytest.mark.parametrize("quantizer", ["none", "int8"])
@pytest.mark.parametrize("separate", [False, True])
def test_the_export_computes_the_same_bits(finished, tmp_path, quantizer, separate):
    found = trials(finished, quantizer)
    assert len(found) == 8
    for number, trial in enumerate(found):
        own = loaded(finished, trial)
        export(own, tmp_path / str(number), separate)
        model, again = own.model(), read_exported(tmp_path / str(number), [PLUGINS]).model()
        assert torch.equal(told(model), told(again))
        if quantizer == "none":
            assert own.record.metrics["parameters"] == count_parameters(again)
        assert own.record.metrics["bytes"] == count_bytes(model) == count_bytes(again)


def test_trial_and_export_are_asked_alike(finished, tmp_path, monkeypatch, capsys):
    workbench = CommandLine(finished, monkeypatch, capsys)
    image = image_file(tmp_path)
    for number, trial in enumerate(trials(finished)):
        out = tmp_path / str(number)
        assert workbench("export", trial, out, "--plugins", PLUGINS).code == 0
        own, again = (workbench("ask", each, image, "is it red?", "--plugins", PLUGINS) for each in (trial, out))
        assert (again.code, again.output) == (0, own.output)


def test_the_plan_says_that_the_head_gets_a_weight_of_its_own(finished, monkeypatch, capsys):
    told = CommandLine(finished, monkeypatch, capsys)("plan", "small.yaml", "--results", "new", "--plugins", PLUGINS)
    assert told.code == 0, told.errors
    for name in ("lora", "peft"):
        assert f"the adapter '{name}' changes one of the layers that share a weight" in told.output
    assert "language_model.lm_head.weight (of language_model.model.embed_tokens.weight) has one" in told.output
    for trial in trials(finished):
        assert f"{read_record(trial).metrics['parameters']:,.0f}" in told.output


@torch.no_grad()
def test_a_llava_folder_has_a_head_of_its_own(finished, tmp_path):
    for number, trial in enumerate(trials(finished)):
        own = loaded(finished, trial)
        if own.trial.components["language_model"].name == "gpt":
            continue
        export(own, tmp_path / str(number), llava=True)
        config = json.loads((tmp_path / str(number) / "llava/config.json").read_text())
        assert config["tie_word_embeddings"] is False
        theirs: Any = transformers.LlavaForConditionalGeneration.from_pretrained(tmp_path / str(number) / "llava")
        expected = theirs.eval()(input_ids=some_ids()).logits
        torch.testing.assert_close(told(own.model()), expected, atol=2e-5, rtol=1e-4)
