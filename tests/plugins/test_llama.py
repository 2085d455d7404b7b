"""The Llama decoder, held against transformers with random weights saved to a folder."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from tests.pretrained import SIZES, VOCABULARY, save
from tests.tiny import QUESTIONS, TinyEncoder, builtin_registry, collator, texts
from workbench import Corpus, Fusion, UserError
from workbench.conformance import check
from workbench.model.generation import generate
from workbench.model.vision_language_model import VisionLanguageModel
from workbench.registry import resolve_options

LLAMA3: Any = {
    "rope_type": "llama3",
    "rope_theta": 100.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
LINEAR: Any = {"rope_type": "linear", "rope_theta": 500.0, "factor": 2.0}
VARIANTS: dict[str, Any] = {
    "tied": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=True)),
    "untied, heads share keys": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, num_key_value_heads=2)),
    "all heads share keys, wider heads": lambda: LlamaForCausalLM(
        LlamaConfig(**SIZES, num_key_value_heads=1, head_dim=16, rms_norm_eps=1e-3)
    ),
    "biases": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True)),
    "Llama 3's positions": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, rope_parameters=LLAMA3)),
    "stretched positions": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, rope_parameters=LINEAR)),
    "Qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES, num_key_value_heads=2, tie_word_embeddings=True)),
    "Mistral": lambda: MistralForCausalLM(MistralConfig(**SIZES, num_key_value_heads=2, sliding_window=None)),
}


def llama(folder: Path | str, **options: Any) -> Any:
    """The built-in decoder, its options checked as those of an experiment file are."""
    plugin = builtin_registry().plugin("language_model", "llama")
    return plugin.factory(Corpus(texts), **resolve_options(plugin, {"checkpoint": str(folder), **options})).eval()


def reference(name: str = "tied") -> Any:
    torch.manual_seed(0)
    return VARIANTS[name]().eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    return save(reference(), tmp_path_factory.mktemp("llama"))


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(saved, tmp_path / "llama"))


def reconfigure(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def logits(decoder: Any, ids: Tensor) -> Tensor:
    length = ids.shape[1]
    mask = torch.ones(length, length, dtype=torch.bool).tril()[None, None]
    positions = torch.arange(length).expand_as(ids)
    return decoder.head(decoder(decoder.embed(ids), positions, mask))


@pytest.mark.parametrize("name", VARIANTS)
@torch.no_grad()
def test_logits_and_greedy_texts_are_those_of_transformers(name, tmp_path):
    theirs = reference(name)
    decoder = llama(save(theirs, tmp_path))
    ids = torch.randint(3, VOCABULARY, (2, 40), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(logits(decoder, ids)[..., :VOCABULARY], theirs(ids).logits, atol=1e-5, rtol=1e-5)
    model = VisionLanguageModel(TinyEncoder(), nn.Identity(), Fusion(), decoder)  # pyright: ignore[reportArgumentType]
    prompts = collator(model, "{question}\n")(torch.empty(0), [row[:1] for row in QUESTIONS], answered=False)
    ours = generate(model, torch.empty(2, 0), prompts, max_new_tokens=24)
    for row, answer in enumerate(ours):
        read = prompts.ids[row][prompts.segments[row] >= 0]
        told = theirs.generate(read[None], max_new_tokens=24, do_sample=False, pad_token_id=0)
        assert [id_ for id_ in told[0, len(read) :].tolist() if id_ != 2] == answer[0]
    assert len(set(map(str, ours))) > 1


def test_a_decoder_with_a_checkpoint_keeps_every_rule(saved):
    findings = list(check(builtin_registry(), "language_model", "llama", checkpoint=str(saved)))
    assert [f"{finding.title}: {finding.explanation}" for finding in findings if not finding.passed] == []


@pytest.mark.parametrize("name", ["tied", "untied, heads share keys"])
def test_the_image_token_gets_a_row_of_its_own_that_is_the_mean_of_the_others(name, tmp_path):
    theirs = reference(name)
    decoder = llama(save(theirs, tmp_path))
    assert decoder.tokenizer.encode("a <image> b").count(VOCABULARY) == 1
    assert (decoder.tokenizer.image, decoder.tokenizer.size) == (VOCABULARY, VOCABULARY + 1)
    weights = decoder.state_dict()
    for key, weight in theirs.named_parameters():
        if weights[key].shape == weight.shape:
            torch.testing.assert_close(weights[key], weight, atol=0, rtol=0)
        else:
            torch.testing.assert_close(weights[key][:VOCABULARY], weight, atol=0, rtol=0)
            torch.testing.assert_close(weights[key][VOCABULARY], weight.mean(0))


def test_a_vocabulary_with_room_for_the_image_token_is_not_enlarged(tmp_path):
    torch.manual_seed(0)
    wide = LlamaForCausalLM(LlamaConfig(**dict(SIZES, vocab_size=384, tie_word_embeddings=True)))
    decoder = llama(save(wide, tmp_path))
    assert decoder.tokenizer.image == VOCABULARY
    assert decoder.embed(torch.tensor([[383]])).shape == (1, 1, 32)
    assert decoder.state_dict()["model.embed_tokens.weight"].shape == (384, 32)


@pytest.mark.parametrize("names", [{"bos_token": "<s>", "eos_token": {"content": "</s>"}, "pad_token": "<unk>"}, {}])
def test_start_end_and_padding_are_those_that_the_checkpoint_names(folder, names):
    if names:
        (folder / "tokenizer_config.json").write_text(json.dumps(names))
        reconfigure(folder, bos_token_id=None, eos_token_id=[9, 7])
    else:
        reconfigure(folder, eos_token_id=[2, 7], pad_token_id=-1)
    tokenizer = llama(folder).tokenizer
    assert (tokenizer.start, tokenizer.end, tokenizer.padding) == (1, 2, 0 if names else 2)
    again = pickle.loads(pickle.dumps(tokenizer))
    assert (again.start, again.end, again.padding, again.image) == (1, 2, tokenizer.padding, VOCABULARY)
    assert len(tokenizer.encode("is there a red shape in the image?")) > 4  # what the file says of cutting is not kept


@pytest.mark.parametrize(
    ("config", "generation", "ends"),
    [
        ({"eos_token_id": 2}, None, (2,)),
        ({"eos_token_id": [2, 7]}, None, (2, 7)),
        ({"eos_token_id": 2}, {"eos_token_id": [9, 2, 8]}, (2, 9, 8)),
        ({"eos_token_id": [7, 5]}, {"eos_token_id": 9}, (7, 9, 5)),
        ({"eos_token_id": 2}, {}, (2,)),
        ({"eos_token_id": [2, -1, 10**6]}, {"eos_token_id": None}, (2,)),
    ],
)
def test_every_end_token_that_the_checkpoint_names_ends_an_answer(folder, config, generation, ends):
    reconfigure(folder, **config)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    tokenizer = llama(folder).tokenizer
    assert tokenizer.ends == ends
    assert tokenizer.end == ends[0]
    assert pickle.loads(pickle.dumps(tokenizer)).ends == ends


@pytest.mark.parametrize("content", ['{"eos_token_id": "</s>"}', '{"eos_token_id": [true]}', "{"])
def test_an_end_token_that_is_no_number_is_refused(folder, content):
    (folder / "generation_config.json").write_text(content)
    with pytest.raises(UserError, match=r"generation_config\.json"):
        llama(folder)


def test_shards_are_read_as_one_file_is(saved, tmp_path):
    ids = torch.randint(3, VOCABULARY, (1, 9))
    reference().save_pretrained(tmp_path, max_shard_size="20KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    shutil.copy(saved / "tokenizer.json", tmp_path)
    whole = LlamaForCausalLM.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(logits(llama(tmp_path), ids)[..., :VOCABULARY], whole(ids).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gpt2"}, "no Llama that is known here: model_type: Input should be 'llama'"),
        ({"hidden_size": None}, "no Llama that is known here: hidden_size"),
        ({"hidden_size": 64}, "does not fit: shapes differ"),
        ({"num_key_value_heads": 3}, "4 heads of queries cannot share 3"),
        ({"sliding_window": 128}, "asks for a sliding window"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "type 'yarn' are not built here: default, linear and llama3 are"),
        ({"rope_parameters": {"rope_type": "linear"}}, "'linear' need 'factor' in config.json"),
        ({"tie_word_embeddings": False}, "it lacks lm_head.weight"),
        ({"eos_token_id": None}, "does not say which token ends a text"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_told(folder, changes, message):
    reconfigure(folder, **changes)
    with pytest.raises(UserError, match=message):
        llama(folder)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("tokenizer.json", "cannot read the tokenizer"),
        ("config.json", "does not say which token ends a text|cannot read"),
        ("model.safetensors", "holds no weights"),
    ],
)
def test_a_folder_that_lacks_a_file_is_told(folder, file, message):
    (folder / file).unlink()
    with pytest.raises(UserError, match=message):
        llama(folder)
    (folder / file).write_text("{")
    with pytest.raises(UserError, match=str(folder)):
        llama(folder)
