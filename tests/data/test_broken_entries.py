"""Entries that are no examples, whatever reads them: left out up to a share, counted, and told."""

from __future__ import annotations

import json
import re
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.official_formats import FORMATS, write_json, write_lines
from tests.plugins.test_readers import as_in_yaml, build
from workbench.contracts.dataset import Dataset
from workbench.data.annotations import DataError, csv_rows, json_entries, json_lines, json_members
from workbench.data.broken_entries import BrokenEntries

COUNT = 12
HALF = '"\\ud83d"'  # half a letter
# What ends in an example: in each format the key of a text of it.
TEXTS = {
    "llava_json": "value",
    "vqav2": "question",
    "okvqa": "question",
    "aokvqa": "question",
    "coco_captions": "caption",
    "coco_captions/karpathy": "raw",
    "flickr30k": None,
    "flickr30k/karpathy": "raw",
    "localized_narratives": "caption",
    "pope": "text",
    "gqa": "question",
    "scienceqa": "question",
    "folder": None,
}


def damage(folder: Path, key: str | None) -> None:
    """Spoil one entry of the file that holds the texts."""
    files = [file for file in sorted(folder.iterdir()) if file.is_file()]
    if key is None:
        file = next(file for file in files if file.suffix == ".token" or "train" in file.name)
        lines = file.read_text().splitlines()
        lines[1] = "neither"  # has no tab, and too few cells
        file.write_text("\n".join(lines) + "\n")
        return
    file = next(file for file in files if f'"{key}": "' in file.read_text())
    text = file.read_text()
    start = text.find('"image": "image.png"') if file.name == "problems.json" else 0  # others are passed over
    place = text.rfind(f'"{key}"', 0, start) if start > 0 else 0
    file.write_text(text[:place] + re.sub(rf'"{key}": "[^"]*"', f'"{key}": " "', text[place:], count=1))


@pytest.mark.parametrize("name", FORMATS)
def test_every_reader_leaves_out_and_tells_an_entry_that_is_no_example(name, tmp_path):
    options = FORMATS[name](tmp_path, COUNT, True)
    whole = build(name, options)
    splits = [(split, task) for split in whole.splits() for task in whole.tasks()]
    before = {each: answers(whole, *each) for each in splits}
    damage(tmp_path, TEXTS[name])
    with pytest.raises(DataError, match=r"most_broken: 0\.01"):
        for each in splits:
            list(build(name, options).examples(*each))
    dataset = build(name, options | {"most_broken": 0.5})
    after = {each: answers(dataset, *each) for each in splits}
    assert sum(before.values()) > sum(after.values()), "something is left out"
    told = {each: dict(dataset.skipped(*each)) for each in splits}
    assert all((before[each] == after[each]) or told[each] for each in splits), "and nothing silently"
    for faults in filter(None, told.values()):
        assert len(faults) == 1
        assert str(tmp_path) in next(iter(faults.values()))


def answers(dataset: Dataset, split: str, task: str) -> int:
    return sum(len(each.answers) + len(each.history) for each in dataset.examples(split, task))


def test_each_task_of_a_file_has_its_own(tmp_path):
    options = FORMATS["aokvqa"](tmp_path, COUNT, True)
    file = Path(options["annotations"]["train"])
    entries = json.loads(file.read_text())
    entries[3]["direct_answers"] = []
    entries[5]["correct_choice_idx"] = 9
    write_json(file, entries)
    dataset = build("aokvqa", options | {"most_broken": 0.2})
    assert len(dataset.examples("train", "questions")) == len(dataset.examples("train", "choices")) == COUNT - 1
    assert list(dataset.skipped("train", "questions")) == ["train: entry 3"]
    assert list(dataset.skipped("train", "choices")) == ["train: entry 5"]


@pytest.mark.parametrize("broken", ["7", HALF, '{"a": ' + HALF + "}"])
def test_behind_an_entry_that_cannot_be_read_others_are(tmp_path, broken):
    file = tmp_path / "a.json"
    file.write_text(f'[{{"a": 1}}, {broken}, {{"a": 3}}]')
    assert_reads_on(json_entries(file))
    lines = tmp_path / "a.jsonl"
    lines.write_text(f'{{"a": 1}}\n{broken}\n{{"a": 3}}\n')
    assert_reads_on(json_lines(lines))


def test_behind_a_line_that_is_no_json_or_has_too_few_cells_others_are_read(tmp_path):
    lines = tmp_path / "a.jsonl"
    lines.write_text('{"a": 1}\n{"a": \n{"a": 3}\n')
    assert_reads_on(json_lines(lines))
    table = tmp_path / "a.csv"
    table.write_text("a,b\n1,x\n2\n3,x\n")
    assert_reads_on(csv_rows(table))
    members = tmp_path / "b.json"
    members.write_text('{"x": {"a": 1}, "y": [], "z": {"a": 3}}')
    assert_reads_on(map(itemgetter(1), json_members(members)))


def assert_reads_on(entries: Any) -> None:
    broken = BrokenEntries(0.5)
    read = list(broken.without("train", "questions", entries, lambda _, entry: int(entry.name("a"))))
    assert (read, list(broken.found("train", "questions"))) == ([1, 3], ["train: entry 1"])


def test_what_ends_a_file_is_no_broken_entry(tmp_path):
    file = tmp_path / "a.json"
    file.write_text('[{"a": 1}, {"a": 2}, {"a": 3}, {"a"')
    broken = BrokenEntries(0.9)
    with pytest.raises(DataError, match="is cut off in line 1"):
        list(broken.without("train", "questions", json_entries(file), lambda _, entry: entry.name("a")))


def test_an_iterator_that_an_error_ends_is_not_taken_for_a_short_file(tmp_path):
    lines = write_lines(tmp_path / "a.jsonl", [{"a": 1}, {"b": 2}, {"a": 3}])
    names = (entry.name("a") for entry in json_lines(lines))
    with pytest.raises(DataError, match="line 2: the key 'a' is missing"):
        list(BrokenEntries(0.9).without("train", "questions", names, lambda _, name: name))


def test_where_every_entry_is_broken_the_options_are_asked_about(tmp_path):
    lines = write_lines(tmp_path / "a.jsonl", [{"b": number} for number in range(4)])
    broken = BrokenEntries(0.5)
    with pytest.raises(DataError, match=r"4 of 4 entries .* is the file of this format, and are its options right\?"):
        list(broken.without("train", "questions", json_lines(lines), lambda _, entry: entry.name("a")))


def test_an_image_or_annotation_without_a_name_costs_what_asks_for_it_alone(tmp_path):
    options = FORMATS["vqav2"](tmp_path, COUNT, True)
    file = Path(options["annotations"]["train"])
    content = json.loads(file.read_text())
    del content["annotations"][4]["question_id"]
    content["annotations"].reverse()
    write_json(file, content)
    dataset = build("vqav2", options | {"most_broken": 0.1})
    found = list(islice(dataset.examples("train", "questions"), COUNT))
    assert [each.id for each in found] == [f"train/{1000 * number}" for number in range(COUNT) if number != 4]
    [why] = dataset.skipped("train", "questions").values()
    assert "no annotation with the question_id 4000" in why
    assert "'question_id' is missing" in why


def test_the_same_of_an_image_that_captions_are_of(tmp_path):
    options = as_in_yaml(FORMATS["coco_captions"](tmp_path, COUNT, True))
    file = Path(options["annotations"]["train"])
    content = json.loads(file.read_text())
    gone = content["images"][0].pop("id")
    of_it = sum(each["image_id"] == gone for each in content["annotations"])
    write_json(file, content)
    dataset = build("coco_captions", options | {"most_broken": 0.6})
    assert len(dataset.examples("train", "captions")) == len(content["annotations"]) - of_it
    assert len(dataset.skipped("train", "captions")) == of_it > 0
