"""A config of each family of causal decoders as released checkpoints have them, and small random checkpoints of them.

Class defaults of transformers lack what every released `config.json` gives (`RELEASED`), and most leave out what a
family can do besides: a window, scaled logits, scaled embeddings (`COUNTING`).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from workbench.checkpoints.small_likeness import VOCABULARY, draw_telling_weights, small_likeness
from workbench.conformance.reference_questions import corpus

# Numbers that change what a model says, at values at which nobody can leave them out unseen.
COUNTING: dict[str, Any] = {
    "logit_scale": 0.7,
    "logits_scaling": 3.0,
    "lm_head_multiplier": 0.6,
    "logits_mup_width_multiplier": 3.0,
    "embedding_multiplier": 2.5,
    "embedding_scale": 2.0,
    "residual_multiplier": 0.7,
    "attention_multiplier": 0.3,
    "attention_in_multiplier": 0.8,
    "attention_out_multiplier": 1.2,
    "key_multiplier": 1.5,
    "ssm_in_multiplier": 1.3,
    "ssm_out_multiplier": 0.8,
    "final_logit_softcapping": 4.0,
    "attn_logit_softcapping": 3.0,
    "logits_soft_cap": 4.0,
    "query_pre_attn_scalar": 24,
    "scale_emb": 3,
    "clip_qkv": 0.8,
    "scale_embedding": True,
    "mup_enabled": True,
    "is_decoder": True,
    "lm_head_bias": True,
}
LAYERS = 32
MIXED = ["sliding_attention", "full_attention"] * (LAYERS // 2)
ROPE = {"rope_theta": 10000.0, "rope_type": "default"}
# What released configs give and class defaults do not.
RELEASED: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [9, 18, 27]},
    "cohere_compass_text": {
        "num_hidden_layers": LAYERS,
        "layer_types": MIXED,
        "rope_parameters": {"sliding_attention": ROPE, "full_attention": ROPE},
    },
    "dbrx": {"attn_config": {"kv_n_heads": 4, "clip_qkv": 8.0, "rope_theta": 500000.0}},
    "deepseek_v2": {"num_experts_per_tok": 6, "n_group": 8, "topk_group": 3, "topk_method": "group_limited_greedy"},
    "dots1": {"n_routed_experts": 128, "n_shared_experts": 2, "num_experts_per_tok": 6},
    "granitemoehybrid": {"layer_types": ["linear_attention"] * 5 + ["full_attention"] * 27},
    "hunyuan_v1_dense": {"head_dim": 128, "num_key_value_heads": 8},
    "hunyuan_v1_moe": {"head_dim": 128, "num_key_value_heads": 8, "moe_topk": 2, "num_experts": 16},
    "lfm2": {"layer_types": ["conv", "conv", "full_attention", "conv"] * 8, "num_hidden_layers": LAYERS},
    "lfm2_moe": {"layer_types": ["conv", "conv", "full_attention", "conv"] * 8, "num_hidden_layers": LAYERS},
    "minimax_m3_vl_text": {
        "num_hidden_layers": LAYERS,
        "layer_types": ["full_attention"] * 3 + ["minimax_m3_sparse"] * (LAYERS - 3),
    },
    "ministral": {"head_dim": 128},
    "nemotron": {"num_key_value_heads": 8},
    "qwen4_exp_text": {
        "indexer_n_heads": 8,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 128,
        "indexer_budget": 2048,
        "indexer_compress_ratio": 16,
        "rope_parameters": {**ROPE, "partial_rotary_factor": 0.25},
    },
    "xmod": {"default_language": "en_XX"},
}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32768}
# Other kinds of released checkpoints of a family that can go wrong in ways of their own.
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "opt (350m)": (
        "opt",
        {"hidden_size": 1024, "word_embed_proj_dim": 512, "do_layer_norm_before": False, "num_attention_heads": 16},
    ),
    "phi3 (longrope)": (
        "phi3",
        {
            "max_position_embeddings": 131072,
            "original_max_position_embeddings": 4096,
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 10000.0,
                "short_factor": [1.0 + 0.05 * each for each in range(48)],
                "long_factor": [1.0 + 0.9 * each for each in range(48)],
            },
        },
    ),
    "llama (llama3)": (
        "llama",
        {
            "max_position_embeddings": 131072,
            "num_key_value_heads": 8,
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 500000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192,
            },
        },
    ),
    "llama (dynamic)": (
        "llama",
        {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}},
    ),
    "qwen3 (yarn)": ("qwen3", {"rope_parameters": YARN, "max_position_embeddings": 131072}),
    "deepseek_v3 (yarn)": (
        "deepseek_v3",
        {
            "max_position_embeddings": 163840,
            "rope_parameters": {**YARN, "factor": 40.0, "original_max_position_embeddings": 4096, "mscale": 1.0,
                                "mscale_all_dim": 1.0},
        },
    ),
    "gpt_neox (in turn)": ("gpt_neox", {"use_parallel_residual": False}),
    "gpt2 (scaled by layer)": (
        "gpt2",
        {"scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True},
    ),
    "gpt_bigcode (many heads)": ("gpt_bigcode", {"multi_query": False}),
    "phi (normalized)": ("phi", {"qk_layernorm": True}),
    "stablelm (parallel)": ("stablelm", {"use_parallel_residual": True, "qk_layernorm": True}),
    "llama4_text (no scaling)": ("llama4_text", {"attn_temperature_tuning": False}),
    "deepseek_v3 (plain queries)": ("deepseek_v3", {"q_lora_rank": None}),
    "gemma (2 billion)": ("gemma", {"num_key_value_heads": 1, "num_attention_heads": 8, "head_dim": 256}),
    "gemma4_text (mixture)": (
        "gemma4_text",
        {"enable_moe_block": True, "num_experts": 128, "top_k_experts": 8, "moe_intermediate_size": 704},
    ),
    "gemma4_text (plain)": ("gemma4_text", {"hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0}),
    "doge (mixture)": ("doge", {"is_moe": True}),
}  # fmt: skip


class CannotBeBuilt(Exception):
    """A family that has no small random checkpoint, and why."""


def configs(only: Sequence[str]) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Every family, and other kinds of some, with what makes its config."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    kinds = {family: (family, RELEASED.get(family, {})) for family in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES} | KINDS
    for name, (family, options) in sorted(kinds.items()):
        if not only or name in only or family in only:
            yield name, functools.partial(released, family, options)


def released(family: str, options: dict[str, Any]) -> Any:
    """The config of a real-sized checkpoint in which everything that the family can do counts."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    try:
        config = CONFIG_MAPPING[family](**options)
    except Exception as error:
        raise CannotBeBuilt(f"its config class has no default: {error}") from error
    own = vars(config)
    for name, value in COUNTING.items():
        if name in own:
            own[name] = value
    if "sliding_window" in own and not own["sliding_window"]:
        own["sliding_window"] = 4096
        if "use_sliding_window" in own:
            own["use_sliding_window"] = True
        if own.get("layer_types") and set(own["layer_types"]) == {"full_attention"}:
            depth = len(own["layer_types"])
            own["layer_types"] = (MIXED * depth)[:depth]
    return config


def random_checkpoint(config: Any, folder: Path) -> None:
    """A small likeness of it with random weights, and a tokenizer whose tokens with `<image>` are one too many."""
    import torch
    from transformers import AutoModelForCausalLM

    try:
        small = small_likeness(config)
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(small)
        draw_telling_weights(model)
        model.eval().save_pretrained(folder)
    except Exception as error:
        raise CannotBeBuilt(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}") from error
    _write_tokenizer(folder)


def _write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=True), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    named = {"bos_token": "<s>", "eos_token": "</s>"}
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<unk>", *named.values()],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    raw.train_from_iterator(corpus().texts(), trainer)
    raw.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(named), encoding="utf-8")
