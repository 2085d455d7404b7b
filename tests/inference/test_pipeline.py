"""A finished trial is built again from its record alone and answers what it answered in its evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import CLIPVisionConfig, CLIPVisionModel

from tests.small import PLUGINS, SMALL, CommandLine, load, run_inside, small_registry
from workbench.inference.load_trial import load_trial
from workbench.inference.pipeline import Pipeline, open_image
from workbench.model.build import build_dataset
from workbench.storage.records import read_predictions

PHASES = """\
    - {name: align, train: [connector, language_model], epochs: 20, batch: 8, rate: 0.01, precision: fp32}
    - {name: adapt, train: [adapter], steps: 2, batch: 4, rate: 0.01, precision: fp32}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A trial with a pretrained encoder, an adapter and a quantizer; the same without the quantizer; one that fails."""
    folder = tmp_path_factory.mktemp("finished")
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    CLIPVisionModel(CLIPVisionConfig(**sizes, image_size=16, patch_size=8)).save_pretrained(folder / "clip")
    start, _, rest = SMALL.partition("    - {name: tune")
    text = start.replace("{name: vit, image_size: 16, patch_size: 8, width: 16, depth: 1, heads: 2}",
                         f"{{name: clip, checkpoint: {folder / 'clip'}, layer: -1}}")  # fmt: skip
    text = text.replace("adapter: full", "adapter: {name: lora, rank: 2}") + PHASES + rest.partition("\n")[2]
    experiment = load(folder, text=text + "grid: {quantizer: [none, int8], fusion: [concat_projection, bidirectional]}")
    assert not run_inside(experiment, folder / "results").failed
    return folder


def trials(folder: Path) -> list[Path]:
    return sorted((folder / "results/small/trials").iterdir())


def test_every_answer_of_the_evaluation_is_given_again(finished):
    for folder in trials(finished):
        found = load_trial(folder.name, finished / "results", [PLUGINS])
        assert found.trial.id == folder.name
        asked = Pipeline(found.model(), found.trial)
        dataset = build_dataset(found.trial, small_registry())
        told = read_predictions(folder).query("condition == 'image'")
        for key, rows in told.groupby("image"):
            questions = list(rows["question"])
            answers = asked.answers([dataset.image(str(key))], questions)
            assert answers == list(rows["answer"])
            assert "".join(asked.stream([dataset.image(str(key))], questions[0])) == answers[0]


@pytest.fixture
def workbench(finished, monkeypatch, capsys) -> CommandLine:
    return CommandLine(finished, monkeypatch, capsys)


def image_file(folder: Path, name: str = "red.png", size: tuple[int, int] = (40, 30)) -> Path:
    Image.new("RGB", size, (220, 20, 20)).save(folder / name)
    return folder / name


def test_one_answer_or_several_are_printed(workbench):
    folder = trials(workbench.folder)[0]
    image = image_file(workbench.folder, "red.webp")
    one = workbench("ask", folder.name[:7], image, "what color is it?", "--plugins", PLUGINS)
    assert one.code == 0
    both = workbench("ask", folder, image, "what color is it?", "is it red?", "--plugins", PLUGINS)
    lines = both.output.splitlines()
    assert [lines[0], lines[2]] == ["what color is it?", "is it red?"]
    assert lines[1].strip() == one.output.strip()
    longer = workbench("ask", folder, image, "is it red?", "--plugins", PLUGINS, "--max-new-tokens", "5")
    assert longer.output.strip().startswith(lines[3].strip())


def test_what_is_no_image_or_no_question_is_refused(workbench):
    name = trials(workbench.folder)[0].name
    (workbench.folder / "note.txt").write_text("red")
    for image, question, message in (
        ("nothing.png", "is it red?", "there is no image nothing.png"),
        ("note.txt", "is it red?", "note.txt is no image that can be read"),
        (image_file(workbench.folder), " ", "nothing is asked"),
        (image_file(workbench.folder), "", "nothing is asked"),
        (image_file(workbench.folder), "is it \udcff?", "is no UTF-8 text"),
        ("a" * 300 + ".png", "is it red?", "there is no image aaa"),
        ("what is this? " * 30, "is it red?", "there is no image what"),
        ("/".join("ab" * 3000), "is it red?", "there is no image a/b"),
        ("-", "is it red?", "there is no image -"),
        ("", "is it red?", ". is a folder, not an image"),
        (workbench.folder, "is it red?", "is a folder, not an image"),
        (image_file(workbench.folder), workbench.folder, "is a folder, not an image"),
    ):
        told = workbench("ask", name, image, question, "--plugins", PLUGINS)
        assert told.code == 2
        assert message in told.errors


@pytest.mark.parametrize("question", ["what color is it? " * 40, "?/" * 3000, "-", "what\n\tis it 💡", "~", "*"])
def test_a_question_may_be_long_and_of_any_letters(workbench, question):
    name = trials(workbench.folder)[0].name
    told = workbench("ask", "--plugins", PLUGINS, "--", name, image_file(workbench.folder), question)
    assert (told.code, told.errors) == (0, "")


def test_a_trial_of_too_long_a_name_is_not_there(workbench):
    told = workbench("ask", "a" * 300, image_file(workbench.folder), "is it red?", "--plugins", PLUGINS)
    assert told.code == 2
    assert "there is no trial 'aaa" in told.errors
    name = trials(workbench.folder)[0].name
    told = workbench("export", name, "b" * 300, "--plugins", PLUGINS)
    assert told.code == 2
    assert "no name on a disk is so long" in told.errors


def test_an_image_is_turned_as_its_camera_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.new("RGB", (40, 30)).save(tmp_path / "turned.jpg", exif=exif)
    assert open_image(tmp_path / "turned.jpg").size == (30, 40)
