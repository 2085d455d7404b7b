"""transformers' own LLaVA, loaded from an exported folder, gives the same logits and the same answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import CLIPVisionModel

from tests.pretrained import reference, save
from tests.small import load, small_registry
from tests.test_llama import VARIANTS
from tests.tiny import QUESTIONS, builtin_registry, collator, texts
from workbench.compose import build_model
from workbench.contracts import Corpus
from workbench.generate import generate
from workbench.llava_folder import LlavaError, write_llava
from workbench.model import VisionLanguageModel

ENCODER = "encoder: {name: clip, image_size: 16, patch_size: 8, width: 16, depth: 3, heads: 2"
DECODERS: dict[str, Any] = {name: lambda name=name: VARIANTS[name]() for name in ("tied", "Llama 3's positions")} | {
    name: lambda name=name: reference(name) for name in ("Qwen2", "Qwen3", "Gemma3", "Mistral", "Llama")
}


def built(folder: Path, decoder: str, connector: str = "mlp", encoder: str = "", prompt: str = "") -> tuple[Any, Any]:
    """A trial with a random CLIP tower and a decoder from a folder, and its model."""
    text = f"""\
base:
  dataset: squares
  {ENCODER}{encoder}}}
  connector: {connector}
  fusion: concat_projection
  language_model: {decoder}
  adapter: full
  quantizer: none
  phases: [{{name: tune, train: [connector], steps: 1}}]
metrics: [loss]
"""
    (trial,) = load(folder, text=text).trials
    model = build_model(trial, small_registry(), Corpus(texts)).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in (*model.encoder.parameters(), *model.connector.parameters()):
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return trial, model


def same_as_transformers(model: VisionLanguageModel, folder: Path) -> None:
    theirs: Any = transformers.LlavaForConditionalGeneration.from_pretrained(folder).eval()
    pictures = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    tokenizer = model.language_model.tokenizer
    with torch.no_grad():
        for row, questions in enumerate(QUESTIONS):
            for example in questions:
                batch = collator(model, "<image>{question}\n")(pictures[row : row + 1], [[example]], answered=False)
                ids = batch.ids[0].tolist()
                place = ids.index(tokenizer.image)
                expanded = torch.tensor([ids[:place] + [tokenizer.image] * 4 + ids[place + 1 :]])
                given: dict[str, Any] = {"input_ids": expanded, "pixel_values": batch.images}
                wanted = theirs(**given).logits[0, place + 4 :]
                torch.testing.assert_close(model.logits(batch)[0, place + 1 :], wanted, rtol=1e-4, atol=1e-4)
                [[answer]] = generate(model, model.see(batch.images), batch, max_new_tokens=6)
                longer = theirs.generate(**given, max_new_tokens=6, do_sample=False)[0, expanded.shape[1] :].tolist()
                end = tokenizer.end
                assert answer == (longer[: longer.index(end)] if end in longer else longer)


@pytest.mark.parametrize("decoder", DECODERS)
def test_logits_and_greedy_answers_are_those_of_transformers(decoder, tmp_path):
    torch.manual_seed(0)
    checkpoint = save(DECODERS[decoder](), tmp_path / "decoder")
    trial, model = built(tmp_path, f"{{name: huggingface, checkpoint: {checkpoint}}}")
    write_llava(model, trial, tmp_path / "llava")
    same_as_transformers(model, tmp_path / "llava")


@pytest.mark.parametrize("decoder", ["tied", "Llama 3's positions", "Qwen2", "Mistral"])
def test_the_native_decoder_is_told_in_the_same_terms(decoder, tmp_path):
    torch.manual_seed(0)
    checkpoint = save(VARIANTS[decoder](), tmp_path / "decoder")
    trial, model = built(
        tmp_path, f"{{name: llama, checkpoint: {checkpoint}}}", "linear", ", layer: -1, class_token: false"
    )
    write_llava(model, trial, tmp_path / "llava")
    same_as_transformers(model, tmp_path / "llava")


def test_tokenizer_and_preprocessing_are_there(tmp_path):
    trial, model = built(tmp_path, "{name: llama, width: 16, depth: 1, heads: 2, vocabulary_size: 300}")
    write_llava(model, trial, tmp_path / "llava")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "llava")
    own = model.language_model.tokenizer
    text = "<image>is it red?\n"
    assert tokenizer(text, add_special_tokens=False).input_ids == own.encode(text)
    assert tokenizer.eos_token_id == own.end
    assert (tmp_path / "llava/preprocessor_config.json").is_file()
    same_as_transformers(model, tmp_path / "llava")


def test_the_tower_s_weights_have_transformers_own_names(tmp_path):
    _, model = built(tmp_path, "{name: llama, width: 16, depth: 1, heads: 2, vocabulary_size: 300}")
    encoder: Any = model.encoder
    part = encoder.for_transformers()
    config = transformers.CLIPVisionConfig(**{name: each for name, each in part.config.items() if name != "model_type"})
    tower = CLIPVisionModel(config)
    assert {name.removeprefix("vision_model.") for name in tower.state_dict()} >= set(part.weights)


@pytest.mark.parametrize(
    ("connector", "decoder", "message"),
    [
        ("mlp", "{name: gpt, width: 16, depth: 1, heads: 2, vocabulary_size: 300}", "language_model 'gpt'"),
        ("{name: mlp, hidden: 12}", "{name: llama, width: 16, depth: 1, heads: 2, vocabulary_size: 300}", "12 wide"),
        ("resampler", "{name: llama, width: 16, depth: 1, heads: 2, vocabulary_size: 300}", "connector 'resampler'"),
    ],
)
def test_what_llava_cannot_be_is_refused_with_the_reason(connector, decoder, message, tmp_path):
    trial, model = built(tmp_path, decoder, connector)
    with pytest.raises(LlavaError, match=message):
        write_llava(model, trial, tmp_path / "llava")


def test_a_decoder_that_bends_its_logits_is_refused(tmp_path):
    checkpoint = save(reference("Gemma2"), tmp_path / "decoder")
    trial, model = built(tmp_path, f"{{name: huggingface, checkpoint: {checkpoint}}}")
    with pytest.raises(LlavaError, match="final_logit_softcapping"):
        write_llava(model, trial, tmp_path / "llava")
    assert builtin_registry()
