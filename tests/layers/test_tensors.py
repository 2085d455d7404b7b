"""Numbers picked out of a sequence, and every tensor of a nest changed."""

from __future__ import annotations

import torch

from workbench.layers.tensors import all_tensors, pick


def test_each_row_gives_its_own_places_in_their_order():
    hidden, places = torch.randn(2, 5, 3), torch.tensor([[4, 4, 0], [1, 0, 2]])
    expected = torch.stack([row[chosen] for row, chosen in zip(hidden, places, strict=True)])
    assert torch.equal(pick(hidden, places), expected)


def test_tensors_of_a_nest_are_changed_and_its_form_stays():
    one = torch.ones(2)
    found = all_tensors({"a": (one, [one, 3]), "b": None}, lambda tensor: tensor + 1)
    assert torch.equal(found["a"][0], one + 1)
    assert torch.equal(found["a"][1][0], one + 1)
    assert (type(found["a"]), found["a"][1][1], found["b"]) == (tuple, 3, None)
    assert one.sum() == 2
