"""Learned places: none for one view, zero at first, the last one shared by those behind."""

from __future__ import annotations

import torch

from workbench.layers.view_places import ViewPlaces


def test_one_view_has_no_place_and_several_begin_as_without():
    vision = torch.randn(2, 6, 4)
    assert not list(ViewPlaces(4, 6, 1).parameters())
    assert torch.equal(ViewPlaces(4, 6, 1)(vision), vision)
    assert torch.equal(ViewPlaces(4, 2, 3)(vision), vision)


@torch.no_grad()
def test_every_token_of_a_view_gets_its_place_and_views_behind_the_last_share_it():
    places, vision = ViewPlaces(4, 2, 3), torch.randn(2, 10, 4)
    assert places.places is not None
    places.places.normal_()
    added = places(vision) - vision
    for view in range(5):
        expected = places.places[min(view, 2)].expand(2, 2, 4)
        torch.testing.assert_close(added[:, 2 * view : 2 * view + 2], expected)
