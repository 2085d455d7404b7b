"""Rotary positions: angles by their formula, and products that depend on distances alone."""

from __future__ import annotations

import pytest
import torch

from workbench.errors import UserError
from workbench.layers.rotary import Rotary, rotate


def test_rotary_positions_made_while_answering_serve_training_too():
    rotary, positions = Rotary(8), torch.arange(5)[None]
    with torch.inference_mode():
        cosine, sine = rotary(positions)
    heads = torch.randn(1, 2, 5, 8, requires_grad=True)
    turned = heads * rotary(positions)[0]
    turned.sum().backward()
    assert heads.grad is not None
    angles = torch.arange(5.0)[:, None] * 10_000.0 ** (-torch.arange(0, 8, 2) / 8)
    torch.testing.assert_close(cosine[0, 0], angles.cos().repeat(1, 2))
    torch.testing.assert_close(sine[0, 0], torch.cat([-angles.sin(), angles.sin()], 1))


def test_products_of_queries_and_keys_depend_on_their_distance_alone():
    rotary = Rotary(8, base=100.0)
    query, key = torch.randn(1, 2, 1, 8), torch.randn(1, 2, 1, 8)

    def product(at: int, other: int) -> torch.Tensor:
        turned = [rotate(each, rotary(torch.tensor([[place]]))) for each, place in ((query, at), (key, other))]
        return (turned[0] * turned[1]).sum(-1)

    torch.testing.assert_close(product(3, 1), product(13, 11), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(product(3, 1), product(3, 2), atol=1e-3)


def test_a_turn_is_that_of_pairs_in_the_plane():
    rotary, heads, positions = Rotary(6), torch.randn(1, 1, 4, 6), torch.arange(4)[None]
    angles = torch.arange(4.0)[:, None] * 10_000.0 ** (-torch.arange(0, 6, 2) / 6)
    turned = torch.complex(heads[..., :3], heads[..., 3:]) * torch.polar(torch.ones_like(angles), angles)
    torch.testing.assert_close(rotate(heads, rotary(positions)), torch.cat([turned.real, turned.imag], -1))


def test_an_odd_width_of_a_head_cannot_be_turned():
    with pytest.raises(UserError, match="even width of a head, not 7"):
        Rotary(7)
