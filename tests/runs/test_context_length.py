"""A decoder's last position: what goes beyond it is refused with the numbers, what just fits runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tests.plugins.test_huggingface import small
from tests.pretrained import VOCABULARY, save
from tests.small import small_registry
from tests.tiny import texts
from workbench.checkpoints.tokenizer import Corpus
from workbench.contracts.example import Example, Turn
from workbench.errors import UserError
from workbench.evaluation.evaluate import examples_by_image
from workbench.evaluation.text_perplexity import perplexity
from workbench.model.build import CompositionError, build_dataset, build_model
from workbench.model.generation import generate, generate_and_judge, stream
from workbench.runs import context_length
from workbench.runs.compatibility import Compatibility

FUSED = ("concat_projection", "cross_attention")
FAMILIES = ("GPT2", "OPT")


def learned(family: str, folder: Path, positions: int) -> Path:
    """A tiny decoder with so many learned positions."""
    ids: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": 2}
    if family == "GPT2":
        sizes: dict[str, Any] = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4}
        return save(
            transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, **ids, n_positions=positions)), folder
        )
    sizes = {"vocab_size": VOCABULARY, "hidden_size": 32, "word_embed_proj_dim": 32, "ffn_dim": 48}
    config = transformers.OPTConfig(
        **sizes, **ids, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=positions
    )
    return save(transformers.OPTForCausalLM(config), folder)


def planned(folder: Path, checkpoint: Path, *overrides: str) -> Any:
    experiment = small(folder, checkpoint, *overrides)
    Compatibility(small_registry()).sizes_of(experiment.trials)
    return experiment.trials[0]


@pytest.mark.parametrize("fusion", FUSED)
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_the_longest_answer_that_the_plan_takes_is_written_and_one_more_is_refused(family, fusion, tmp_path):
    checkpoint = learned(family, tmp_path / "decoder", 60)
    base = f"base.fusion={fusion}"
    with pytest.raises(CompositionError, match="evaluation.max_new_tokens asks for 500 more") as told:
        planned(tmp_path, checkpoint, base, "evaluation.max_new_tokens=500")
    most = int(re.findall(r"Write max_new_tokens: (\d+) or less", str(told.value))[0])
    with pytest.raises(CompositionError, match=f"asks for {most + 1} more"):
        planned(tmp_path, checkpoint, base, f"evaluation.max_new_tokens={most + 1}")
    trial = planned(tmp_path, checkpoint, base, f"evaluation.max_new_tokens={most}")
    model = build_model(trial, small_registry(), Corpus(texts)).eval()
    model.language_model.tokenizer.end = -1  # no answer ends by itself
    dataset = build_dataset(trial, small_registry())
    examples = [each for some in examples_by_image(dataset, trial.evaluation).values() for each in some]
    collate = model.collator(trial.prompt)
    size = model.encoder.image_size
    pixels = torch.zeros(len(examples), 3, size, size)
    batch = collate(pixels, [[each] for each in examples], answered=False)
    vision = model.see(pixels)
    assert {len(ids) for [ids] in generate(model, vision, batch, most)} == {most}
    with pytest.raises(UserError, match=rf"an answer of {most + 1} is too long. Set max_new_tokens to {most} or less"):
        generate(model, vision, batch, most + 1)
    with pytest.raises(UserError, match="is too long"):
        generate_and_judge(model, vision, collate(pixels, [[each] for each in examples]), most + 1)
    alone = collate(pixels[:1], [examples[:1]], answered=False)
    with pytest.raises(UserError, match="is too long"):
        list(stream(model, model.see(pixels[:1]), alone, 60))


@pytest.mark.parametrize("fusion", FUSED)
@torch.no_grad()
def test_a_question_that_is_longer_than_the_context_is_told_with_the_numbers(fusion, tmp_path):
    checkpoint = learned("GPT2", tmp_path / "decoder", 60)
    trial = planned(tmp_path, checkpoint, f"base.fusion={fusion}")
    model = build_model(trial, small_registry(), Corpus(texts)).eval()
    size = model.encoder.image_size
    asked = [[Example("0", "0", "is it red? " * 30, ("",))]]
    batch = model.collator(trial.prompt)(torch.zeros(1, 3, size, size), asked, answered=False)
    with pytest.raises(UserError, match=r"reads 60 tokens at most, and the prompt has \d+, .* Ask a shorter question"):
        generate(model, model.see(batch.images), batch, 2)
    with pytest.raises(UserError, match="Ask a shorter question"):
        model.hidden(model.see(batch.images), batch)


def test_a_long_training_example_is_found_among_all_and_named(tmp_path, monkeypatch):
    checkpoint = learned("GPT2", tmp_path / "decoder", 60)
    trained = context_length.training_examples

    def with_a_long_one(*given: Any) -> Any:
        found = dict(trained(*given))
        images = next(iter(found))
        long = Example("long", images[0], "is it red?", ("no " * 90,), history=(Turn("is it?", "yes"),))
        return {**found, images: [*found[images], long]}

    planned(tmp_path, checkpoint)
    monkeypatch.setattr(context_length, "training_examples", with_a_long_one)
    with pytest.raises(CompositionError, match=r"a question with its answer has \d+ \(example 'long'\)"):
        planned(tmp_path, checkpoint)


def test_trials_that_differ_in_the_length_of_an_answer_alone_are_looked_at_each(tmp_path):
    experiments = [
        small(tmp_path, learned("GPT2", tmp_path / "decoder", 60), f"evaluation.max_new_tokens={most}")
        for most in (4, 500)
    ]
    compatibility = Compatibility(small_registry())
    compatibility.sizes_of(experiments[0].trials)
    with pytest.raises(CompositionError, match="max_new_tokens asks for 500 more"):
        compatibility.sizes_of(experiments[1].trials)


def test_plain_text_is_read_in_windows_that_fit(tmp_path):
    trial = planned(tmp_path, learned("GPT2", tmp_path / "decoder", 60))
    decoder = build_model(trial, small_registry(), Corpus(texts)).language_model
    assert perplexity(decoder, "is there a red circle? " * 60) > 1
