"""Which views of which images a set has, gathered and padded."""

from __future__ import annotations

import torch

from workbench.data.image_views import distinct, gather, one_view_each, views_from


def test_there_is_a_mask_only_where_rows_differ():
    assert views_from(one_view_each([("a",), ("b",)])) is None
    equal = views_from(one_view_each([("a", "b"), ("c", "d")]))
    assert equal is not None
    assert equal.there is None
    assert equal.index.tolist() == [[0, 1], [2, 3]]
    mixed = views_from(one_view_each([("a", "b"), ("c",)]))
    assert mixed is not None
    assert mixed.there is not None
    assert mixed.there.tolist() == [[True, True], [True, False]]


def test_an_image_of_several_rows_is_loaded_once_and_single_ones_are_taken_as_they_are():
    loaded: list[str] = []

    def load(keys: list[str]) -> list[torch.Tensor]:
        loaded.extend(keys)
        return [torch.full((1, 2), float(ord(key))) for key in keys]

    seen, places = gather([("a", "b"), ("b", "c", "a")], load)
    assert loaded == distinct([("a", "b"), ("b", "c", "a")]) == ["a", "b", "c"]
    assert places == [[[0], [1]], [[1], [2], [0]]]
    assert seen[:, 0].tolist() == [97.0, 98.0, 99.0]
    loaded.clear()
    _, places = gather([("a",), ("a",)], load)
    assert (loaded, places) == (["a", "a"], [[[0]], [[1]]])
