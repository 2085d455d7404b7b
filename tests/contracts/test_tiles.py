"""Tiles: the grid of transformers, every pixel in its place, and experiments whose images have different numbers."""

from __future__ import annotations

import importlib
import random
from typing import Any

import numpy
import pytest
import torch
from PIL import Image
from transformers.image_processing_utils import select_best_resolution

from tests.model.test_image_features import outcome
from tests.small import PLUGINS, SMALL, load, run_here, small_registry
from tests.tiny import builtin_registry
from workbench.conformance import check
from workbench.contracts.tiles import best_grid, views_of
from workbench.errors import UserError
from workbench.inference.load_trial import load_trial
from workbench.inference.pipeline import Pipeline
from workbench.model.build import build_dataset
from workbench.runs.planner import Planner
from workbench.runs.preview import preview
from workbench.runs.scheduler import RunOptions
from workbench.storage.records import read_predictions

SIZES = [(336, 336), (337, 336), (1000, 200), (200, 1000), (640, 480), (5, 5), (1, 2000), (3000, 2900), (1344, 336)]


@pytest.mark.parametrize("tiles", [1, 2, 4, 9])
def test_the_grid_is_the_resolution_that_transformers_selects(tiles):
    chance = random.Random(tiles)
    sizes = [*SIZES, *((chance.randint(1, 3000), chance.randint(1, 3000)) for _ in range(200))]
    grids = [(c, r) for c in range(1, tiles + 1) for r in range(1, tiles + 1) if c * r <= tiles]
    for width, height in sizes:
        columns, lines = best_grid((width, height), 336, tiles)
        resolutions = [(rows * 336, columns * 336) for columns, rows in grids]
        assert (lines * 336, columns * 336) == select_best_resolution((height, width), resolutions)


def noise(width: int, height: int) -> Image.Image:
    pixels = numpy.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=numpy.uint8)
    return Image.fromarray(pixels)


def test_views_are_the_whole_image_and_the_tiles_line_by_line():
    image = noise(40, 20)
    whole, *tiles = views_of(image, 20, 4)
    assert [each.size for each in (whole, *tiles)] == [(20, 20)] * 3
    assert numpy.array_equal(numpy.hstack([numpy.asarray(each) for each in tiles]), numpy.asarray(image))
    assert numpy.array_equal(numpy.asarray(whole), numpy.asarray(image.resize((20, 20), Image.Resampling.BICUBIC)))
    four = views_of(noise(40, 40), 20, 4)[1:]
    lines = [numpy.hstack([numpy.asarray(each) for each in four[start : start + 2]]) for start in (0, 2)]
    assert numpy.array_equal(numpy.vstack(lines), numpy.asarray(noise(40, 40)))


def test_an_image_that_one_square_holds_has_one_view_and_without_tiles_it_is_left_as_it_is():
    for size in ((20, 20), (20, 7), (3, 3)):
        assert [each.size for each in views_of(noise(*size), 20, 4)] == [(20, 20)]
    image = noise(90, 30)
    assert views_of(image, 20, 0) == [image]


@pytest.mark.parametrize("size", [(90, 70), (70, 90), (200, 60), (130, 128)])
def test_tiles_are_those_of_transformers_llava_next(size):
    module = importlib.import_module("transformers.models.llava_next.image_processing_pil_llava_next")
    processor = module.LlavaNextImageProcessorPil(
        size={"shortest_edge": 64},
        crop_size={"height": 64, "width": 64},
        image_grid_pinpoints=[[64, 128], [128, 64], [128, 128], [64, 192], [192, 64], [64, 256], [256, 64]],
        do_normalize=False,
    )
    image = noise(*size)
    wanted = numpy.asarray(processor(image)["pixel_values"][0])  # [views,3,64,64]
    found = [numpy.asarray(each, dtype=numpy.float32) / 255 for each in views_of(image, 64, 4)]
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        assert abs(ours - theirs.transpose(1, 2, 0)).max() < 0.02


ENCODERS = [
    ("vit", {"image_size": 16, "patch_size": 8, "width": 16, "depth": 1, "heads": 2, "tiles": 4}),
    ("clip", {"image_size": 32, "patch_size": 16, "width": 32, "depth": 2, "tiles": 3}),
]


@pytest.mark.parametrize(("name", "options"), ENCODERS)
def test_encoders_with_tiles_keep_every_rule(name, options):
    findings = list(check(builtin_registry(), "encoder", name, **options))
    assert [f"{each.title}: {each.explanation}" for each in findings if not each.passed] == []
    encoder = builtin_registry().create("encoder", name, **options)
    side = encoder.image_size
    wide = noise(3 * side, side)
    assert len(encoder.views(wide)) == 4
    torch.testing.assert_close(encoder.views(wide)[2], encoder.transform(wide.crop((side, 0, 2 * side, side))))


def test_what_transformers_llava_does_not_know_is_refused():
    encoder: Any = builtin_registry().create("encoder", "clip", tiles=2, width=32, depth=2)
    with pytest.raises(UserError, match="it makes tiles"):
        encoder.for_transformers()


TEXT = (
    SMALL.replace("dataset: squares", "dataset: {name: pairs, wide: true}")
    .replace("patch_size: 8,", "patch_size: 8, tiles: 3,")
    .replace("train: [encoder, connector, fusion, language_model], steps: 2, batch: 4",
             "train: [connector, fusion, language_model], epochs: 2, batch: 5")
)  # fmt: skip
FUSIONS = "grid.fusion=[concat_projection, cross_attention, gated, bidirectional]"


def test_images_with_different_numbers_of_tiles_train_are_kept_as_features_and_asked_about(tmp_path):
    kept, anew = tmp_path / "kept", tmp_path / "anew"
    for folder, options in ((kept, RunOptions()), (anew, RunOptions(feature_bytes=0))):
        folder.mkdir()
        assert not run_here(load(folder, FUSIONS, text=TEXT), folder / "results", options).failed
    assert list(kept.glob("results/artifacts/*/features.safetensors"))
    assert outcome(kept) == outcome(anew)
    for folder in (kept / "results/small/trials").iterdir():
        found = load_trial(folder.name, kept / "results", [PLUGINS])
        asked = Pipeline(found.model(), found.trial)
        dataset = build_dataset(found.trial, small_registry())
        told = read_predictions(folder).query("condition == 'image'").set_index("id")["answer"]
        for example in dataset.examples("test", "questions"):
            images = [dataset.image(key) for key in example.images]
            assert asked.answers(images, [example.question]) == [told[example.id]]


def test_features_with_tiles_are_planned_with_room_for_all_of_them(tmp_path):
    experiment = load(tmp_path, FUSIONS, text=TEXT)
    size = Planner(experiment, small_registry(), tmp_path / "results").sizes()[experiment.trials[0].id]
    assert size.bytes_of_an_image("fp32") == (1 + 3) * 4 * 16 * 4


def test_a_preview_shows_the_tiles(tmp_path):
    trial = load(tmp_path, text=TEXT).trials[0]
    shown = preview(trial, small_registry(), number=2)  # a wide image and a small one
    assert shown.original == [(48, 16), (48, 16)]
    assert shown.views == 8
    assert shown.image.size == (8 * 16, 16)
