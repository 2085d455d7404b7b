"""What a decoder need not write itself: hidden states at places, and a cache of fewer rows."""

from __future__ import annotations

import torch
from torch import Tensor

from workbench.contracts.language_model import LanguageModel
from workbench.layers.key_value_cache import KeyValueCache


class Echo(LanguageModel):
    """Hidden states that say where they come from."""

    def forward(self, embeds: Tensor, positions: Tensor, mask: Tensor, cache: object = None) -> Tensor:
        return embeds + positions[..., None]


def test_hidden_states_at_places_are_those_of_the_whole_sequence():
    embeds, positions = torch.randn(2, 5, 3), torch.arange(5).expand(2, 5)
    places = torch.tensor([[4, 0], [2, 2]])
    found = Echo().hidden_at(embeds, positions, torch.ones(2, 1, 5, 5, dtype=torch.bool), places)
    expected = embeds + positions[..., None]
    assert torch.equal(found, torch.stack([expected[0, [4, 0]], expected[1, [2, 2]]]))


def test_a_cache_with_a_keep_rows_of_its_own_is_asked_for_it():
    cache = KeyValueCache(1, 4)
    cache.extend(0, torch.arange(3.0).reshape(3, 1, 1, 1), torch.zeros(3, 1, 1, 1))
    keys, _ = Echo().keep_rows(cache, torch.tensor([2, 0])).extend(0, torch.ones(2, 1, 0, 1), torch.ones(2, 1, 0, 1))
    assert keys.shape == (2, 1, 0, 1)
