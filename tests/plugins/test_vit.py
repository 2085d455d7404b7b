"""The native ViT, held against torch's own pre-norm encoder layers and a patch embedding written out."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from tests.tiny import builtin_registry
from workbench import UserError
from workbench.registry import resolve_options

SMALL = {"image_size": 16, "patch_size": 4, "width": 24, "depth": 2, "heads": 3}


def vit(**options: Any) -> Any:
    """The built-in encoder, its options checked as those of an experiment file are."""
    torch.manual_seed(0)
    plugin = builtin_registry().plugin("encoder", "vit")
    return plugin.factory(**resolve_options(plugin, options))


def images(size: int = 16, count: int = 2) -> Tensor:
    """Images [P,3,H,W]."""
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def shaken(module: Any) -> Any:
    """No parameter left at a value (0 or 1) that would hide a mistake."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module


def test_the_blocks_are_the_pre_norm_encoder_layers_of_torch():
    encoder = shaken(vit(**SMALL, mlp_ratio=2)).eval()
    hidden = encoder.embedding(images()).flatten(2).transpose(1, 2) + encoder.positions  # [P,N,Dv]
    for block in encoder.blocks:
        layer = nn.TransformerEncoderLayer(24, 3, 48, 0.0, "gelu", batch_first=True, norm_first=True).eval()
        pairs = (
            (layer.self_attn.in_proj_weight, block.attention.qkv.weight),
            (layer.self_attn.in_proj_bias, block.attention.qkv.bias),
            (layer.self_attn.out_proj.weight, block.attention.output.weight),
            (layer.self_attn.out_proj.bias, block.attention.output.bias),
            (layer.linear1.weight, block.mlp.up.weight),
            (layer.linear1.bias, block.mlp.up.bias),
            (layer.linear2.weight, block.mlp.down.weight),
            (layer.linear2.bias, block.mlp.down.bias),
            (layer.norm1.weight, block.attention_norm.weight),
            (layer.norm1.bias, block.attention_norm.bias),
            (layer.norm2.weight, block.mlp_norm.weight),
            (layer.norm2.bias, block.mlp_norm.bias),
        )
        with torch.no_grad():
            for theirs, ours in pairs:
                theirs.copy_(ours)
        hidden = layer(hidden)
    torch.testing.assert_close(encoder(images()), encoder.norm(hidden), atol=1e-5, rtol=1e-5)


def test_a_patch_is_embedded_by_one_linear_layer_row_by_row():
    encoder = shaken(vit(**SMALL))
    weight = encoder.embedding[0].weight.flatten(1)  # [Dv,3*4*4]
    tokens = encoder.embedding(images()).flatten(2).transpose(1, 2)
    for row in range(4):
        for column in range(4):
            patch = images()[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4].flatten(1)
            torch.testing.assert_close(tokens[:, 4 * row + column], patch @ weight.T + encoder.embedding[0].bias)


def test_the_order_of_patches_matters_through_the_positions_alone():
    encoder = vit(**SMALL)
    moved = images().roll(4, dims=3)  # each patch one place to the right
    order = torch.arange(16).view(4, 4).roll(1, dims=1).flatten()
    assert (encoder(moved) - encoder(images())[:, order]).abs().max() > 1e-3
    with torch.no_grad():
        encoder.positions.zero_()
    torch.testing.assert_close(encoder(moved), encoder(images())[:, order], atol=1e-5, rtol=0)


@pytest.mark.parametrize("stem_depth", [0, 1, 2])
def test_a_stem_halves_and_gives_as_many_tokens_as_patches(stem_depth):
    encoder = vit(**SMALL, stem_depth=stem_depth)
    convolutions = [layer for layer in encoder.embedding if isinstance(layer, nn.Conv2d)]
    assert [layer.stride[0] for layer in convolutions] == [2] * stem_depth + [4 // 2**stem_depth]
    assert [layer.kernel_size[0] for layer in convolutions[:-1]] == [3] * stem_depth
    assert encoder(images()).shape == (2, 16, 24) == (2, encoder.shape.tokens, encoder.shape.width)
    encoder(images()).square().mean().backward()
    idle = [name for name, each in encoder.named_parameters() if each.grad is None or not each.grad.abs().sum() > 0]
    assert idle == []


def test_the_norm_of_the_stem_looks_at_one_place_at_a_time():
    encoder = vit(**SMALL, stem_depth=1)
    hidden = torch.randn(1, 24, 3, 5)
    normed = encoder.embedding[1](hidden)
    torch.testing.assert_close(normed.mean(1), torch.zeros(1, 3, 5), atol=1e-5, rtol=0)
    torch.testing.assert_close(normed.var(1, correction=0), torch.ones(1, 3, 5), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_size": 7}, "patch_size 7 does not divide image_size 64"),
        ({"stem_depth": 5}, "stem_depth 5 .* patch_size is 16"),
        ({"patch_size": 12, "image_size": 48, "stem_depth": 3}, "stem_depth 3"),
        ({"heads": 5}, "5 heads do not divide the width 128"),
        ({"stem_depth": -1}, "greater than or equal to 0"),
        ({"width": "128"}, "width"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        vit(**options)


def test_an_image_becomes_a_tensor_between_minus_one_and_one():
    pixels = numpy.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=numpy.uint8)
    tensor = vit(**SMALL).transform(Image.fromarray(pixels))
    assert tensor.dtype == torch.float32 and tensor.shape == (3, 16, 16)
    numpy.testing.assert_allclose(tensor.numpy(), (pixels.transpose(2, 0, 1) / 255 - 0.5) / 0.5, atol=1e-6)


def test_an_image_of_another_size_or_mode_is_made_square_and_rgb():
    image = Image.new("L", (40, 10), 255)
    tensor = vit(**SMALL).transform(image)
    torch.testing.assert_close(tensor, torch.ones(3, 16, 16))
    halves = Image.new("RGB", (32, 8))
    halves.paste((255, 255, 255), (16, 0, 32, 8))
    tensor = vit(**SMALL).transform(halves)
    assert tensor[:, :, 0].max() == -1 and tensor[:, :, -1].min() == 1


def test_a_transformed_image_is_its_own_memory():
    encoder, image = vit(**SMALL), Image.new("RGB", (16, 16), (10, 20, 30))
    encoder.transform(image).zero_()
    assert image.getpixel((3, 3)) == (10, 20, 30)
    assert encoder.transform(image)[0, 0, 0] == pytest.approx(10 / 127.5 - 1)


def test_copies_and_pickles_work_for_themselves():
    encoder = vit(**SMALL, stem_depth=1)
    before = encoder(images())
    for twin in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        torch.testing.assert_close(twin(images()), before, atol=0, rtol=0)
        with torch.no_grad():
            twin.positions.fill_(1)
    torch.testing.assert_close(encoder(images()), before, atol=0, rtol=0)
