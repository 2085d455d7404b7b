"""Any decoder of transformers behind our contract, held against its own forward pass and its own generation."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tests.model.test_generation import answer_without_cache
from tests.model.test_vision_language_model import open_gates
from tests.pretrained import FAMILIES, SIZES, VOCABULARY, reference, save, save_gguf
from tests.small import SMALL, load, run_inside, small_registry
from tests.tiny import FUSIONS, QUESTIONS, TinyEncoder, builtin_registry, collator, images, texts
from workbench import Corpus, DecoderShape, Fusion, UserError, VisionShape
from workbench.conformance import check
from workbench.conformance.reference_parts import ReferenceFusion
from workbench.ingredient import Pretrainable
from workbench.model.build import CompositionError
from workbench.model.generation import generate
from workbench.model.vision_language_model import VisionLanguageModel, visible
from workbench.registry import resolve_options
from workbench.runs.compatibility import Compatibility


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("decoders")
    return {family: save(reference(family), root / family) for family in FAMILIES}


def decoder(folder: Path | str, **options: Any) -> Any:
    """The plugin, its options checked as those of an experiment file are."""
    plugin = builtin_registry().plugin("language_model", "huggingface")
    return plugin.factory(Corpus(texts), **resolve_options(plugin, {"checkpoint": str(folder), **options})).eval()


def theirs(folder: Path) -> Any:
    """With the family's plain attention: the kernel of transformers 5.20 leaves out what Gemma 2 does to its scores."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()


def logits(model: Any, ids: Tensor) -> Tensor:
    length = ids.shape[1]
    mask = torch.ones(length, length, dtype=torch.bool).tril()[None, None].expand(len(ids), -1, -1, -1)
    positions = torch.arange(length).expand_as(ids)
    return model.head(model(model.embed(ids), positions, mask))


def some_ids(rows: int = 2, length: int = 40) -> Tensor:
    return torch.randint(3, VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_logits_and_greedy_texts_are_those_of_transformers(folders, family):
    ours, reference = decoder(folders[family]), theirs(folders[family])
    ids = some_ids()
    told = reference(ids).logits
    torch.testing.assert_close(logits(ours, ids)[..., :VOCABULARY], told, atol=2e-5, rtol=1e-4)
    model = VisionLanguageModel(TinyEncoder(), nn.Identity(), Fusion(), ours)  # pyright: ignore[reportArgumentType]
    prompts = collator(model, "{question}\n")(torch.empty(0), [row[:1] for row in QUESTIONS], answered=False)
    answers = generate(model, torch.empty(2, 0), prompts, max_new_tokens=12)
    for row, answer in enumerate(answers):
        read = prompts.ids[row][prompts.segments[row] >= 0]
        told = reference.generate(read[None], max_new_tokens=12, do_sample=False, pad_token_id=0)
        assert [id_ for id_ in told[0, len(read) :].tolist() if id_ != 2] == answer[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_keeps_every_rule(folders, family):
    findings = list(check(builtin_registry(), "language_model", "huggingface", checkpoint=str(folders[family])))
    assert [f"{finding.title}: {finding.explanation}" for finding in findings if not finding.passed] == []


def model_with(fusion: str, folder: Path, **options: Any) -> VisionLanguageModel:
    torch.manual_seed(0)
    registry, encoder, language_model = builtin_registry(), TinyEncoder(), decoder(folder, **options)
    connector = registry.create("connector", "mlp", encoder.shape, language_model.shape.width)
    chosen = registry.create("fusion", fusion, connector.shape, language_model.shape)
    return VisionLanguageModel(encoder, connector, chosen, language_model)


def batch_of(model: VisionLanguageModel, answered: bool = True) -> Any:
    return collator(model, "<image>{question}\n")(images(2), QUESTIONS, answered)


@pytest.mark.parametrize("family", ["Llama", "Gemma3", "GPT2"])
@pytest.mark.parametrize("fusion", FUSIONS)
@torch.no_grad()
def test_answers_from_the_cache_are_those_of_full_passes_with_every_fusion(folders, family, fusion):
    model = model_with(fusion, folders[family]).eval()
    open_gates(model)
    prompts = batch_of(model, answered=False)
    answers = generate(model, model.see(images(2)), prompts, max_new_tokens=6)
    flat = [answer for row in answers for answer in row]
    wanted = [
        answer_without_cache(model, images(2)[index : index + 1], example, 6)
        for index, row in enumerate(QUESTIONS)
        for example in row
    ]
    assert flat == wanted
    assert len({tuple(answer) for answer in wanted}) > 1


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_closed_gates_leave_the_logits_of_text_unchanged_to_the_bit(folders, family):
    alone = decoder(folders[family])
    for fusion in ("cross_attention", "gated", "bidirectional"):
        model = model_with(fusion, folders[family]).eval()
        batch = batch_of(model)
        mask = visible(batch.segments, batch.segments)
        plain = alone.head(alone(alone.embed(batch.ids), batch.positions, mask))
        if model.fusion.reads_text:
            batch = batch_of(model)
        assert torch.equal(model.logits(batch), plain)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_have_the_names_and_values_that_transformers_has_for_them(folders, family):
    ours, reference = decoder(folders[family]).state_dict(), theirs(folders[family]).state_dict()
    assert list(ours) == list(reference)
    for name, weight in reference.items():
        own = ours[name]
        if own.shape != weight.shape:  # a row for <image>
            assert own.shape[0] == VOCABULARY + 1
            torch.testing.assert_close(own[VOCABULARY], weight.mean(0))
            own = own[:VOCABULARY]
        assert torch.equal(own, weight)


@pytest.mark.parametrize("fusion", [*FUSIONS, ReferenceFusion])
def test_gradient_checkpointing_changes_no_gradient(folders, fusion):
    def gradients(**options: Any) -> dict[str, Tensor]:
        if isinstance(fusion, str):
            model = model_with(fusion, folders["Gemma3"], **options)
        else:  # it looks at the image inside the blocks, which are computed twice
            torch.manual_seed(0)
            parts = TinyEncoder(), nn.Linear(12, 32), fusion(VisionShape(32, 4), DecoderShape(32, 3, 4))
            model = VisionLanguageModel(*parts, decoder(folders["Gemma3"], **options))  # pyright: ignore
        open_gates(model)
        model.train()
        model.loss(batch_of(model)).backward()
        return {name: each.grad for name, each in model.named_parameters() if each.grad is not None}

    kept, again = gradients(), gradients(gradient_checkpointing=True)
    assert kept.keys() == again.keys()
    for name, gradient in kept.items():
        assert torch.equal(gradient, again[name]), name


@pytest.mark.parametrize("fusion", FUSIONS)
def test_weights_in_bf16_train_and_answer_beside_parts_in_fp32(folders, fusion):
    wide, narrow = (model_with(fusion, folders["Llama"], dtype=dtype) for dtype in ("fp32", "bf16"))
    batch = batch_of(narrow)
    loss = narrow.loss(batch)
    loss.backward()
    torch.testing.assert_close(loss, wide.loss(batch), rtol=0.02, atol=0.02)
    assert narrow.language_model.state_dict()["model.norm.weight"].dtype == torch.bfloat16
    generate(narrow, narrow.see(images(2)), batch_of(narrow, answered=False), max_new_tokens=3)


@pytest.mark.parametrize("family", ["Llama", "Gemma3", "Phi3", "GPT2"])
@torch.no_grad()
def test_the_familys_own_plain_attention_gives_the_same(folders, family):
    ids = some_ids()
    kernel, eager = decoder(folders[family]), decoder(folders[family], attention="eager")
    torch.testing.assert_close(logits(eager, ids), logits(kernel, ids), atol=2e-5, rtol=1e-4)


def test_a_family_whose_attention_cannot_be_told_what_to_look_at_is_refused(tmp_path):
    from transformers import BloomConfig, BloomForCausalLM

    sizes = BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=2, n_head=4, eos_token_id=2)
    save(BloomForCausalLM(sizes), tmp_path)
    with pytest.raises(UserError, match="BloomForCausalLM, whose attention does not go through"):
        decoder(tmp_path)


def test_a_checkpoint_that_lacks_a_weight_is_refused_rather_than_drawn_at_random(folders, tmp_path):
    folder = Path(shutil.copytree(folders["Qwen2"], tmp_path / "lacking"))
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="no weights for model.layers.1.mlp.up_proj.weight"):
        decoder(folder)
    (folder / "config.json").write_text('{"model_type": "dodo", "eos_token_id": 2}')
    with pytest.raises(UserError, match="transformers makes no model of"):
        decoder(folder)


def small(folder: Path, checkpoint: Path, *overrides: str) -> Any:
    text = SMALL.replace(
        "{name: gpt, width: 16, depth: 1, heads: 2, vocabulary_size: 300}",
        f"{{name: huggingface, checkpoint: {checkpoint}}}",
    )
    return load(folder, *overrides, text=text)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["prompt=chat"], "prompt: chat needs a tokenizer with a chat template"),
        (["base.encoder.patch_size=1"], "reads 128 tokens at most; a question with its answer has .* 256 image tokens"),
        (["base.connector=identity"], "image tokens 16 wide between text tokens 32 wide"),
    ],
)
def test_a_decoder_that_does_not_fit_is_refused_before_anything_runs(overrides, message, folders, tmp_path):
    experiment = small(tmp_path, folders["GPT2"], *overrides)
    with pytest.raises(CompositionError, match=message):
        Compatibility(small_registry()).sizes_of(experiment.trials)


def test_a_fusion_that_leaves_the_sequence_alone_takes_as_many_image_tokens_as_there_are(folders, tmp_path):
    experiment = small(tmp_path, folders["GPT2"], "base.encoder.patch_size=1", "base.fusion=gated")
    assert len(Compatibility(small_registry()).sizes_of(experiment.trials)) == 1


def test_without_transformers_the_extra_is_named(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"pip install workbench\[hf\]"):
        decoder(folders["Llama"])


def test_a_changed_file_of_weights_is_noticed(folders):
    plugin = builtin_registry().plugin("language_model", "huggingface")
    found = {file.name for file in plugin.declared(Pretrainable).files({"checkpoint": str(folders["Llama"])})}
    assert found == {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"}


@torch.no_grad()
def test_a_gguf_file_is_converted_once_and_gives_the_same_decoder(folders, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = save_gguf(folders["Qwen2"], tmp_path / "tiny.gguf")
    with torch.device("meta"):  # as a plan does, often before anything else reads the file
        decoder(file)
    ours, ids = decoder(file), some_ids()
    reference = logits(decoder(folders["Qwen2"]), ids)
    torch.testing.assert_close(logits(ours, ids)[..., :VOCABULARY], reference[..., :VOCABULARY], atol=1e-6, rtol=1e-5)
    question = QUESTIONS[0][1].question
    assert ours.tokenizer.decode(ours.tokenizer.encode(question)) == question
    assert (ours.tokenizer.start, ours.tokenizer.end) == (1, 2)
    [converted] = (tmp_path / "cache/workbench/gguf").glob("tiny-*/model.safetensors")
    made = converted.stat().st_mtime_ns
    again = builtin_registry().create("language_model", "llama", Corpus(texts), checkpoint=str(file)).eval()
    torch.testing.assert_close(logits(again, ids), logits(ours, ids), atol=2e-5, rtol=1e-4)
    assert converted.stat().st_mtime_ns == made
    file.write_bytes(b"GGUF and then nothing")
    with pytest.raises(UserError, match="transformers cannot read .*tiny.gguf"):
        decoder(file)


def test_a_checkpointed_block_keeps_only_its_input(folders):
    def kept(**options: Any) -> int:
        model, count = model_with("cross_attention", folders["Llama"], **options).train(), 0

        def count_one(tensor: Tensor) -> Tensor:
            nonlocal count
            count += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count_one, lambda tensor: tensor):
            model.loss(batch_of(model))
        return count

    assert kept(gradient_checkpointing=True) < 0.7 * kept()


def test_an_experiment_trains_lora_beside_a_pretrained_decoder_and_quantizes_it(folders, tmp_path):
    adapter = ["base.adapter={name: lora, rank: 2}", "phases.tune.train=[connector, adapter]"]
    experiment = small(tmp_path, folders["Gemma3"], *adapter, "grid.quantizer=[none,int8]")
    outcome = run_inside(experiment, tmp_path / "results")
    assert (len(outcome.done), outcome.failed) == (2, {})


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_int8_takes_gemmas_embedding_with_its_factor_and_its_head(folders, dtype):
    plain, narrow = (decoder(folders["Gemma3"], dtype=dtype) for _ in range(2))
    builtin_registry().create("quantizer", "int8").quantize(narrow)
    embedding, head = narrow.get_submodule("model.embed_tokens"), narrow.get_submodule("lm_head")
    assert embedding.get_buffer("weight_int8") is head.get_buffer("weight_int8"), "one weight, kept once"
    assert not any(name.startswith("model.embed_tokens.weight") for name, _ in narrow.named_parameters())
    ids = torch.arange(12).view(2, 6)
    with torch.no_grad():
        plain.get_submodule("model.embed_tokens").get_parameter("weight").copy_(embedding.weight)
        assert torch.equal(narrow.embed(ids), plain.embed(ids))
        assert not torch.equal(narrow.embed(ids), embedding.weight[ids]), "the factor counts"


def test_a_text_ends_where_its_family_would_turn_all_positions_by_other_angles(tmp_path):
    factors = {"short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": [2.0, 3.0, 4.0, 5.0]}
    rope = {"rope_type": "longrope", "rope_theta": 1e4, **factors}
    lengths: dict[str, Any] = {"max_position_embeddings": 64, "original_max_position_embeddings": 16}
    config = transformers.Phi3Config(**SIZES, num_key_value_heads=2, pad_token_id=0, rope_parameters=rope, **lengths)
    assert decoder(save(transformers.Phi3ForCausalLM(config), tmp_path)).context == 16
