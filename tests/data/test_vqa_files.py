"""Questions and annotations in two files, joined by their numbers."""

from __future__ import annotations

import itertools
import json

import pytest

from benchmarks.official_formats import write_json
from tests.plugins.test_readers import build, made, read
from workbench.data.annotations import DataError
from workbench.data.vqa_files import joined


@pytest.mark.parametrize("name", ["vqav2", "okvqa"])
def test_questions_and_annotations_are_joined_by_their_number_in_any_order(name, tmp_path):
    dataset, options = made(name, tmp_path)
    file = options["annotations"]["train"]
    whole = read(file)
    expected = list(dataset.examples("train", "questions"))
    assert [each.question for each in expected] == [
        each["question"] for each in read(options["questions"]["train"])["questions"]
    ]
    by_number = {each["question_id"]: each for each in whole["annotations"]}
    for example in expected:
        annotation = by_number[int(example.id.partition("/")[2])]
        assert example.answers == tuple(each["answer"] for each in annotation["answers"])
        assert len(example.answers) == 10
        assert example.image == f"train2014/COCO_train2014_{annotation['image_id']:012}.jpg"
    write_json(file, {**whole, "annotations": whole["annotations"][::-1]})
    assert list(build(name, options).examples("train", "questions")) == expected
    write_json(file, {**whole, "annotations": whole["annotations"][1:]})
    with pytest.raises(DataError, match="entry 0: .* has no annotation with the question_id 0"):
        list(build(name, options).examples("train", "questions"))


def test_groups_of_vqa_are_types_of_answer_and_of_ok_vqa_fields_of_knowledge(tmp_path):
    groups = {each.group for each in made("vqav2", tmp_path)[0].examples("train", "questions")}
    assert groups == {"yes/no", "number", "other"}
    fields = {each.group for each in made("okvqa", tmp_path)[0].examples("train", "questions")}
    assert fields == {"Vehicles and Transportation", "Brands, Companies and Products", "Other"}


def test_files_of_other_splits_are_told(tmp_path):
    _, options = made("vqav2", tmp_path)
    with pytest.raises(DataError, match="questions has the splits train, test, annotations train"):
        build("vqav2", options | {"annotations": {"train": options["annotations"]["train"]}})
    with pytest.raises(DataError, match="there is no split 'val'. There are: train, test"):
        build("vqav2", options).examples("val", "questions")
    with pytest.raises(
        DataError, match=r"'\{id\}\.jpg' is no name of an image .* It may hold \{folder\}, \{image_id\}"
    ):
        build("vqav2", options | {"image": "{id}.jpg"})


def test_files_in_one_order_are_read_side_by_side(tmp_path):
    """What is damaged behind the third pair is not met before it."""
    numbers = range(6)
    questions = [{"question_id": number, "question": "?"} for number in numbers]
    write_json(tmp_path / "questions.json", {"questions": questions})
    text = json.dumps({"annotations": [{"question_id": number} for number in numbers]})
    (tmp_path / "annotations.json").write_text(text[: text.index('{"question_id": 4')])
    pairs = joined(tmp_path / "questions.json", tmp_path / "annotations.json")
    read = [(one.value["question_id"], other.value["question_id"]) for one, other in itertools.islice(pairs, 3)]
    assert read == [(0, 0), (1, 1), (2, 2)]
    with pytest.raises(DataError, match="is cut off"):
        list(pairs)
