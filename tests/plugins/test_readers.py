"""Readers of official formats: they keep the rules, give what the files say, and tell what is wrong in them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.official_formats import FORMATS, TEST, write_json, write_lines
from tests.small import SMALL
from tests.tiny import builtin_registry
from workbench.config.experiment import load_experiment
from workbench.conformance import check
from workbench.contracts.dataset import Dataset
from workbench.contracts.example import Example, Turn
from workbench.data.annotations import DataError
from workbench.errors import UserError
from workbench.registry import resolve_options

COUNT = 12


def as_in_yaml(options: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(options, default=str))


def build(name: str, options: dict[str, Any]) -> Dataset:
    plugin = builtin_registry().plugin("dataset", name.partition("/")[0])
    return plugin.factory(**resolve_options(plugin, as_in_yaml(options)))


def made(name: str, folder: Path, **more: Any) -> tuple[Dataset, dict[str, Any]]:
    options = FORMATS[name](folder, COUNT, True)
    return build(name, options | more), options


def read(file: Path | str) -> Any:
    return json.loads(Path(file).read_text())


@pytest.mark.parametrize("name", FORMATS)
def test_every_reader_keeps_every_rule(name, tmp_path):
    options = as_in_yaml(FORMATS[name](tmp_path, COUNT, True))
    findings = list(check(builtin_registry(), "dataset", name.partition("/")[0], **options))
    assert [f"{finding.title}: {finding.explanation}" for finding in findings if not finding.passed] == []


@pytest.mark.parametrize("name", FORMATS)
def test_the_fingerprint_follows_annotations_images_and_options(name, tmp_path):
    dataset, options = made(name, tmp_path)
    before = dataset.fingerprint()
    image = next(tmp_path.rglob("*.[jp][pn]g"))
    content = image.read_bytes()
    image.write_bytes(content + b" ")
    assert build(name, options).fingerprint() != before
    image.write_bytes(content)
    assert build(name, options).fingerprint() == before
    annotation = next(file for file in sorted(tmp_path.iterdir()) if file.is_file())
    annotation.write_bytes(annotation.read_bytes() + b"\n")
    assert build(name, options).fingerprint() != before


@pytest.mark.parametrize("name", FORMATS)
def test_a_missing_file_or_folder_is_told_when_the_reader_is_built(name, tmp_path):
    options = FORMATS[name](tmp_path, COUNT, True)
    folders = {path for path in tmp_path.iterdir() if path.is_dir()}
    next(iter(folders)).rename(tmp_path / "moved")
    with pytest.raises(DataError, match="there is no folder of images"):
        build(name, options)
    (tmp_path / "moved").rename(next(iter(folders)))
    first = next(file for file in sorted(tmp_path.iterdir()) if file.is_file())
    first.unlink()
    with pytest.raises(DataError, match=rf"{first.name}"):
        build(name, options)


def test_llava_gives_conversations_without_the_image_mark(tmp_path):
    file = write_json(
        tmp_path / "llava.json",
        [
            {
                "id": "1",
                "image": "1.jpg",
                "conversations": [
                    {"from": "human", "value": "<image>\nWhat is it?"},
                    {"from": "gpt", "value": "A bus. "},
                    {"from": "human", "value": "Which color?"},
                    {"from": "gpt", "value": "Red."},
                ],
            },
            {"id": "2", "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
            {
                "id": "1",
                "image": "1.jpg",
                "conversations": [
                    {"from": "human", "value": "Describe it.\n<image>"},
                    {"from": "gpt", "value": "Big."},
                ],
            },
        ],
    )
    (tmp_path / "images").mkdir()
    dataset = build("llava_json", {"conversations": {"train": file}, "images": tmp_path / "images"})
    assert list(dataset.examples("train", "questions")) == [
        Example("train/0", "1.jpg", "Which color?", ("Red.",), "", (Turn("What is it?", "A bus."),)),
        Example("train/1", "", "Hi", ("Hello",)),
        Example("train/2", "1.jpg", "Describe it.", ("Big.",)),
    ]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ([("human", "Hi")], "entry 0: 'conversations' should be questions and answers in turn; there are 1 texts"),
        ([("gpt", "Hi"), ("human", "Ho")], "entry 0 conversations 0: 'from' should be 'human' here, not 'gpt'"),
        ([("human", "Hi"), ("gpt", "")], "entry 0 conversations 1: 'value' should be a text, not ''"),
    ],
)
def test_a_conversation_out_of_order_is_told(tmp_path, said, message):
    talk = [{"from": who, "value": text} for who, text in said]
    file = write_json(tmp_path / "llava.json", [{"id": "1", "image": "1.jpg", "conversations": talk}])
    dataset = build("llava_json", {"conversations": {"train": file}, "images": tmp_path})
    with pytest.raises(DataError, match=rf"llava\.json: {message}"):
        list(dataset.examples("train", "questions"))


def llava(folder: Path, *entries: Any, **options: Any) -> Dataset:
    (folder / "images").mkdir(exist_ok=True)
    file = write_json(folder / "llava.json", list(entries))
    return build("llava_json", {"conversations": {"train": file}, "images": folder / "images"} | options)


def messages(*said: Any, **more: Any) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[place % 2], "content": each} for place, each in enumerate(said)], **more}


def part(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def test_llava_reads_the_newer_schema_and_parts(tmp_path):
    an_image, named = {"type": "image"}, {"type": "image", "image": "b.jpg"}
    dataset = llava(
        tmp_path,
        messages("<image>\nWhat?", "A bus.", "Red?", "No.", images=["a.jpg"]),
        messages([an_image, part("What says <image>?")], [part("It says "), part("<image>.")], images=["a.jpg"]),
        messages([part("See "), named], "Yes."),
        messages([an_image, part("or "), an_image, part("?")], "First.", images=["a.jpg", {"path": "b.jpg"}]),
        messages("And <image> like <image>?", True, image=["a.jpg", "b.jpg"]),
        messages("Hello?", "Hi.", images=[]),
        messages([{"type": "image_url", "image_url": {"url": "c.jpg"}}, part("Look")], "I do."),
    )
    assert list(dataset.examples("train", "questions")) == [
        Example("train/0", "a.jpg", "Red?", ("No.",), history=(Turn("What?", "A bus."),)),
        Example("train/1", "a.jpg", "What says <image>?", ("It says <image>.",)),
        Example("train/2", "b.jpg", "See", ("Yes.",)),
        Example("train/3", "a.jpg", "<image>or <image>?", ("First.",), more=("b.jpg",), interleaved=True),
        Example("train/4", "a.jpg", "And <image> like <image>?", ("yes",), more=("b.jpg",), interleaved=True),
        Example("train/5", "", "Hello?", ("Hi.",)),
        Example("train/6", "c.jpg", "Look", ("I do.",)),
    ]


OUT_OF_TURN = {
    "begins with the assistant": {"image": "a.jpg", "conversations": [{"from": "gpt", "value": "Hi"}]},
    "ends with a question": messages("What?", "It.", "And?", images=["a.jpg"]),
    "has a place and no image": messages("<image>What?", "It."),
    "has no answer": messages("What?", "", images=["a.jpg"]),
    "says nothing": {"id": "7", "image": "a.jpg"},
    "has an unknown speaker": {"image": "a.jpg", "messages": [{"role": "system", "content": "Be brief."}]},
}


@pytest.mark.parametrize("broken", OUT_OF_TURN.values(), ids=OUT_OF_TURN)
def test_llava_leaves_out_what_is_out_of_turn_up_to_a_share(tmp_path, broken):
    whole = [messages("What?", "It.", images=["a.jpg"]) for _ in range(3)]
    with pytest.raises(DataError, match=r"llava\.json: entry 2.*: .*write most_broken: 0\.01"):
        list(llava(tmp_path, *whole[:2], broken, whole[2]).examples("train", "questions"))
    dataset = llava(tmp_path, *whole[:2], broken, whole[2], most_broken=0.25)
    assert [each.id for each in dataset.examples("train", "questions")] == ["train/0", "train/1", "train/3"]
    [(name, why)] = dataset.skipped("train", "questions").items()
    assert name == "train: entry 2"
    assert "llava.json: entry 2" in why
    few = llava(tmp_path, broken, *whole, most_broken=0.2)
    with pytest.raises(DataError, match=r"1 of 4 entries of 'train' are no examples .* write most_broken: 0\.25"):
        list(few.examples("train", "questions"))


def test_a_okvqa_asks_for_the_answer_or_for_a_letter(tmp_path):
    dataset, options = made("aokvqa", tmp_path)
    for example, entry in zip(
        dataset.examples("train", "questions"), read(options["annotations"]["train"]), strict=True
    ):
        assert example.answers == tuple(entry["direct_answers"])
        assert example.answer == "ride"
        assert example.image == f"train2017/{entry['image_id']:012}.jpg"
    choice = dataset.examples("train", "choices")[2]
    assert choice.question.endswith("?\nA. ride\nB. sit\nC. throw\nD. skate")
    assert choice.answers == ("C",)


def test_coco_captions_belong_to_their_images(tmp_path):
    dataset, options = made("coco_captions", tmp_path)
    whole = read(options["annotations"]["train"])
    names = {image["id"]: image["file_name"] for image in whole["images"]}
    expected = [(f"train2017/{names[each['image_id']]}", each["caption"]) for each in whole["annotations"]]
    assert [(each.image, each.answer) for each in dataset.examples("train", "captions")] == expected
    whole["annotations"][1]["image_id"] = 77
    write_json(options["annotations"]["train"], whole)
    with pytest.raises(DataError, match="entry 1: 'images' holds no image with the id 77"):
        list(build("coco_captions", options).examples("train", "captions"))


@pytest.mark.parametrize("name", ["coco_captions", "flickr30k"])
def test_captions_come_from_one_of_two_files(name, tmp_path):
    _, options = made(name, tmp_path)
    with pytest.raises(UserError, match="give either"):
        build(name, {"images": options["images"]})


def test_a_line_of_flickr30k_that_is_no_caption_is_told(tmp_path):
    dataset, options = made("flickr30k", tmp_path)
    file = Path(options["captions"])
    file.write_text(file.read_text() + "1000.jpg 2 dogs\n")
    with pytest.raises(DataError, match=rf"line {COUNT + 1}: it should be NAME.jpg#NUMBER, a tab and a caption"):
        list(dataset.examples("train", "captions"))


def test_narratives_are_read_from_all_files_of_a_split(tmp_path):
    dataset, _ = made("localized_narratives", tmp_path)
    train = dataset.examples("train", "captions")
    assert [each.image for each in train] == [f"train2017/{number:012}.jpg" for number in range(COUNT)]
    assert len(train[0].answer.split()) == 40


def test_popes_groups_are_its_strategies(tmp_path):
    dataset, options = made("pope", tmp_path)
    assert dataset.splits() == ("test",)
    test = dataset.examples("test", "questions")
    assert [each.group for each in test] == [
        name for name in ("random", "popular", "adversarial") for _ in range(COUNT)
    ]
    assert {each.answers for each in test} == {("yes",), ("no",)}
    write_lines(options["questions"]["popular"], [{"question_id": 1, "image": "a.jpg", "text": "?", "label": "maybe"}])
    with pytest.raises(DataError, match="popular.json: line 1: 'label' should be yes or no, not 'maybe'"):
        list(build("pope", options).examples("test", "questions"))


def test_gqa_gives_short_or_full_answers(tmp_path):
    dataset, options = made("gqa", tmp_path)
    whole = read(options["questions"]["train"])
    found = dataset.examples("train", "questions")
    assert [each.answers for each in found] == [(each["answer"],) for each in whole.values()]
    assert {each.group for each in found} == {"verify", "query"}
    full = build("gqa", options | {"full_answers": True}).examples("train", "questions")
    assert [each.answers for each in full] == [(each["fullAnswer"],) for each in whole.values()]


def test_scienceqa_asks_for_a_letter_behind_its_hint(tmp_path):
    dataset, options = made("scienceqa", tmp_path)
    problems = {
        number: each for number, each in read(options["problems"]).items() if each["image"] and each["split"] == "train"
    }
    found = list(dataset.examples("train", "questions"))
    assert [each.image for each in found] == [f"train/{number}/image.png" for number in problems]
    assert [each.answers for each in found] == [("ABC"[each["answer"]],) for each in problems.values()]
    assert found[0].question.startswith(f"{problems['1']['hint']}\nWhich of these")
    assert found[0].question.endswith("?\nA. West Virginia\nB. Louisiana\nC. Iowa")
    plain = build("scienceqa", options | {"hint": False}).examples("train", "questions")
    assert plain[0].question.startswith("Which of these")


def test_a_folder_maps_columns_of_any_name(tmp_path):
    dataset, options = made("folder", tmp_path)
    train, test = dataset.examples("train", "questions"), dataset.examples("test", "questions")
    assert (len(train), len(test)) == (COUNT, TEST)
    assert train[1] == Example("train/1", "1.png", train[1].question, ("a bus", "bus"), "de")
    assert train[1].question.startswith("What, ")
    assert test[2] == Example("test/2", "t2.png", "What is it?", ("bus", "a bus"), "fr")
    with pytest.raises(DataError, match=r"train\.csv: line 2: the key 'question' is missing"):
        list(build("folder", {**options, "columns": {"image": "file"}}).examples("train", "questions"))
    with pytest.raises(UserError, match="columns: 'imag' is none. Did you mean 'image'"):
        build("folder", {**options, "columns": {"imag": "file"}})


def test_a_folder_can_hold_captions_alone(tmp_path):
    _, options = made("folder", tmp_path)
    columns = {"image": "file", "answers": "ask"}
    dataset = build("folder", {**options, "columns": columns, "question": "Describe it.", "task": "captions"})
    assert dataset.tasks() == ("captions",)
    first = dataset.examples("train", "captions")[0]
    assert (first.question, first.group) == ("Describe it.", "")


def test_every_reader_that_needs_files_is_tested_here():
    needing = {
        plugin.name
        for plugin in builtin_registry().plugins("dataset")
        if any(option.required for option in plugin.options.values())
    }
    assert needing - {"mixture", "huggingface_dataset"} == {name.partition("/")[0] for name in FORMATS}


def snippets() -> list[dict[str, Any]]:
    """The datasets that the documentation shows."""
    page = (Path(__file__).parents[2] / "docs/experiments.md").read_text(encoding="utf-8")
    section = page.partition("## Data you have\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```yaml\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return [yaml.safe_load(block)["dataset"] for block in blocks]


@pytest.mark.parametrize("dataset", snippets(), ids=lambda dataset: dataset["name"])
def test_the_documentation_shows_options_that_are_accepted(dataset, tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text(SMALL.replace("dataset: squares", f"dataset: {json.dumps(dataset)}"))
    [trial] = load_experiment(file, builtin_registry()).trials
    assert trial.components["dataset"].name == dataset["name"]


def test_the_documentation_shows_every_reader():
    needing = {
        plugin.name
        for plugin in builtin_registry().plugins("dataset")
        if any(option.required for option in plugin.options.values())
    }
    assert {dataset["name"] for dataset in snippets()} == needing
