"""A mixture gives each part its share of the images, the same ones each time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.small import SMALL, load, small_registry
from workbench.conformance import check
from workbench.contracts.dataset import Dataset
from workbench.errors import UserError
from workbench.model.build import build_dataset
from workbench.registry import resolve_options
from workbench.training.training_set import training_examples

TASKS = ["questions", "captions"]


def squares(count: int) -> Dataset:
    return small_registry().create("dataset", "squares", images=count)


def mixed(**options) -> Dataset:
    parts = {"small": squares(12), "large": squares(40), "other": squares(25)}
    plugin = small_registry().plugin("dataset", "mixture")
    return plugin.factory(**resolve_options(plugin, {"parts": parts, **options}))


def counts(dataset: Dataset) -> dict[str, int]:
    keys = training_examples(dataset, TASKS)
    return {name: sum(key.startswith(f"{name}/") for (key,) in keys) for name in ("small", "large", "other")}


def test_a_mixture_keeps_the_rules_of_datasets():
    parts = {"one": squares(8), "two": squares(9)}
    findings = list(check(small_registry(), "dataset", "mixture", parts=parts, weights={"one": 1.0, "two": 2.0}))
    assert [f"{each.title}: {each.explanation}" for each in findings if not each.passed] == []


def test_parts_have_equal_shares_unless_told_otherwise():
    assert counts(mixed()) == {"small": 12, "large": 12, "other": 12}
    assert counts(mixed(weights={"small": 1, "large": 3, "other": 2})) == {"small": 12, "large": 36, "other": 24}
    assert counts(mixed(images=15)) == {"small": 5, "large": 5, "other": 5}


def test_more_images_take_in_those_of_fewer_and_the_order_of_parts_does_not_matter():
    few, many = (set(training_examples(mixed(images=size), TASKS)) for size in (12, 30))
    assert few < many
    assert set(training_examples(mixed(images=12), TASKS)) == few


def test_a_test_shows_everything_in_groups_that_begin_with_the_part():
    found = mixed(images=6).examples("test", "questions")
    assert len(found) == 3 * 8 * 3
    assert {each.group for each in found} == {
        f"{part}: {group}" for part in ("small", "large", "other") for group in ("color", "yes/no")
    }


def test_images_and_tasks_come_from_the_parts():
    dataset = mixed()
    first = dataset.examples("train", "captions")[0]
    assert dataset.tasks()[:2] == ("questions", "captions")
    name, _, key = first.image.partition("/")
    assert dataset.image(first.image).tobytes() == squares(12).image(key).tobytes()
    assert name == "small"


def test_a_task_of_one_part_alone_is_asked_for_by_the_name_of_the_part():
    dataset = mixed(images=15)
    assert set(dataset.tasks()[2:]) == {f"{part}.{task}" for part in ("small", "large", "other") for task in TASKS}
    for split in ("train", "test"):
        alone = dataset.examples(split, "large.captions")
        everything = dataset.examples(split, "captions")
        assert alone == [each for each in everything if each.image.startswith("large/")]
        assert alone
    assert not dataset.examples("train", "captions.large")


def test_the_fingerprint_follows_parts_and_shares():
    prints = [each.fingerprint() for each in (mixed(), mixed(images=9), mixed(weights=dict(small=1, large=1, other=2)))]
    assert len(set(prints)) == 3
    assert mixed().fingerprint() == prints[0]


def test_what_cannot_be_mixed_is_told():
    with pytest.raises(
        UserError, match="of the part 'small' 33.3% are wanted, and it has 12. Write images: 36 or less"
    ):
        training_examples(mixed(images=60), TASKS)
    with pytest.raises(UserError, match="weights names small; there are the parts small, large, other"):
        mixed(weights={"small": 1})
    augmenting = small_registry().create("dataset", "easy_vqa", flip=True)
    with pytest.raises(UserError, match="the part 'one' changes its images in training"):
        small_registry().plugin("dataset", "mixture").factory(parts={"one": augmenting})


def test_a_mixture_is_written_in_an_experiment_and_tells_what_its_parts_leave_out(tmp_path):
    (tmp_path / "images").mkdir()
    squares(4).image("train/0").save(tmp_path / "images/here.png")
    rows = "image,question,answers\nhere.png,what?,red\ngone.png,what?,red\n"
    Path(tmp_path / "train.csv").write_text(rows)
    folder = "{name: folder, tables: {train: train.csv}, images: images, most_broken: 0.5}"
    text = f"{{name: mixture, parts: {{own: {folder}, colors: squares}}}}"
    [trial] = load(tmp_path, text=SMALL.replace("dataset: squares", f"dataset: {text}")).trials
    dataset = build_dataset(trial, small_registry())
    assert counts_of(dataset) == {"own": 1, "colors": 1}
    assert list(dataset.skipped("train", "questions")) == ["own/gone.png"]
    [trial] = load(tmp_path, text=SMALL.replace("dataset: squares", f"dataset: {text.replace('0.5', '0.1')}")).trials
    with pytest.raises(UserError, match=r"in the part 'own': 1 of 2 images \(.*gone.png is missing\)"):
        build_dataset(trial, small_registry()).examples("train", "questions")


def counts_of(dataset: Dataset) -> dict[str, int]:
    keys = [key.partition("/")[0] for (key,) in training_examples(dataset, ["questions"])]
    return {name: keys.count(name) for name in dict.fromkeys(keys)}
