"""The plot of where a model looked: the image, and a map for every word of the answer."""

from __future__ import annotations

import numpy
import torch
from PIL import Image

from tests.inference.test_attention_maps import QUESTION, asked
from tests.tiny import tiny_model
from workbench.inference.attention_maps import WordMaps, word_maps
from workbench.inference.attention_plot import draw_maps, enlarged, overlay, save_maps


def test_the_plot_shows_the_image_and_every_word(tmp_path):
    model = tiny_model("concat_projection")
    maps = word_maps(asked(model), [Image.new("RGB", (8, 8))], QUESTION, max_new_tokens=6)
    figure = draw_maps(Image.new("RGB", (8, 8), "red"), QUESTION, maps)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[0] == "as the model sees it"
    assert [title.split("  (")[0] for title in titles[1 : len(maps.words) + 1]] == list(maps.words)
    save_maps(figure, tmp_path / "maps.png")
    assert Image.open(tmp_path / "maps.png").width > 300
    assert overlay(Image.new("RGB", (16, 12)), maps.maps[0].numpy()).size == (16, 12)


def test_dollars_in_an_answer_are_no_mathematics(tmp_path):
    maps = WordMaps(("$5", "or", "$6)_$"), torch.rand(3, 2, 2), torch.tensor([1.0, 1.0, 1.0]))
    figure = draw_maps(Image.new("RGB", (8, 8), "red"), "what is $\\frac$?", maps)
    save_maps(figure, tmp_path / "maps.png")
    assert tuple(axes.get_title() for axes in figure.axes)[1:4] == maps.words


def test_what_was_looked_at_most_is_the_brightest_patch_in_its_place():
    weights = numpy.zeros((2, 2), dtype=numpy.float32)
    weights[1, 0] = 1.0
    large = enlarged(weights, (8, 8))
    assert (large[7, 0], large[0, 7]) == (large.max(), large.min())
    shown = numpy.asarray(overlay(Image.new("RGB", (8, 8)), weights)).sum(2)
    assert shown[7, 0] != shown[0, 7] == shown[0, 0]
