"""Questions made of COCO annotations: true, balanced, the same each time, and read back as examples."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from tests.small import CommandLine
from tests.tiny import builtin_registry
from workbench.cli.make_vqa import make_vqa, plural
from workbench.data.annotations import DataError

CATEGORIES = {1: "person", 3: "car", 6: "bus", 28: "umbrella", 35: "skis", 46: "wine glass"}
# By image: the numbers of its instances' categories, and its captions.
KNOWN = [
    ([1, 1, 6], ["A red bus next to two people.", "People wait for a red bus.", "A large red bus and a gray wall."]),
    ([3], ["A blue car on a wet street", "A blue and white car", "The grey wall behind a car", "A grey wall."]),
    ([3, 3, 28], ["Two black cars and a green umbrella.", "A green umbrella near a black car."]),
    ([35, 1], ["A man on skis in white snow.", "White snow everywhere"]),
    ([], ["Nothing but trees"]),
    ([46, 6], ["A red wine glass on a yellow bus.", "A bus that is orange, an orange bus"]),
]
CROWD = (4, 1)  # a crowd of people in the image without anything else


@pytest.fixture
def coco(tmp_path) -> tuple[Path, Path]:
    """Instances and captions, as COCO's files have them."""
    images = [{"id": 10 * number, "file_name": f"{10 * number:012}.jpg"} for number in range(len(KNOWN))]
    instances = [
        {"id": 100 * number + place, "image_id": 10 * number, "category_id": category, "iscrowd": 0}
        for number, (categories, _) in enumerate(KNOWN)
        for place, category in enumerate(categories)
    ]
    instances.append({"id": 1, "image_id": 10 * CROWD[0], "category_id": CROWD[1], "iscrowd": 1})
    captions = [
        {"id": 100 * number + place, "image_id": 10 * number, "caption": text}
        for number, (_, texts) in enumerate(KNOWN)
        for place, text in enumerate(texts)
    ]
    categories = [{"supercategory": "thing", "id": number, "name": name} for number, name in CATEGORIES.items()]
    files = tmp_path / "instances_val2017.json", tmp_path / "captions_val2017.json"
    files[0].write_text(json.dumps({"info": {}, "images": images, "annotations": instances, "categories": categories}))
    files[1].write_text(json.dumps({"info": {}, "images": images, "annotations": captions}))
    return files


def made(files, tmp_path: Path, **options) -> list[dict]:
    make_vqa(files, tmp_path / "made.jsonl", **options)
    return [json.loads(line) for line in (tmp_path / "made.jsonl").read_text().splitlines()]


def asked(found: list[dict], group: str) -> dict[tuple[int, str], str]:
    return {
        (int(each["image"][:12]) // 10, each["question"]): each["answers"][0]
        for each in found
        if each["group"] == group
    }


def test_whether_something_is_there_is_true_and_balanced_for_every_category(coco, tmp_path):
    found = asked(made(coco, tmp_path), "is there")
    balance: dict[str, Counter] = {}
    for (number, question), answer in found.items():
        [name] = [
            name
            for name in CATEGORIES.values()
            if question
            in (
                f"is there a {name} in the picture?",
                f"is there an {name} in the picture?",
                f"are there any {name} in the picture?",
            )
        ]
        there = {CATEGORIES[each] for each in KNOWN[number][0]} | ({"person"} if number == CROWD[0] else set())
        assert answer == ("yes" if name in there else "no")
        balance.setdefault(name, Counter())[answer] += 1
    assert set(balance) == set(CATEGORIES.values())
    assert all(each["yes"] == each["no"] for each in balance.values())
    assert "is there an umbrella in the picture?" in {question for _, question in found}
    assert "are there any skis in the picture?" in {question for _, question in found}


def test_instances_are_counted_but_not_where_there_is_a_crowd(coco, tmp_path):
    assert asked(made(coco, tmp_path), "how many") == {
        (0, "how many buses are in the picture?"): "1",
        (0, "how many people are in the picture?"): "2",
        (1, "how many cars are in the picture?"): "1",
        (2, "how many cars are in the picture?"): "2",
        (2, "how many umbrellas are in the picture?"): "1",
        (3, "how many people are in the picture?"): "1",
        (3, "how many skis are in the picture?"): "1",
        (5, "how many buses are in the picture?"): "1",
        (5, "how many wine glasses are in the picture?"): "1",
    }


def test_a_color_is_asked_where_captions_agree_on_a_single_thing(coco, tmp_path):
    """The bus of the last image is said to be yellow and orange, the car of the second blue, and blue and white; of
    two cars each may have a color of its own."""
    assert asked(made(coco, tmp_path), "what color") == {
        (0, "what color is the bus?"): "red",
        (1, "what color is the wall?"): "gray",
        (2, "what color is the umbrella?"): "green",
        (3, "what color is the snow?"): "white",
        (5, "what color is the wine glass?"): "red",
    }


def test_captions_alone_give_colors_alone(coco, tmp_path):
    groups = {each["group"] for each in made(coco[1:], tmp_path)}
    assert groups == {"what color"}


def test_the_seed_chooses_and_the_same_seed_chooses_the_same(coco, tmp_path):
    first, again, other = (made(coco, tmp_path, seed=seed, most=1) for seed in (0, 0, 5))
    assert first == again
    assert first != other
    counts = Counter((each["image"], each["group"]) for each in first if each["group"] != "is there")
    assert set(counts.values()) == {1}


@pytest.mark.parametrize(
    ("one", "several"),
    [("person", "people"), ("bus", "buses"), ("wine glass", "wine glasses"), ("knife", "knives"), ("skis", "skis"),
     ("toothbrush", "toothbrushes"), ("computer mouse", "computer mice"), ("car", "cars"), ("scissors", "scissors")],
)  # fmt: skip
def test_several_of_a_category_are_named(one, several):
    assert plural(one) == several


def test_the_command_writes_what_a_folder_of_images_reads_back(coco, tmp_path, monkeypatch, capsys):
    told = CommandLine(tmp_path, monkeypatch, capsys)("make-vqa", *coco, tmp_path / "train.jsonl")
    assert told.code == 0
    assert "is there" in told.output
    for number in range(len(KNOWN)):
        (tmp_path / "val2017").mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / f"val2017/{10 * number:012}.jpg")
    tables, images = {"train": tmp_path / "train.jsonl"}, tmp_path / "val2017"
    dataset = builtin_registry().create("dataset", "folder", tables=tables, images=images)
    lines = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    found = dataset.examples("train", "questions")
    assert [(each.image, each.question, list(each.answers), each.group) for each in found] == [
        (each["image"], each["question"], each["answers"], each["group"]) for each in lines
    ]
    assert all(dataset.fault(each.image) is None for each in found)


def test_what_cannot_be_made_is_told(coco, tmp_path, monkeypatch, capsys):
    command = CommandLine(tmp_path, monkeypatch, capsys)
    assert "give COCO annotations and the file to write" in command("make-vqa", coco[0]).errors
    with pytest.raises(DataError, match=r"should end with \.jsonl"):
        make_vqa(coco, tmp_path / "made.json")
    whole = json.loads(coco[0].read_text())
    whole["annotations"][0]["category_id"] = 99
    coco[0].write_text(json.dumps(whole))
    with pytest.raises(DataError, match="entry 0: 'categories' holds none with the id 99"):
        make_vqa(coco, tmp_path / "made.jsonl")
    coco[1].write_text(json.dumps({"images": [], "annotations": []}))
    with pytest.raises(DataError, match="no question follows from these annotations"):
        make_vqa(coco[1:], tmp_path / "made.jsonl")
