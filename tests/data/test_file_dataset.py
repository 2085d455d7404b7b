"""A dataset of annotation and image files: read as far as it is looked at, and parted by images."""

from __future__ import annotations

import gc
import json

import pytest

from benchmarks.official_formats import write_lines
from tests.plugins.test_readers import build, made
from workbench.data.annotations import DataError


def test_a_share_of_the_images_can_be_the_test(tmp_path):
    dataset, options = made("llava_json", tmp_path)
    whole = build("llava_json", options | {"test_share": 0.0})
    parts = [dataset.examples(split, "questions") for split in ("train", "test")]
    assert all(len(part) > 1 for part in parts)
    images = [{each.image for each in part} for part in parts]
    assert images[0].isdisjoint(images[1])
    assert images[0] | images[1] == {each.image for each in whole.examples("train", "questions")}
    more = build("llava_json", options | {"test_share": 0.6}).examples("test", "questions")
    assert images[1] <= {each.image for each in more}
    with pytest.raises(DataError, match="test_share takes 'test' out of 'train'"):
        files = {"train": options["conversations"]["train"], "test": options["conversations"]["train"]}
        build("llava_json", options | {"conversations": files})


def test_examples_are_read_as_far_as_they_are_looked_at(tmp_path):
    lines = [{"image": f"{number}.png", "question": "what?", "answers": "x"} for number in range(40)]
    file = write_lines(tmp_path / "train.jsonl", [*lines, {"image": "no question"}])
    dataset = build("folder", {"tables": {"train": file}, "images": tmp_path})
    found = dataset.examples("train", "questions")
    assert found[3].image == "3.png"
    assert [each.image for each in found[:2]] == ["0.png", "1.png"]
    assert next(iter(found)).image == "0.png"
    for look in (len, list, lambda each: each[-1]):
        with pytest.raises(DataError, match="line 41: the key 'question' is missing"):
            look(found)
    assert gc.isenabled()


def test_text_alone_is_in_one_split_of_the_two(tmp_path):
    """Its id begins with its split, by which it would be drawn twice."""
    talks = [[{"from": "human", "value": f"what is {number}?"}, {"from": "gpt", "value": "it"}] for number in range(60)]
    file = tmp_path / "talks.json"
    file.write_text(json.dumps([{"conversations": talk} for talk in talks]))
    dataset = build("llava_json", {"conversations": {"train": str(file)}, "images": str(tmp_path), "test_share": 0.4})
    train, test = ([each.question for each in dataset.examples(split, "questions")] for split in ("train", "test"))
    assert sorted(train + test) == sorted(talk[0]["value"] for talk in talks)
    assert 15 <= len(test) <= 33
