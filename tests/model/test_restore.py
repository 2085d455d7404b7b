"""A model as the stages before left it: what is loaded, what is attached, and what is made ready for an evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.small import build, load, small_registry
from workbench.checkpoints.tokenizer import Corpus
from workbench.checkpoints.weights import CheckpointError
from workbench.config.trial import Trial
from workbench.model.build import build_dataset, corpus_of, count_parameters
from workbench.model.restore import RestoredModel, load_changed, prepare_for_evaluation, restore, weights_of_files
from workbench.storage.artifacts import Artifact

LORA = ("base.adapter={name: lora, rank: 2, targets: ['language_model.layers.*']}", "base.phases.tune.train=[adapter]")


def corpus(trial: Trial) -> Corpus:
    return corpus_of(trial, build_dataset(trial, small_registry()))


def started(trial: Trial) -> RestoredModel:
    """The model as the first phase finds it."""
    return restore(None, trial, trial.phases, small_registry(), corpus(trial))


def left(folder: Path, restored: RestoredModel, weights: dict[str, Any]) -> Artifact:
    """What a stage that left these weights would have kept."""
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text(restored.model.language_model.tokenizer.json())
    return Artifact(folder, weights, tokenizer, {"adapter": restored.adapter is not None}, [])


def test_without_a_stage_before_it_is_the_model_with_its_starting_weights(tmp_path):
    trial = load(tmp_path).trials[0]
    restored, own = started(trial), build(trial).state_dict()
    assert all(torch.equal(each, own[name]) for name, each in restored.model.state_dict().items())
    assert (restored.adapter, restored.adapted, restored.before, restored.packed) == (None, [], None, {})
    assert restored.untouched == frozenset(), "no weight of it comes from a file"


def test_the_weights_of_the_stage_before_are_loaded_with_its_adapter(tmp_path):
    trial = load(tmp_path, *LORA).trials[0]
    first = started(trial)
    with torch.no_grad():
        for parameter in first.adapted:
            parameter.add_(1.0)
    kept = {name: each.clone() for name, each in first.model.state_dict().items()}
    again = restore(left(tmp_path, first, kept), trial, (), small_registry(), corpus(trial))
    assert again.adapter is not None
    assert len(again.adapted) == len(first.adapted) > 0
    assert all(torch.equal(each, kept[name]) for name, each in again.model.state_dict().items())


def test_a_weight_that_is_missing_or_belongs_nowhere_is_told(tmp_path):
    trial = load(tmp_path).trials[0]
    first = started(trial)
    kept = dict(first.model.state_dict())
    name = next(name for name in kept if name.startswith("connector."))
    missing = {each: weight for each, weight in kept.items() if each != name}
    for weights in (missing, {**kept, "nobody.weight": torch.zeros(1)}):
        with pytest.raises(CheckpointError):
            restore(left(tmp_path, first, weights), trial, trial.phases, small_registry(), corpus(trial))


def test_what_is_as_its_files_have_it_need_not_be_kept():
    first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    model = torch.nn.Sequential(first, second)
    untouched = {id(each) for each in first.parameters()}
    weights = {f"1.{name}": torch.ones_like(each) for name, each in second.state_dict().items()}
    before = first.weight.clone()
    loaded = load_changed(model, dict(weights), untouched, "here")
    assert loaded == {id(each) for each in second.parameters()}
    assert torch.equal(first.weight, before)
    assert torch.equal(second.weight, torch.ones(2, 2))
    with pytest.raises(CheckpointError):
        load_changed(model, dict(weights), set(), "here")


def test_of_parts_that_no_file_gives_their_weights_all_are_kept(tmp_path):
    trial = load(tmp_path).trials[0]
    assert weights_of_files(trial, build(trial), small_registry()) == set()


@torch.no_grad()
def test_for_an_evaluation_the_adapter_is_merged_and_the_rest_quantized(tmp_path):
    trial = load(tmp_path, *LORA, "base.quantizer=int8").trials[0]
    restored = started(trial)
    for parameter in restored.adapted:
        parameter.add_(0.1)
    plain = count_parameters(build(trial))
    ids = torch.tensor([[1, 2, 3]])
    places, mask = torch.arange(3)[None], torch.ones(1, 1, 3, 3, dtype=torch.bool).tril()
    decoder = restored.model.language_model.eval()
    adapted = decoder(decoder.embed(ids), places, mask)
    assert prepare_for_evaluation(restored, trial, small_registry()) == plain, "counted between the two"
    assert not [name for name in restored.model.state_dict() if "lora" in name]
    assert torch.int8 in {each.dtype for each in restored.model.state_dict().values()}
    decoder = restored.model.language_model
    torch.testing.assert_close(decoder(decoder.embed(ids), places, mask), adapted, rtol=0.1, atol=0.1)
