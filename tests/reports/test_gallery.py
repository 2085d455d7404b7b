"""Questions are shown with their images, or with why they cannot be."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.made_results import write_dataset_plugin, write_results
from tests.reports.read_page import page_of
from workbench.registry import load_registry
from workbench.reports.gallery import Gallery, make_gallery
from workbench.reports.results_data import read_study


def test_examples_without_their_dataset_say_so(tmp_path: Path):
    folder = write_results(tmp_path, images=10, axes={"fusion": ["gated"]})
    assert "no plugins were loaded" in page_of(folder).text
    assert "there is no dataset 'made_shapes'" in page_of(folder, load_registry()).text


def test_an_image_that_cannot_be_opened_is_named(tmp_path: Path):
    plugin = write_dataset_plugin(tmp_path / "plugins")
    file = plugin / "made_shapes.py"
    file.write_text(file.read_text().replace('key.split("-")', "open(key)"))
    folder = write_results(tmp_path / "results", images=10, axes={"fusion": ["gated"]})
    assert "cannot be opened" in page_of(folder, load_registry([plugin])).text


def gallery_of(root: Path, change: Callable[[dict[str, Any]], None], **scale: bool) -> Gallery:
    """Of one trial whose lines of predictions were changed, and how its metric is read."""
    folder = write_results(root, images=12, axes={"fusion": ["gated"]})
    (trial,) = (folder / "trials").iterdir()
    lines = [json.loads(line) for line in (trial / "predictions.jsonl").read_text().splitlines()]
    for line in lines:
        change(line)
    (trial / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    record = json.loads((trial / "record.json").read_text())
    record["scales"]["vqa_accuracy"] |= scale
    (trial / "record.json").write_text(json.dumps(record))
    gallery = make_gallery(read_study(folder, resamples=5), None)
    assert gallery is not None
    return gallery


def test_where_less_is_better_an_answer_of_score_0_is_right(tmp_path: Path):
    def judge(line: dict[str, Any]) -> None:
        line["answer"] = line["id"]
        line["scores"]["vqa_accuracy"] = float(line["group"] == "color")

    gallery = gallery_of(tmp_path, judge, higher_is_better=False)
    assert {each.group for each in gallery.wrong} == {"color"}
    assert "color" not in {each.group for each in gallery.right}
    assert gallery.right


def test_an_answer_that_the_metric_does_not_judge_is_neither_right_nor_wrong(tmp_path: Path):
    def judge(line: dict[str, Any]) -> None:
        if line["group"] == "color":
            del line["scores"]["vqa_accuracy"]

    gallery = gallery_of(tmp_path, judge)
    shown = [*gallery.wrong, *gallery.right, *gallery.disputed]
    assert shown
    assert "color" not in {each.group for each in shown}


def test_each_reason_for_a_missing_image_is_told_of_those_that_it_holds_of(tmp_path: Path):
    plugin = write_dataset_plugin(tmp_path / "plugins")
    file = plugin / "made_shapes.py"
    file.write_text(file.read_text().replace('key.split("-")', '(open(key) if "1" in key else key.split("-"))'))
    folder = write_results(tmp_path / "results", images=10, axes={"fusion": ["gated"]})
    text = page_of(folder, load_registry([plugin])).text
    assert "Shown without 1 of 6 images: the image '" in text


@pytest.mark.parametrize(
    ("mode", "drawn"), [("RGBA", (0, 0, 0, 0)), ("LA", (0, 0)), ("I;16", 65535), ("I", 65535), ("F", 1.0)]
)
def test_a_plugin_s_image_is_shown_as_models_see_it(tmp_path: Path, mode, drawn):
    plugin = write_dataset_plugin(tmp_path / "plugins")
    file = plugin / "made_shapes.py"
    file.write_text(
        file.read_text().replace(
            "        _, color", f"        return Image.new({mode!r}, (4, 4), {drawn})\n        _, color"
        )
    )
    folder = write_results(tmp_path / "results", images=10, axes={"fusion": ["gated"]})
    page = page_of(folder, load_registry([plugin]))
    shown = [each.partition("base64,")[2] for each in page.addresses if each.startswith("data:image/png")]
    images = [Image.open(io.BytesIO(base64.b64decode(each))) for each in shown]
    assert {each.getpixel((0, 0)) for each in images if each.size == (4, 4)} == {(255, 255, 255)}
