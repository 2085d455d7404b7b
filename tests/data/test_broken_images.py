"""Missing and damaged images: found without decoding, left out for every trial alike, told, and limited."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.small import PLUGINS, SMALL, CommandLine, load, run_inside, small_registry, write
from workbench.cli.report import make_report
from workbench.data.broken_images import WithoutBrokenImages, without_broken_images
from workbench.model.build import CompositionError, build_dataset
from workbench.runs.planner import Planner
from workbench.storage.records import read_records
from workbench.training.training_set import training_examples

COUNT = 16


TEXT = SMALL.replace(
    "dataset: squares",
    "dataset: {name: folder, tables: {train: train.csv, test: test.csv}, images: images, most_broken: SHARE}",
)


def images(folder: Path) -> Path:
    """An experiment's data: two tables and their images."""
    (folder / "images").mkdir(parents=True)
    for split in ("train", "test"):
        rows = [f"{split}{number}.png,what color is it?,c{number % 4}" for number in range(COUNT)]
        (folder / f"{split}.csv").write_text("\n".join(["image,question,answers", *rows]))
        for number in range(COUNT):
            color = (number % 4 * 80, 100, 50)
            Image.new("RGB", (16, 16), color).save(folder / f"images/{split}{number}.png")
    return folder / "images"


def test_a_dataset_without_a_check_of_its_own_is_left_as_it_is():
    squares = small_registry().create("dataset", "squares")
    assert without_broken_images(squares) is squares


def test_one_broken_image_stops_everything_unless_a_share_may_be(tmp_path):
    (images(tmp_path) / "train3.png").unlink()
    experiment = load(tmp_path, text=TEXT.replace("SHARE", "0.0"))
    with pytest.raises(CompositionError) as told:
        Planner(experiment, small_registry(), tmp_path / "results").plan()
    assert "1 of 16 images (" in str(told.value)
    assert "train3.png is missing) of 'train' (task questions) cannot be shown, more than most_broken: 0" in str(
        told.value
    )
    assert "write most_broken: 0.063" in str(told.value)


def test_every_trial_leaves_out_the_same_images_and_its_record_says_which(tmp_path):
    folder = images(tmp_path)
    (folder / "train3.png").unlink()
    (folder / "test5.png").write_bytes((folder / "test5.png").read_bytes()[:60])
    text = TEXT.replace("SHARE", "0.1") + "grid:\n  fusion: [concat_projection, gated]\n"
    experiment = load(tmp_path, text=text)
    assert isinstance(build_dataset(experiment.trials[0], small_registry()), WithoutBrokenImages)
    planned = Planner(experiment, small_registry(), tmp_path / "results").plan()
    assert len(planned.notes) == 2
    assert "folder, train/questions: 1 image(s) (" in planned.notes[1]
    outcome = run_inside(experiment, tmp_path / "results")
    assert not outcome.failed
    found = read_records(tmp_path / "results/small")
    assert len(found) == 2
    for record in found:
        skipped = record.provenance["skipped_images"]
        assert {where: list(each) for where, each in skipped.items()} == {
            "train/questions": ["train3.png"],
            "test/questions": ["test5.png"],
        }
        assert skipped["train/questions"]["train3.png"] == f"{folder}/train3.png is missing"
        lines = (tmp_path / f"results/small/trials/{record.id}/predictions.jsonl").read_text().split("\n")
        assert "test5.png" not in {json.loads(line)["image"] for line in lines if line}
    page = make_report(tmp_path / "results/small", small_registry()).read_text()
    assert "images left out" in page
    assert "train/questions: 1" in page


def test_what_is_left_out_does_not_train(tmp_path):
    (images(tmp_path) / "train3.png").unlink()
    experiment = load(tmp_path, text=TEXT.replace("SHARE", "0.1"))
    dataset = build_dataset(experiment.trials[0], small_registry())
    assert ("train3.png",) not in training_examples(dataset, ["questions"])
    assert len(training_examples(dataset, ["questions"])) == COUNT - 1


def test_an_image_that_comes_back_makes_other_data(tmp_path):
    folder = images(tmp_path)
    content = (folder / "train3.png").read_bytes()
    (folder / "train3.png").unlink()
    [trial] = load(tmp_path, text=TEXT.replace("SHARE", "0.1")).trials
    before = build_dataset(trial, small_registry()).fingerprint()
    (folder / "train3.png").write_bytes(content)
    assert build_dataset(trial, small_registry()).fingerprint() != before


def test_damage_within_an_image_is_found_by_decoding_all(tmp_path, monkeypatch, capsys):
    folder = images(tmp_path)
    write(tmp_path, TEXT.replace("SHARE", "0.0"))
    command = CommandLine(tmp_path, monkeypatch, capsys)
    told = command("plan", "small.yaml", "--plugins", PLUGINS, "--decode")
    assert f"{2 * COUNT} images decoded" in told.output
    for name in ("train3.png", "test5.png"):
        content = bytearray((folder / name).read_bytes())
        content[content.index(b"IDAT") + 8] ^= 0xFF
        (folder / name).write_bytes(content)
    assert command("plan", "small.yaml", "--plugins", PLUGINS).code == 0, "they begin and end as they should"
    told = command("plan", "small.yaml", "--plugins", PLUGINS, "--decode")
    assert told.code == 2
    for name in ("train3.png", "test5.png"):
        assert f"the image {folder / name} cannot be decoded" in told.errors
    assert told.errors.count("Delete it") == 2
