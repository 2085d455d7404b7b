"""Mixtures of experts of transformers: INT8 reaches their stacked matrices, and plan names what others leave."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tests.plugins.test_huggingface import logits, model_with, some_ids
from tests.pretrained import SIZES, save
from tests.small import PLUGINS, SMALL, CommandLine, load, run_inside, write
from tests.tiny import builtin_registry
from workbench.inference.export import export, read_exported
from workbench.inference.load_trial import load_trial
from workbench.model.build import count_bytes

FEW: dict[str, Any] = {"num_experts_per_tok": 2, "num_key_value_heads": 2}
SIX = {"num_experts": 6, "moe_intermediate_size": 24}
LATENT = {"q_lora_rank": None, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8}


def made(family: str, **options: Any) -> Any:
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**{**SIZES, **FEW, "pad_token_id": 0, **options})
    return getattr(transformers, f"{family}ForCausalLM")(config).eval()


FAMILIES: dict[str, Callable[[], Any]] = {
    "Mixtral": lambda: made("Mixtral", num_local_experts=6),
    "Qwen2Moe": lambda: made("Qwen2Moe", **SIX, shared_expert_intermediate_size=24),
    "Qwen3Moe": lambda: made("Qwen3Moe", **SIX, head_dim=16),
    "Olmoe": lambda: made("Olmoe", num_experts=6),
    "Phimoe": lambda: made("Phimoe", num_local_experts=6),
    "GraniteMoe": lambda: made("GraniteMoe", num_local_experts=6),
    "DeepseekV3": lambda: made(
        "DeepseekV3",
        **LATENT,
        n_routed_experts=8,
        n_group=2,
        topk_group=1,
        moe_intermediate_size=24,
        first_k_dense_replace=1,
        num_key_value_heads=4,
    ),
    "GptOss": lambda: made("GptOss", num_local_experts=6, head_dim=8),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    return {name: save(make(), tmp_path_factory.mktemp(name)) for name, make in FAMILIES.items()}


def quantizer(**options: Any) -> Any:
    return builtin_registry().create("quantizer", "int8", **options)


def text_logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return logits(model.eval().language_model, some_ids())


@pytest.mark.parametrize("family", FAMILIES)
def test_int8_reaches_the_experts_and_computes_what_the_rounded_matrices_do(family, folders):
    model = model_with("gated", folders[family])
    decoder, before = model.language_model, count_bytes(model.language_model)
    oracle = copy.deepcopy(model)
    exact = text_logits(oracle)
    quantizer(include=["*.experts.*"]).quantize(model)
    stacks: dict[str, Any] = {
        name: each for name, each in decoder.named_modules() if type(each).__name__ == "Int8Experts"
    }
    assert len(stacks) >= 4
    for name, stack in stacks.items():
        weight, rounded = oracle.language_model.get_parameter(name), stack.dequantized(torch.float32)
        largest = weight.detach().abs().amax(1 if stack.turned else 2, keepdim=True)
        assert ((rounded - weight).abs() <= 0.51 * largest / 127 * 1.01).all()
        with torch.no_grad():
            weight.copy_(rounded)
    torch.testing.assert_close(text_logits(model), text_logits(oracle), atol=2e-5, rtol=1e-4)
    assert not torch.equal(text_logits(model), exact)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(text_logits(twin), text_logits(model))
    quantizer(include=["language_model.*"], exclude=["*.experts.*"]).quantize(model)
    assert count_bytes(decoder) < 0.31 * before


def test_experts_can_be_left_out(folders):
    model = model_with("gated", folders["Mixtral"])
    quantizer(exclude=["*.experts.*"]).quantize(model)
    assert model.language_model.get_parameter("model.layers.0.mlp.experts.gate_up_proj").dtype == torch.float32


@pytest.fixture(scope="module")
def finished(folders, tmp_path_factory) -> Path:
    """Trials of which one was quantized after its adapter was trained, and one before."""
    folder = tmp_path_factory.mktemp("finished")
    phases = "    - {{name: adapt, train: [connector, adapter], steps: 2, batch: 4, rate: 0.05, quantized: {}}}\n"
    start, _, rest = SMALL.partition("    - {name: tune")
    for quantized in ("true", "false"):
        text = start + phases.format(quantized) + rest.partition("\n")[2]
        text = text.replace("quantizer: none", "quantizer: {name: int8, include: ['language_model.*']}")
        text = text.replace("adapter: full", "adapter: {name: lora, rank: 2}")
        gpt = "{name: gpt, width: 16, depth: 1, heads: 2, vocabulary_size: 300}"
        text = text.replace(gpt, f"{{name: huggingface, checkpoint: {folders['Mixtral']}}}")
        assert not run_inside(load(folder, text=text), folder / "results" / quantized).failed
    return folder


@pytest.mark.parametrize("quantized", ["true", "false"])
def test_a_mixture_quantized_before_or_after_training_is_exported_to_the_bit(finished, tmp_path, quantized):
    [trial] = (finished / "results" / quantized / "small/trials").iterdir()
    own = load_trial(str(trial), finished / "results" / quantized, [PLUGINS])
    export(own, tmp_path / "out")
    model, again = own.model(), read_exported(tmp_path / "out", [PLUGINS]).model()
    assert torch.equal(text_logits(model), text_logits(again))
    assert own.record.metrics["bytes"] == count_bytes(again)
    kept = [file for file in (finished / "results" / quantized / "artifacts").rglob("*.safetensors")]
    assert not any(b"experts" in file.read_bytes() for file in kept), "what is made of files is not kept"


def test_the_plan_says_what_is_not_reached(folders, tmp_path, monkeypatch, capsys):
    gpt = "{name: gpt, width: 16, depth: 1, heads: 2, vocabulary_size: 300}"
    text = SMALL.replace(gpt, f"{{name: huggingface, checkpoint: {folders['Mixtral']}}}")
    text = text.replace("adapter: full", "adapter: {name: lora, rank: 2}")
    text = text.replace("language_model], steps", "adapter], steps")
    narrow = "[int8, {name: int8, include: ['encoder.*']}, {name: int8, exclude: ['*.experts.*']}]"
    file = write(tmp_path, f"{text}grid: {{quantizer: {narrow}}}\n")
    told = CommandLine(tmp_path, monkeypatch, capsys)("plan", file, "--plugins", PLUGINS)
    assert told.code == 0, told.errors
    stacks = "language_model.model.layers.*.mlp.experts.gate_up_proj"
    assert f"the adapter 'lora' changes linear layers, and {stacks}" in told.output
    notes = [line for line in told.output.splitlines() if "the quantizer 'int8' leaves" in line]
    assert len(notes) == 2
    assert all(stacks in note for note in notes)
