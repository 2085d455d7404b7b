"""A Llama-architecture checkpoint in Hugging Face layout: its sizes, its weights, and how its positions turn."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, ValidationError
from torch import Tensor

from workbench import Rotary, Tokenizer, UserError, heads_of, read_config, read_folder


class Sizes(BaseModel):
    """What a decoder is built from, named and with the defaults of a Hugging Face `config.json`."""

    model_config = ConfigDict(frozen=True)

    model_type: Literal["llama", "mistral", "qwen2"] = "llama"
    vocab_size: PositiveInt
    hidden_size: PositiveInt
    intermediate_size: PositiveInt
    num_hidden_layers: PositiveInt
    num_attention_heads: PositiveInt
    num_key_value_heads: PositiveInt | None = None
    head_dim: PositiveInt | None = None
    hidden_act: Literal["silu"] = "silu"
    rms_norm_eps: PositiveFloat = 1e-6
    rope_theta: PositiveFloat = 10_000.0
    rope_scaling: dict[str, Any] | None = None
    rope_parameters: dict[str, Any] | None = None  # what newer files have in place of the two above
    sliding_window: PositiveInt | None = None
    use_sliding_window: bool = True
    tie_word_embeddings: bool = False

    @property
    def head_width(self) -> int:
        """The width of one head of queries, keys or values: the config's, or an even share."""
        return self.head_dim or heads_of(self.hidden_size, self.num_attention_heads)


def read_decoder(folder: Path, tokenizer: Tokenizer) -> tuple[Sizes, dict[str, Tensor]]:
    """Sizes and weights of a Hugging Face folder, with a row for every token of the tokenizer."""
    try:
        sizes = Sizes.model_validate(read_config(folder))
    except ValidationError as error:
        wrong = "; ".join(f"{each['loc'][-1]}: {each['msg']}" for each in error.errors() if each["loc"])
        raise UserError(f"{folder / 'config.json'} describes no Llama that is known here: {wrong}") from error
    if sizes.sliding_window is not None and sizes.use_sliding_window:
        raise UserError(
            f"{folder / 'config.json'} asks for a sliding window, which is not built here: take a checkpoint"
            " without one, or set sliding_window to null if your sequences are shorter"
        )
    weights = {name: weight for name, weight in read_folder(folder).items() if not name.endswith("rotary_emb.inv_freq")}
    rows = max(sizes.vocab_size, tokenizer.size)
    embedding, head = "model.embed_tokens.weight", "lm_head.weight"
    for name in (embedding, head):
        if name in weights:
            weights[name] = _enlarged(weights[name], rows - sizes.vocab_size)
    if sizes.tie_word_embeddings and embedding in weights:
        weights[head] = weights[embedding]
    return sizes.model_copy(update={"vocab_size": rows}), weights


def biases_of(weights: dict[str, Tensor]) -> frozenset[str]:
    """The linear layers of a block that have a bias in the checkpoint."""
    return frozenset(name.split(".")[-2] for name in weights if name.endswith("_proj.bias"))


def rotary_of(sizes: Sizes) -> Rotary:
    """Rotary positions with the scaling that the config names."""
    told = sizes.rope_parameters or sizes.rope_scaling or {}
    base = float(told.get("rope_theta", sizes.rope_theta))
    kind = told.get("rope_type", told.get("type", "default"))
    if kind not in ("default", "linear", "llama3"):
        raise UserError(f"rotary positions of the type '{kind}' are not built here: default, linear and llama3 are")
    try:
        scaled = None
        if kind == "linear":
            scaled = partial(torch.mul, other=1 / float(told["factor"]))
        elif kind == "llama3":
            names = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
            scaled = partial(_llama3, *(float(told[name]) for name in names))
    except KeyError as error:
        raise UserError(f"rotary positions of the type '{kind}' need {error} in config.json") from error
    return Rotary(sizes.head_width, base, scaled)


def _enlarged(weight: Tensor, more: int) -> Tensor:
    """weight [V,D] and `more` rows, each the mean of those there: a new token starts as none in particular."""
    mean = weight.float().mean(0, keepdim=True).to(weight.dtype)
    return torch.cat([weight, mean.expand(more, -1)])


def _llama3(factor: float, low: float, high: float, trained: float, frequencies: Tensor) -> Tensor:
    """Llama 3.1's frequencies [E/2]: slow ones divided by `factor`, fast ones kept, those between blended.

    A frequency counts as slow when it turns less than `low` times in the `trained` positions, as fast from `high` on
    (Grattafiori et al. 2024, https://arxiv.org/abs/2407.21783, section 3.4.2, and the code released with the model).
    """
    turns = trained * frequencies / (2 * math.pi)
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return frequencies * (kept + (1 - kept) / factor)
