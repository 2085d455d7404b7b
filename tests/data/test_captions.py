"""Captions as examples: one each to train on, all of an image's to be held against."""

from __future__ import annotations

import pytest

from tests.plugins.test_readers import build, made, read
from workbench.data.captions import caption_examples


@pytest.mark.parametrize("name", ["coco_captions", "coco_captions/karpathy", "flickr30k", "flickr30k/karpathy"])
def test_each_caption_trains_and_an_image_is_tested_once_with_all(name, tmp_path):
    dataset, _ = made(name, tmp_path)
    train, test = (dataset.examples(split, "captions") for split in ("train", "test"))
    assert all(len(each.answers) == 1 for each in train)
    assert len({each.image for each in train}) < len(train)
    assert len({each.image for each in test}) == len(test)
    assert max(len(each.answers) for each in test) > 1
    assert {each.question for each in train} == {"Describe the picture."}


def test_karpathys_restval_trains_unless_told_otherwise(tmp_path):
    dataset, options = made("coco_captions/karpathy", tmp_path)
    splits = [image["split"] for image in read(options["karpathy"])["images"]]
    assert len(dataset.examples("train", "captions")) == 5 * (splits.count("train") + splits.count("restval"))
    fewer = build("coco_captions", options | {"restval": False})
    assert len(fewer.examples("train", "captions")) == 5 * splits.count("train")
    assert fewer.fingerprint() != dataset.fingerprint()


def test_captions_of_an_image_are_numbered_in_training_and_together_in_a_test():
    captions = [("a", "one"), ("b", "two"), ("a", "three")]
    train = list(caption_examples("train", captions, "?"))
    assert [(each.id, each.image, each.answers) for each in train] == [
        ("train/a/0", "a", ("one",)),
        ("train/b/0", "b", ("two",)),
        ("train/a/1", "a", ("three",)),
    ]
    test = list(caption_examples("test", captions, "?"))
    assert [(each.id, each.answers) for each in test] == [("test/a", ("one", "three")), ("test/b", ("two",))]
