"""Connectors that change the number of image tokens, held against what they are made of elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers import Blip2QFormerConfig, Blip2QFormerModel

from tests.tiny import builtin_registry
from workbench import UserError, VisionShape


def connector(name: str, vision: VisionShape, **options: Any) -> Any:
    torch.manual_seed(0)
    return builtin_registry().create("connector", name, vision, 16, **options)


@pytest.mark.parametrize("factor", [1, 2, 3])
@torch.no_grad()
def test_pixel_shuffle_is_undone_by_torchs(factor):
    ours = connector("pixel_shuffle", VisionShape(5, 36), factor=factor)
    tokens = torch.randn(2, 36, 5)
    grid = tokens.transpose(1, 2).view(2, 5, 6, 6)
    wide = functional.pixel_unshuffle(grid, factor)  # [P,Dv factor^2,side,side], a channel's patches side by side
    side = 6 // factor
    wide = wide.view(2, 5, factor**2, side**2).permute(0, 3, 2, 1).flatten(2)  # a patch's channels side by side
    torch.testing.assert_close(ours(tokens), ours.projection(wide))
    assert ours.shape == VisionShape(16, side**2)


@pytest.mark.parametrize(
    ("tokens", "factor", "message"), [(17, 2, "17 tokens are none"), (25, 2, "do not fill 5 by 5")]
)
def test_pixel_shuffle_says_which_tokens_it_cannot_take(tokens, factor, message):
    with pytest.raises(UserError, match=message):
        connector("pixel_shuffle", VisionShape(5, tokens), factor=factor)


@pytest.mark.parametrize("name", ["resampler", "qformer"])
@torch.no_grad()
def test_learned_queries_give_as_many_tokens_whatever_the_image_has_and_in_whatever_order(name):
    for count in (4, 50):
        ours = connector(name, VisionShape(12, count), queries=7).eval()
        tokens = torch.randn(2, count, 12)
        assert ours(tokens).shape == (2, 7, 16)
        torch.testing.assert_close(ours(tokens.flip(1)), ours(tokens), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_qformer_computes_what_that_of_transformers_computes():
    ours = connector("qformer", VisionShape(12, 9), queries=5, width=16, depth=4, every=2, heads=4).eval()
    for parameter in ours.parameters():
        parameter.add_(0.1 * torch.randn(parameter.shape))
    sizes: Any = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 64}
    config = Blip2QFormerConfig(**sizes, encoder_hidden_size=12, cross_attention_frequency=2, layer_norm_eps=1e-5)
    theirs: Any = Blip2QFormerModel(config).eval()
    theirs.layernorm.load_state_dict(ours.norm.state_dict())
    for block, layer in zip(ours.blocks, theirs.encoder.layer, strict=True):
        attention = layer.attention
        copy_rows(block.attention.qkv, [attention.attention.query, attention.attention.key, attention.attention.value])
        attention.output.dense.load_state_dict(block.attention.output.state_dict())
        attention.output.LayerNorm.load_state_dict(block.attention_norm.state_dict())
        if block.look is not None:
            look = layer.crossattention
            look.attention.query.load_state_dict(block.look.query.state_dict())
            copy_rows(block.look.key_value, [look.attention.key, look.attention.value])
            look.output.dense.load_state_dict(block.look.output.state_dict())
            look.output.LayerNorm.load_state_dict(block.look_norm.state_dict())
        layer.intermediate_query.dense.load_state_dict(block.mlp.up.state_dict())
        layer.output_query.dense.load_state_dict(block.mlp.down.state_dict())
        layer.output_query.LayerNorm.load_state_dict(block.mlp_norm.state_dict())
    tokens = torch.randn(2, 9, 12)
    told = theirs(query_embeds=ours.queries.expand(2, -1, -1), encoder_hidden_states=tokens).last_hidden_state
    torch.testing.assert_close(ours(tokens), ours.projection(told), atol=1e-5, rtol=1e-5)


def copy_rows(source: nn.Linear, targets: list[nn.Linear]) -> None:
    """Rows of one layer into several."""
    for target, weight, bias in zip(
        targets, source.weight.chunk(len(targets)), source.bias.chunk(len(targets)), strict=True
    ):
        target.weight.copy_(weight)
        target.bias.copy_(bias)
