"""Adapters that peft made: each is what peft itself makes of it, trains what it trains there, or is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from peft.tuners.lora.config import BdLoraConfig, KasaConfig
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from tests.plugins.test_huggingface import model_with, some_ids
from tests.plugins.test_peft import adapter, shake, text_logits
from tests.pretrained import VOCABULARY, reference, save
from tests.small import PLUGINS, SMALL, CommandLine, write
from workbench.errors import UserError

TARGETS = ["q_proj", "v_proj"]
OURS = ["language_model.*q_proj", "language_model.*v_proj"]
SAME: dict[str, tuple[str, dict[str, Any], int]] = {  # family, config, and how many parameters train
    "biases of adapted layers": ("Qwen2", {"bias": "lora_only"}, 18),
    "all biases": ("Qwen2", {"bias": "all"}, 21),
    "bias of B": ("Qwen2", {"lora_bias": True}, 18),
    "rsLoRA": ("Llama", {"use_rslora": True}, 12),
    "DoRA": ("Llama", {"use_dora": True}, 18),
    "ranks of their own": (
        "Llama",
        {"rank_pattern": {"layers.1.self_attn.q_proj": 2}, "alpha_pattern": {"v_proj": 3}},
        12,
    ),
    "some blocks": ("Llama", {"layers_to_transform": [1], "layers_pattern": "layers"}, 4),
    "some left out": ("Llama", {"exclude_modules": ["layers.0.self_attn.q_proj"]}, 10),
    "blocks in the matrices": ("Llama", {"use_bdlora": BdLoraConfig(["q_proj"], ["v_proj"], 2)}, 12),
    "gaussian": ("Llama", {"init_lora_weights": "gaussian"}, 12),
    "not at zero": ("Llama", {"init_lora_weights": False}, 12),
    "orthogonal": ("Llama", {"init_lora_weights": "orthogonal"}, 12),
    "eva": ("Llama", {"init_lora_weights": "eva"}, 12),
    "PiSSA": ("Llama", {"init_lora_weights": "pissa"}, 12),
    "OLoRA": ("Llama", {"init_lora_weights": "olora"}, 12),
    "MiCA": ("Llama", {"init_lora_weights": "mica"}, 6),
    "all linear layers": ("Llama", {"target_modules": "all-linear"}, 42),
    "embedding and head": ("Llama", {"modules_to_save": ["embed_tokens", "lm_head"]}, 14),
    "a tied embedding": ("Qwen2", {"modules_to_save": ["embed_tokens"]}, 13),
    "a tied head": ("Qwen2", {"modules_to_save": ["lm_head"]}, 13),
    "norms": ("Llama", {"modules_to_save": ["norm"]}, 19),
    "beside the embedding": ("Llama", {"target_modules": ["embed_tokens", "q_proj"]}, 8),
    "beside a tied embedding": ("Qwen2", {"target_modules": ["embed_tokens"]}, 2),
    "beside the head": ("Llama", {"target_modules": ["lm_head"]}, 2),
    "beside a tied head": ("Qwen2", {"target_modules": ["lm_head"]}, 2),
    "GPT-2's turned layers": ("GPT2", {"target_modules": ["c_attn"], "fan_in_fan_out": True}, 6),
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "chance": ({"init_lora_weights": "pissa_niter_4"}, "began by chance.*path_initial_model_for_weight_conversion"),
    "gradients": ({"init_lora_weights": "lora_ga"}, "lora_ga.*found with data.*convert it to plain LoRA"),
    "no bias to merge into": ({"lora_bias": True}, "cannot merge it into model.layers.0.self_attn.q_proj.*no bias"),
    "tokens": ({"trainable_token_indices": [3, 5]}, "trainable_token_indices"),
    "parameters": ({"target_parameters": ["q_proj.weight"], "target_modules": []}, "has target_parameters"),
    "more blocks": ({"layer_replication": [[0, 2], [1, 3]]}, "layer_replication"),
    "GPTQ": ({"use_qalora": True}, "use_qalora"),
    "activation": ({"alora_invocation_tokens": [5, 6]}, "alora_invocation_tokens.*cannot be merged"),
    "a loss": ({"kasa_config": KasaConfig()}, "kasa_config.*loss"),
    "ties": ({"ensure_weight_tying": True}, "ensure_weight_tying"),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    return {name: save(reference(name), tmp_path_factory.mktemp(name)) for name in ("Llama", "Qwen2", "GPT2")}


def theirs(decoder: Path, config: dict[str, Any], folder: Path) -> Tensor:
    """An adapter that learned something, saved by peft, and the logits of peft with it."""
    torch.manual_seed(1)
    settings: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": TARGETS, **config}
    made: Any = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(decoder), peft.LoraConfig(**settings))
    shake([each for each in made.parameters() if each.requires_grad])
    made.save_pretrained(folder)
    return peft_logits(decoder, folder)


def peft_logits(decoder: Path, folder: Path, rows: int = VOCABULARY) -> Tensor:
    """Those of a saved adapter on a decoder with so many tokens."""
    base: Any = AutoModelForCausalLM.from_pretrained(decoder)
    base.resize_token_embeddings(rows, mean_resizing=False)
    with torch.no_grad():
        return peft.PeftModel.from_pretrained(base, str(folder)).eval()(some_ids()).logits[..., :VOCABULARY]


@pytest.mark.parametrize("kind", SAME)
@torch.no_grad()
def test_it_is_what_peft_makes_of_it(kind, folders, tmp_path):
    family, config, count = SAME[kind]
    told = theirs(folders[family], config, tmp_path / "adapter")
    model = model_with("gated", folders[family])
    plain, names = text_logits(model), [name for name, _ in model.named_parameters()]
    chosen = adapter("peft", start=tmp_path / "adapter")
    assert len(chosen.attach(model)) == count
    found = text_logits(model)
    assert (found - plain).abs().max() > 0.1
    torch.testing.assert_close(found, told, atol=2e-5, rtol=1e-4)
    chosen.merge(model)
    torch.testing.assert_close(text_logits(model), told, atol=2e-5, rtol=1e-4)
    assert set(names) <= {name for name, _ in model.named_parameters(remove_duplicate=False)}
    chosen.unmerge(model)
    assert torch.equal(text_logits(model), found)
    chosen.save(model, tmp_path / "again")
    saved = load_file(tmp_path / "again/adapter_model.safetensors").values()
    has_rows = any(VOCABULARY + 1 in each.shape for each in saved)
    again = peft_logits(folders[family], tmp_path / "again", VOCABULARY + has_rows)
    torch.testing.assert_close(again, told, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_had_here_says_why(kind, folders, tmp_path):
    config, message = REFUSED[kind]
    theirs(folders["Llama"], config, tmp_path / "adapter")
    with pytest.raises(UserError, match=message):
        adapter("peft", start=tmp_path / "adapter").attach(model_with("gated", folders["Llama"]))


@pytest.mark.parametrize("kind", [*SAME, *REFUSED])
@torch.no_grad()
def test_lora_computes_the_same_or_refuses(kind, folders, tmp_path):
    family, config = SAME[kind][:2] if kind in SAME else ("Llama", REFUSED[kind][0])
    told = theirs(folders[family], config, tmp_path / "adapter")
    model = model_with("gated", folders[family])
    targets = ["language_model.*c_attn"] if family == "GPT2" else OURS
    try:
        adapter("lora", rank=4, alpha=8.0, targets=targets, start=tmp_path / "adapter").attach(model)
    except UserError as error:
        assert "take the adapter 'peft'" in str(error) or "name other layers" in str(error)
        assert kind not in ("gaussian", "orthogonal", "eva", "GPT-2's turned layers")
        return
    torch.testing.assert_close(text_logits(model), told, atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_lora_beside_a_head_is_filled_up_by_a_row_for_image(folders, tmp_path):
    theirs(folders["Llama"], {"target_modules": ["lm_head"]}, tmp_path / "adapter")
    weights = load_file(tmp_path / "adapter/adapter_model.safetensors")
    del weights["base_model.model.lm_head.base_layer.weight"]
    (tmp_path / "adapter/adapter_model.safetensors").unlink()
    torch.save(weights, tmp_path / "adapter/adapter_model.bin")
    told = peft_logits(folders["Llama"], tmp_path / "adapter")
    for name, options in (("lora", {"rank": 4, "alpha": 8.0, "targets": ["*lm_head"]}), ("peft", {})):
        model = model_with("gated", folders["Llama"])
        assert type(adapter(name)).files({"start": tmp_path / "adapter"})[1].name == "adapter_model.bin"
        adapter(name, start=tmp_path / "adapter", **options).attach(model)
        torch.testing.assert_close(text_logits(model), told, atol=2e-5, rtol=1e-4)


def test_an_adapter_of_more_tokens_is_refused(folders, tmp_path):
    theirs(folders["Llama"], {"modules_to_save": ["lm_head"]}, tmp_path / "adapter")
    file = tmp_path / "adapter/adapter_model.safetensors"
    weights = load_file(file)
    file.unlink()
    torch.save(
        {name: torch.cat([each, each]) if "lm_head" in name else each for name, each in weights.items()},
        file.with_suffix(".bin"),
    )
    with pytest.raises(UserError, match=r"more tokens: lm_head.weight is \(580, 32\) there and \(291, 32\) here"):
        adapter("peft", start=tmp_path / "adapter").attach(model_with("gated", folders["Llama"]))


def test_code_in_an_older_file_is_not_run(folders, tmp_path):
    theirs(folders["Llama"], {}, tmp_path / "adapter")
    (tmp_path / "adapter/adapter_model.safetensors").unlink()
    torch.save({"a": print}, tmp_path / "adapter/adapter_model.bin")
    with pytest.raises(UserError, match="holds pickled code, which is not run"):
        adapter("peft", start=tmp_path / "adapter").attach(model_with("gated", folders["Llama"]))


def test_an_adapter_that_lacks_a_layer_is_refused(folders, tmp_path):
    theirs(folders["Llama"], {}, tmp_path / "adapter")
    config = json.loads((tmp_path / "adapter/adapter_config.json").read_text())
    (tmp_path / "adapter/adapter_config.json").write_text(
        json.dumps({**config, "target_modules": [*TARGETS, "k_proj"]})
    )
    with pytest.raises(UserError, match=r"lacks model\.layers\.0\.self_attn\.k_proj\.lora_A\.weight"):
        adapter("peft", start=tmp_path / "adapter").attach(model_with("gated", folders["Llama"]))
    with pytest.raises(UserError, match="leave out those beside 'start'"):
        adapter("peft", start=tmp_path / "adapter", settings={"r": 2}).attach(model_with("gated", folders["Llama"]))


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("lora", {"lora_bias": True}, "cannot merge it into language_model"),
        ("lora", {"bias": "lora_only"}, "bias: lora_only .*has no effect"),
        ("lora", {"fan_in_fan_out": True}, "fan_in_fan_out: True .*has no effect"),
        ("lora", {"r": 4, "layers_to_transform": 1}, "said with 'targets'"),
        ("lora", {"use_qalora": True}, "GPTQ"),
        ("lora", {"init_lora_weights": "eva"}, "needs data"),
        ("lora", {"init_lora_weights": "corda"}, "found with data"),
        ("lora", {"inference_mode": True}, "leave it out|Leave it out"),
        ("ia3", {"modules_to_save": "lm_head"}, "phase's 'train'"),
        ("beft", {}, "cannot merge it into"),
        ("lily", {}, "cannot merge it into"),
        ("ln_tuning", {}, "computes something else"),
        ("adalora", {"total_step": 10}, "does not live in single layers"),
    ],
)
def test_the_plan_tells_what_has_no_effect_or_cannot_be_merged(
    method, settings, message, folders, tmp_path, monkeypatch, capsys
):
    written = ", ".join(f"{name}: {json.dumps(value)}" for name, value in settings.items())
    adapted = f"{{name: peft, method: {method}, settings: {{{written}}}, targets: ['language_model.*q_proj']}}"
    text = SMALL.replace("adapter: full", f"adapter: {adapted}").replace("language_model], steps", "adapter], steps")
    decoder = f"{{name: huggingface, checkpoint: {folders['Llama']}}}"
    text = text.replace("{name: gpt, width: 16, depth: 1, heads: 2, vocabulary_size: 300}", decoder)
    told = CommandLine(tmp_path, monkeypatch, capsys)("plan", write(tmp_path, text), "--plugins", PLUGINS)
    assert told.code == 2, told.output
    assert re.search(message, " ".join(told.errors.split()))


@pytest.mark.parametrize(
    "settings",
    [
        {"r": 8},
        {"r": 4, "lora_alpha": 3},
        {"use_rslora": True},
        {"lora_dropout": 0.1},
        {"bias": "none"},
        {"init_lora_weights": "pissa"},
    ],
)
def test_settings_with_an_effect_and_usual_ones_are_taken(settings, folders):
    assert adapter("peft", settings=settings, targets=OURS).attach(model_with("gated", folders["Llama"]))


def test_biases_train_that_a_setting_lets_train(folders):
    model = model_with("gated", folders["Qwen2"])
    parameters = adapter("peft", settings={"r": 2, "bias": "lora_only"}, targets=OURS).attach(model)
    own = {id(each) for each in parameters}
    names = [name for name, each in model.named_parameters() if id(each) in own and name.endswith("bias")]
    assert len(names) == 6
    assert all("q_proj" in name or "v_proj" in name for name in names)


@pytest.mark.parametrize("start", ["pissa", "olora", "pissa_niter_2"])
def test_what_takes_a_part_of_a_weight_that_the_embedding_shares_is_refused(start, folders, tmp_path):
    chosen = adapter("peft", settings={"r": 4, "init_lora_weights": start}, targets=["*lm_head", OURS[0]])
    with pytest.raises(UserError, match=r"changes the weight of language_model\.lm_head where it begins"):
        chosen.attach(model_with("gated", folders["Qwen2"]))
    assert chosen.attach(model_with("gated", folders["Llama"]))  # whose head has a weight of its own
    theirs(folders["Qwen2"], {"init_lora_weights": start, "target_modules": ["lm_head"]}, tmp_path / "adapter")
    with pytest.raises(UserError, match=r"changes the weight of lm_head where it begins"):
        adapter("peft", start=tmp_path / "adapter").attach(model_with("gated", folders["Qwen2"]))
