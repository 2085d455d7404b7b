"""Trials whose adapter began elsewhere, or trains more than its layers: trial and export are one model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tests.inference.test_tied_weights import PHASES, loaded, told, trials
from tests.plugins.test_peft import shake
from tests.pretrained import reference, save
from tests.small import PLUGINS, SMALL, load, run_inside
from workbench.inference.export import export, read_exported

STARTS: dict[str, dict[str, Any]] = {
    "pissa": {"init_lora_weights": "pissa"},
    "head": {"modules_to_save": ["lm_head"]},
    "both": {"modules_to_save": ["embed_tokens", "lm_head"], "bias": "lora_only"},
    "embedding": {"target_modules": ["embed_tokens", "q_proj"]},
}
NEW = "{name: peft, settings: {r: 2, bias: lora_only}, targets: ['language_model.*q_proj']}"


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Trials on a decoder whose embedding and head share a weight."""
    folder = tmp_path_factory.mktemp("finished")
    save(reference("Qwen2"), folder / "qwen")
    for name, config in STARTS.items():
        settings = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], **config}
        made: Any = peft.get_peft_model(
            AutoModelForCausalLM.from_pretrained(folder / "qwen"), peft.LoraConfig(**settings)
        )
        shake([each for each in made.parameters() if each.requires_grad])
        made.save_pretrained(folder / name)
    file = folder / "embedding/adapter_model.safetensors"  # as of a decoder whose embedding was trained besides
    weights = load_file(file)
    [embedding] = [name for name in weights if name.endswith("embed_tokens.base_layer.weight")]
    save_file({**weights, embedding: weights[embedding] + 0.1}, file, {"format": "pt"})
    start, _, rest = SMALL.partition("    - {name: tune")
    text = start + PHASES + rest.partition("\n")[2]
    gpt = "{name: gpt, width: 16, depth: 1, heads: 2, vocabulary_size: 300}"
    text = text.replace(gpt, f"{{name: huggingface, checkpoint: {folder / 'qwen'}}}")
    adapters = [NEW, *(f"{{name: peft, start: {folder / name}}}" for name in STARTS)]
    text += f"grid: {{adapter: [{', '.join(adapters)}], quantizer: [none, int8]}}\n"
    outcome = run_inside(load(folder, text=text), folder / "results")
    assert not outcome.failed
    return folder


@pytest.mark.parametrize("quantizer", ["none", "int8"])
@pytest.mark.parametrize("separate", [False, True])
def test_the_export_computes_the_same_bits(finished, tmp_path, quantizer, separate):
    found = trials(finished, quantizer)
    assert len(found) == 1 + len(STARTS)
    for number, trial in enumerate(found):
        own = loaded(finished, trial)
        export(own, tmp_path / str(number), separate)
        again = read_exported(tmp_path / str(number), [PLUGINS]).model()
        assert torch.equal(told(own.model()), told(again)), own.record.spec["adapter"]
