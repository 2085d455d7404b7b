"""Where the parts of a decoder of transformers lie, and whether it has those that a fusion needs."""

from __future__ import annotations

import sys
from typing import Any

from torch import nn

from workbench import UserError

ATTENTIONS = ("self_attn", "attn", "attention", "self_attention")  # what families call a block's self-attention


def check_decoder(decoder: Any, checkpoint: str) -> None:
    """A decoder of text whose attention can be told what to look at, in every block; `UserError` for any other."""
    kind = type(decoder).__name__
    if decoder.config.get_text_config() is not decoder.config:
        raise UserError(f"{checkpoint} is a {kind}, which sees images by itself: give a decoder of text alone")
    # A family without the interface would apply the mask in a way of its own, or none.
    if not hasattr(sys.modules[type(decoder).__module__], "ALL_ATTENTION_FUNCTIONS"):
        raise UserError(
            f"{checkpoint} is a {kind}, whose attention does not go through transformers' AttentionInterface, so it"
            " cannot be told which tokens to look at. Llama, Qwen, Gemma, Phi, GPT-2, Mistral and most others can"
        )
    if decoder.get_output_embeddings() is None:
        raise UserError(f"{checkpoint} is a {kind}, which has no layer that makes logits")
    for name in ("num_hidden_layers", "num_attention_heads"):
        if not isinstance(_of_config(decoder, name), int):
            raise UserError(f"{checkpoint} is a {kind}, whose config.json names no one {name} for all of its blocks")
    blocks = list_of_blocks(decoder)
    if blocks is None:
        raise UserError(
            f"{checkpoint} is a {kind}, which has no list of {decoder.config.num_hidden_layers} blocks as its"
            " config.json counts them (num_hidden_layers): a fusion cannot find its place among them"
        )
    if not all(attention_of(block) for block in blocks):
        raise UserError(
            f"{checkpoint} is a {kind}, which has blocks without self-attention, or one that goes by another name than"
            f" {', '.join(ATTENTIONS)}: these cannot be used here"
        )


def context_of(config: Any) -> int | None:
    """How many tokens it reads at most. Rotary positions of the kind `longrope` (Phi-3, https://arxiv.org/abs/2402.13753)
    turn by other angles in every row as soon as one goes beyond the length that it was trained on first: what lies in a
    cache by then, and what a question gets beside longer ones, would be wrong."""
    most, rope = getattr(config, "max_position_embeddings", None), getattr(config, "rope_parameters", None) or {}
    for each in (rope, *rope.values()):
        if isinstance(each, dict) and each.get("rope_type", each.get("type")) == "longrope":
            first = each.get("original_max_position_embeddings") or getattr(
                config, "original_max_position_embeddings", most
            )
            most = min(filter(None, (most, first)), default=None)
    return most


def list_of_blocks(decoder: Any) -> nn.ModuleList | None:
    """The blocks, as many as the config counts; None where no list has so many."""
    depth = decoder.config.num_hidden_layers
    return next((each for each in decoder.modules() if isinstance(each, nn.ModuleList) and len(each) == depth), None)


def attention_of(block: nn.Module) -> Any:
    """A block's self-attention, None where it has none."""
    return next((block._modules[name] for name in ATTENTIONS if name in block._modules), None)


def name_of(decoder: nn.Module, part: nn.Module | None) -> str:
    """What the decoder calls one of its modules."""
    return next(name for name, module in decoder.named_modules() if module is part)


def _of_config(decoder: Any, name: str) -> Any:
    """A number of the config; None where its blocks have different ones."""
    try:
        return getattr(decoder.config, name, None)
    except Exception as error:  # transformers has an own kind of error for what differs from block to block
        if "layer" not in str(error):
            raise
        return None
