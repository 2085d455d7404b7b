"""Tiny decoders of transformers with random weights, saved as pretrained ones are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tests.tiny import texts

VOCABULARY = 290  # 3 special tokens, 256 bytes and some merges
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.15,
}
WINDOW = 5  # shorter than every test sequence, so that a window that is forgotten is found
GEMMA: dict[str, Any] = {
    "head_dim": 16,
    "query_pre_attn_scalar": 24,
    "sliding_window": WINDOW,
    "num_key_value_heads": 1,
}
GEMMA_LAYERS = ["sliding_attention", "full_attention", "sliding_attention"]
FAMILIES: dict[str, Callable[[], Any]] = {
    "Llama": lambda: _made("Llama", num_key_value_heads=2),
    "Qwen2": lambda: _made("Qwen2", num_key_value_heads=2, tie_word_embeddings=True),
    "Qwen3": lambda: _made("Qwen3", num_key_value_heads=2, head_dim=16),
    "Gemma3": lambda: _made("Gemma3", config="Gemma3TextConfig", layer_types=GEMMA_LAYERS, **GEMMA),
    "Gemma2": lambda: _made("Gemma2", final_logit_softcapping=4.0, attn_logit_softcapping=3.0, **GEMMA),
    "Phi3": lambda: _made("Phi3", num_key_value_heads=2, pad_token_id=0, sliding_window=WINDOW),
    "GPT2": lambda: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=VOCABULARY,
            n_embd=32,
            n_layer=3,
            n_head=4,
            n_positions=128,
            bos_token_id=1,
            eos_token_id=2,
            initializer_range=0.15,
        )
    ),
    "Mistral": lambda: _made("Mistral", num_key_value_heads=2, sliding_window=WINDOW),
    "SmolLM3": lambda: _made("SmolLM3", num_key_value_heads=2, pad_token_id=0, no_rope_layers=[1, 1, 0]),
}


def reference(family: str) -> Any:
    """A decoder of that family, the same each time."""
    torch.manual_seed(0)
    return FAMILIES[family]().eval()


def save(model: Any, folder: Path) -> Path:
    """Weights, none at a value that hides a mistake, and a tokenizer as pretrained ones have it."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "norm" in name or ".ln_" in name:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    model.save_pretrained(folder)
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=True), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<unk>", "<s>", "</s>"]
    raw.train_from_iterator(
        texts(), trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet)
    )
    raw.enable_truncation(4)
    raw.save(str(folder / "tokenizer.json"))
    return folder


def _made(family: str, config: str = "", **options: Any) -> Any:
    settings = getattr(transformers, config or f"{family}Config")(**SIZES, **options)
    return getattr(transformers, f"{family}ForCausalLM")(settings)


def save_gguf(folder: Path, file: Path) -> Path:
    """The Qwen2 of a folder, and its tokenizer, as llama.cpp keeps them."""
    import json

    from gguf import GGUFWriter
    from safetensors.torch import load_file

    config = json.loads((folder / "config.json").read_text())
    raw = Tokenizer.from_file(str(folder / "tokenizer.json"))
    merges = json.loads(raw.to_str())["model"]["merges"]
    writer = GGUFWriter(file, "qwen2")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([str(raw.id_to_token(number)) for number in range(VOCABULARY)])
    writer.add_token_types([3 if number < 3 else 1 for number in range(VOCABULARY)])
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    for name, weight in load_file(folder / "model.safetensors").items():
        for theirs, ours in GGUF_NAMES.items():
            name = name.replace(theirs, ours)
        writer.add_tensor(name, weight.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


GGUF_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.layers.": "blk.",
    "model.norm": "output_norm",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
