"""Small models that behave as large ones do: from the real-sized config of every family of decoders."""

from __future__ import annotations

import copy
import sys
from typing import Any

import pytest
import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from workbench.checkpoints.small_likeness import MOST_PARAMETERS, WINDOW, draw_telling_weights, small_likeness
from workbench.checkpoints.transformers_models import quiet_transformers

# Every released config has what their class's default leaves out, or their own code is not able to run it.
LACKING = {
    "cohere_compass_text": "KeyError",
    "dbrx": "AttributeError",
    "dots1": "TypeError",
    "hunyuan_v1_dense": "TypeError",
    "hunyuan_v1_moe": "TypeError",
    "lfm2_moe": "TypeError",
    "ministral": "TypeError",
    "nemotron": "TypeError",
    "qwen4_exp_text": "TypeError",
}
ONE_OF_A_KIND = {"zamba"}  # its blocks share weights, and it cannot be built with one alone of a kind
NOT_RUN = {
    "bamba": "its cache asks for a layer of attention",
    "blt": "its default does not say how deep it is",
    "deepseek_v2": "its default does not say how many experts a token has",
    "granitemoehybrid": "its cache asks for a layer of attention",
    "xmod": "its default names no language",
}


def families() -> list[str]:
    """Those that attend as `AttentionInterface` has it, as text alone."""
    found = []
    for family, name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.items():
        module = sys.modules[getattr(transformers, name).__module__]
        if hasattr(module, "ALL_ATTENTION_FUNCTIONS") and family != "gemma4_assistant" and is_text(default(family)):
            found.append(family)
    return found


def default(family: str) -> Any:
    with quiet_transformers():
        return CONFIG_MAPPING[family]()


def is_text(config: Any) -> bool:
    try:
        return config.get_text_config() is config
    except ValueError:  # it has several
        return False


def built(config: Any) -> Any:
    with quiet_transformers():
        return transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()


FAMILIES = families()
PHI = {"rope_type": "longrope", "short_factor": [1.0] * 48, "long_factor": [2.0] * 48, "partial_rotary_factor": 0.75}
YARN = {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False}
# The sizes that config.json of released checkpoints has.
RELEASED: dict[str, tuple[str, dict[str, Any]]] = {
    "SmolLM2-135M": ("llama", {"hidden_size": 576, "num_attention_heads": 9, "num_key_value_heads": 3}),
    "TinyLlama-1.1B": ("llama", {"hidden_size": 2048, "num_attention_heads": 32, "num_key_value_heads": 4}),
    "Mistral-Nemo": ("mistral", {"hidden_size": 5120, "head_dim": 128, "sliding_window": None}),
    "Qwen2.5-0.5B": ("qwen2", {"hidden_size": 896, "num_attention_heads": 14, "num_key_value_heads": 2}),
    "Qwen3-0.6B": ("qwen3", {"hidden_size": 1024, "num_attention_heads": 16, "num_key_value_heads": 8}),
    "gemma-3-270m": (
        "gemma3_text",
        {"hidden_size": 640, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256},
    ),
    "Phi-4-mini": (
        "phi3",
        {
            "num_attention_heads": 24,
            "num_key_value_heads": 8,
            "max_position_embeddings": 131072,
            "original_max_position_embeddings": 4096,
            "rope_parameters": {**PHI, "rope_theta": 10000.0},
        },
    ),
    "gpt-oss-20b": (
        "gpt_oss",
        {
            "hidden_size": 2880,
            "num_hidden_layers": 24,
            "num_local_experts": 32,
            "quantization_config": {"quant_method": "mxfp4"},
            "rope_parameters": {**YARN, "rope_theta": 150000.0, "original_max_position_embeddings": 4096},
        },
    ),
    "Falcon-H1-0.5B": (
        "falcon_h1",
        {
            "hidden_size": 1024,
            "num_attention_heads": 8,
            "num_key_value_heads": 2,
            "head_dim": 64,
            "mamba_d_ssm": 1536,
            "mamba_n_heads": 24,
            "mamba_d_head": 64,
            "mamba_d_state": 128,
        },
    ),
    "DeepSeek-V2-Lite": ("deepseek_v2", {"q_lora_rank": None, "num_experts_per_tok": 6, "num_attention_heads": 16}),
    "starcoder2-3b": ("starcoder2", {"hidden_size": 3072, "num_attention_heads": 24, "num_key_value_heads": 2}),
    "opt-350m": (
        "opt",
        {"hidden_size": 1024, "word_embed_proj_dim": 512, "num_attention_heads": 16, "do_layer_norm_before": False},
    ),
    "one head of 71": ("gpt_bigcode", {"n_embd": 71 * 64, "n_head": 71, "multi_query": True}),
    "two layers": ("llama", {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "vocab_size": 300}),
}


def test_most_families_are_among_them():
    assert len(FAMILIES) > 100
    assert set(FAMILIES) > {"llama", "gemma3_text", "mixtral", "deepseek_v3", "gpt_oss", "falcon_h1", "jamba"}


@pytest.mark.parametrize("family", [each for each in FAMILIES if each not in {*LACKING, *ONE_OF_A_KIND}])
@torch.no_grad()
def test_of_every_family_there_is_a_small_one_that_reads_a_text(family):
    config = default(family)
    before = copy.deepcopy(config).to_dict()
    small = small_likeness(config)
    assert type(small) is type(config)
    assert config.to_dict() == before
    for name, value in vars(config).items():
        if isinstance(value, str | float | bool) or value is None:
            assert vars(small)[name] == value, name
    model = built(small)
    assert sum(each.numel() for each in model.parameters()) <= MOST_PARAMETERS
    assert vars(small)["vocab_size"] < 300
    if family not in NOT_RUN:
        draw_telling_weights(model)
        logits = model(torch.arange(5, 29)[None]).logits
        assert bool(logits.isfinite().all())
        assert float(logits.std()) > 0.01


@pytest.mark.parametrize("name", RELEASED)
@torch.no_grad()
def test_of_released_checkpoints_there_are_small_ones_in_the_same_proportions(name):
    family, options = RELEASED[name]
    config = CONFIG_MAPPING[family](**options)
    small = small_likeness(config)
    model = built(small)
    draw_telling_weights(model)
    assert bool(model(torch.arange(5, 29)[None]).logits.isfinite().all())
    queries, keys = (getattr(config, each, None) for each in ("num_attention_heads", "num_key_value_heads"))
    if keys and keys > 1:
        assert small.num_attention_heads / small.num_key_value_heads == queries / keys
    elif keys:
        assert small.num_key_value_heads == 1 < small.num_attention_heads
    for each in (small.num_hidden_layers, sum(weight.numel() for weight in model.parameters()) // 1_000_000):
        assert each <= 8
    assert not hasattr(small, "quantization_config")


@pytest.mark.parametrize("family", LACKING)
def test_where_the_large_one_cannot_be_built_the_small_one_cannot_either_and_says_why(family):
    config = default(family)
    with pytest.raises(Exception), quiet_transformers(), torch.device("meta"):  # noqa: B017, PT011
        transformers.AutoModelForCausalLM.from_config(config)
    with pytest.raises(ValueError, match=f"no small likeness of a {family} could be built: {LACKING[family]}: "):
        small_likeness(config)


def test_one_layer_of_each_kind_is_kept():
    assert small_likeness(default("gemma3_text")).layer_types == ["sliding_attention", "full_attention"]
    llama4 = small_likeness(default("llama4_text"))
    assert llama4.layer_types == ["chunked_attention"] * 3 + ["full_attention"]
    assert (llama4.no_rope_layers, llama4.attention_chunk_size) == ([1, 1, 1, 0], WINDOW)
    deepseek = small_likeness(default("deepseek_v3"))
    assert (deepseek.num_hidden_layers, deepseek.first_k_dense_replace) == (2, 1)
    shared = small_likeness(default("gemma3n_text"))
    assert shared.layer_types == ["sliding_attention", "full_attention"] * 3
    assert shared.activation_sparsity_pattern == [0.95, 0.95, 0.0, 0.0, 0.0, 0.0]
    assert shared.num_kv_shared_layers == 2
    assert small_likeness(default("jamba")).num_hidden_layers == 8


def test_heads_stay_in_their_groups():
    qwen = transformers.Qwen2Config(hidden_size=896, num_attention_heads=14, num_key_value_heads=2)
    small = small_likeness(qwen)
    assert small.num_attention_heads // small.num_key_value_heads == 7
    assert small.num_key_value_heads == 2
    one = transformers.GemmaConfig(num_attention_heads=8, num_key_value_heads=1)
    assert small_likeness(one).num_key_value_heads == 1


def test_a_window_is_shorter_than_a_short_text():
    config = transformers.MistralConfig(sliding_window=4096)
    model = built(small_likeness(config))
    draw_telling_weights(model)
    first, second = torch.arange(5, 29)[None], torch.arange(5, 29)[None]
    second[0, 0] = 200
    with torch.no_grad():
        apart = (model(first).logits - model(second).logits).abs().amax(-1)[0]
    reach = model.config.num_hidden_layers * (WINDOW - 1)
    assert float(apart[: reach + 1].max()) > 0.01
    assert float(apart[reach + 1 :].max()) < 1e-5


def test_a_narrow_embedding_stays_narrow():
    config = transformers.OPTConfig(hidden_size=1024, word_embed_proj_dim=512, num_attention_heads=16)
    small = small_likeness(config)
    assert small.word_embed_proj_dim * 2 == small.hidden_size


def test_positions_that_are_scaled_one_by_one_stay_as_many_as_are_turned():
    factors = {"short_factor": [1.0] * 48, "long_factor": [2.0 + each for each in range(48)]}
    rope: Any = {"rope_type": "longrope", "rope_theta": 10000.0, **factors}
    lengths: Any = {"max_position_embeddings": 131072, "original_max_position_embeddings": 4096}
    small = small_likeness(transformers.Phi3Config(rope_parameters=rope, **lengths))
    head = small.hidden_size // small.num_attention_heads
    assert len(small.rope_parameters["long_factor"]) == len(small.rope_parameters["short_factor"]) == head // 2
    assert small.max_position_embeddings // small.original_max_position_embeddings == 32


def test_what_no_rule_makes_small_is_refused_by_its_size():
    with pytest.raises(ValueError, match=r"a llama has [\d,]+ parameters, more than 3,000,000"):
        small_likeness(transformers.LlamaConfig(), vocabulary=200_000)


def test_drawn_weights_hide_nothing_and_are_the_same_each_time():
    config = small_likeness(transformers.Qwen2Config())
    first, second = built(config), built(config)
    for model in (first, second):
        draw_telling_weights(model, seed=3)
    for name, weight in first.named_parameters():
        assert torch.equal(weight, second.get_parameter(name))
        assert float(weight.detach().std()) > 0.05, name
        assert not bool(((weight == 0) | (weight == 1)).any()), name
