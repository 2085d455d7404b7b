"""What an image's augmentation draws follows from the batch and the image, wherever the batch is cut."""

from __future__ import annotations

import pytest

from workbench.data.image_draws import ImageDraws
from workbench.data.image_views import Keys

SINGLE: list[Keys] = [("a",), ("b",), ("a",), ("c",)]
SEVERAL: list[Keys] = [("a", "b"), ("c",), ("b", "c"), ("a",)]


def drawn(sets: list[Keys], pieces: int, seed: int = 1) -> list[float]:
    """The first number of each image of a batch in so many micro-batches, in order."""
    size = len(sets) // pieces
    found = []
    for start in range(0, len(sets), size):
        cut = slice(start, start + size)
        draws = ImageDraws(seed, sets, cut)
        found += [draws(key).random() for each in sets[cut] for key in each]
    return found


@pytest.mark.parametrize("sets", [SINGLE, SEVERAL])
def test_an_image_draws_the_same_in_any_number_of_pieces(sets):
    assert drawn(sets, 1) == drawn(sets, 2) == drawn(sets, 4)
    assert drawn(sets, 1) != drawn(sets, 1, seed=2)


def test_an_image_that_comes_twice_draws_anew_and_one_of_several_sets_the_same():
    assert len(set(drawn(SINGLE, 2))) == 4
    assert len(set(drawn(SEVERAL, 2))) == 3
