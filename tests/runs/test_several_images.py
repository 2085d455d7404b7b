"""Experiments on several images an example, from the file to the answer about images from files."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
import torch
from PIL import Image

from tests.model.test_image_features import outcome
from tests.small import PAIRS, PLUGINS, CommandLine, build, load, run_here, small_registry
from workbench.conformance import check
from workbench.data.collator import Collator
from workbench.data.image_loader import ImageLoader
from workbench.inference.load_trial import load_trial
from workbench.inference.pipeline import Pipeline
from workbench.model.build import build_dataset
from workbench.reports.gallery import make_gallery
from workbench.reports.results_data import read_study
from workbench.runs.scheduler import RunOptions
from workbench.storage.records import read_predictions
from workbench.training.objectives import Answers, TrainingData
from workbench.training.training_set import training_examples

FUSIONS = "grid.fusion=[concat_projection, cross_attention, gated, bidirectional]"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    assert not run_here(load(folder, FUSIONS, text=PAIRS), folder / "results").failed
    return folder


def trials(folder):
    return sorted((folder / "results/small/trials").iterdir())


def test_the_dataset_of_these_tests_keeps_the_rules_of_datasets():
    findings = list(check(small_registry(), "dataset", "pairs"))
    assert [f"{each.title}: {each.explanation}" for each in findings if not each.passed] == []


def test_every_fusion_trains_is_evaluated_and_answers_the_same_when_asked(finished):
    assert len(trials(finished)) == 4
    for folder in trials(finished):
        found = load_trial(folder.name, finished / "results", [PLUGINS])
        asked = Pipeline(found.model(), found.trial)
        dataset = build_dataset(found.trial, small_registry())
        told = read_predictions(folder).query("condition == 'image'")
        examples = {each.id: each for each in dataset.examples("test", "questions")}
        assert set(told["id"]) == set(examples)
        for line in told.to_dict("records"):
            example = examples[line["id"]]
            images = [dataset.image(key) for key in example.images]
            assert asked.answers(images, [example.question]) == [line["answer"]]
            more = line["more_images"]
            assert (tuple(more) if isinstance(more, list) else ()) == example.more


def test_a_report_shows_all_images_of_an_example_side_by_side(finished):
    gallery = make_gallery(read_study(finished / "results/small", resamples=20), small_registry())
    assert gallery is not None
    sizes = set()
    for each in [*gallery.right, *gallery.wrong]:
        assert each.image, each.missing
        sizes.add(Image.open(io.BytesIO(base64.b64decode(each.image.partition(",")[2]))).size)
    assert sizes <= {(16, 16), (32, 16), (48, 16)}
    assert len(sizes) > 1


def test_kept_features_give_the_bits_of_recomputed_ones(finished, tmp_path):
    assert list(finished.glob("results/artifacts/*/features.safetensors"))
    assert not run_here(load(tmp_path, FUSIONS, text=PAIRS), tmp_path / "results", RunOptions(feature_bytes=0)).failed
    assert not list(tmp_path.glob("results/artifacts/*/features.safetensors"))
    assert outcome(tmp_path) == outcome(finished)


def test_the_encoder_sees_each_image_of_a_batch_once(tmp_path):
    trial = load(tmp_path, text=PAIRS.replace("train: [", "train: [encoder, ")).trials[0]
    model, dataset = build(trial), build_dataset(trial, small_registry())
    collate = Collator(model.language_model.tokenizer, trial.prompt)
    data = TrainingData(dataset, ImageLoader(dataset, model.encoder.views), collate)
    model.encoder.requires_grad_(True)
    objective = Answers(model, data, torch.device("cpu"), trial.phases[0])
    grouped = training_examples(dataset, ["questions"])
    piece = objective.prepare(list(grouped), list(grouped.values()), None)
    assert len(piece.seen) == len({key for keys in grouped for key in keys}) < sum(map(len, grouped))
    objective.loss(piece).backward()
    assert all(each.grad is not None for each in model.encoder.parameters())


def test_a_prompt_may_name_a_place_for_each_image_or_the_questions_do(tmp_path):
    for number, overrides in enumerate((["prompt='{question}'"], ["base.dataset={name: pairs, own: true}"])):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert not run_here(load(folder, *overrides, text=PAIRS), folder / "results").failed


@pytest.fixture
def workbench(finished, monkeypatch, capsys) -> CommandLine:
    return CommandLine(finished, monkeypatch, capsys)


def files(folder, *colors: str) -> list[Any]:
    for color in colors:
        Image.new("RGB", (20, 16), color).save(folder / f"{color}.png")
    return [f"{color}.png" for color in colors]


def test_several_images_can_be_asked_about_and_looked_at(workbench):
    folder, images = trials(workbench.folder)[0], files(workbench.folder, "red", "blue")
    told = workbench("ask", folder, *images, "what color is the second?", "--plugins", PLUGINS)
    assert told.code == 0
    both = workbench("ask", folder, *images, "what color is the second?", "and the first?", "--plugins", PLUGINS)
    assert both.output.splitlines()[1].strip() == told.output.strip()
    drawn = workbench(
        "attention", folder, *images, "what color is the second?", "--out", "maps.png", "--plugins", PLUGINS
    )
    assert drawn.code == 0 or "is empty" in drawn.errors
    missing = workbench("ask", folder, "red.png", "none.png", "what color is the second?", "--plugins", PLUGINS)
    assert (missing.code, "there is no image none.png" in missing.errors) == (2, True)
    two = workbench("attention", folder, *images, "one?", "two?", "--out", "maps.png", "--plugins", PLUGINS)
    assert (two.code, "one question is drawn at a time; there are 2" in two.errors) == (2, True)
