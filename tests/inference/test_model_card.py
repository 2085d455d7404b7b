"""The model card tells the record's numbers, and no more than it knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.small import load, small_registry
from workbench.inference.load_trial import FinishedTrial
from workbench.inference.model_card import model_card
from workbench.storage.records import DONE, Record, write_trial

METRICS = {
    "vqa_accuracy": 0.5,
    "vqa_accuracy.no_image": 0.25,
    "visual_gain": 0.25,
    "parameters": 2000.0,
    "trainable_parameters": 500.0,
    "bytes": 8e6,
    "latency_ms": 12.4,
    "training_seconds": 3.0,
}


def card(
    folder: Path,
    predictions: list[dict[str, Any]],
    adapter: str = "none",
    controls: dict[str, Any] | None = None,
    **licences: str,
) -> str:
    """The card of a trial with these lines of predictions; without `controls`, made before there was a choice."""
    trial = load(folder, "evaluation.limit=4").trials[0]
    scales = {"vqa_accuracy": {"higher_is_better": True, "percent": True}}
    provenance = {"device": "cpu", "cpu": "a processor", **({"controls": controls} if controls else {})}
    record = Record(trial.id, DONE, "small", {}, trial.spec(), METRICS, scales, provenance, None)
    write_trial(folder / trial.id, record, predictions, [])
    return model_card(FinishedTrial(folder / trial.id, record, trial, small_registry()), adapter, 3_000_000, licences)


def line(image: int, score: float) -> dict[str, Any]:
    given = {"condition": "image", "id": f"{image}", "image": f"{image}", "group": "", "question": "?"}
    return {**given, "answers": ["a"], "answer": "a", "loss": 0.0, "scores": {"vqa_accuracy": score}}


def test_its_front_matter_is_what_hubs_read(tmp_path):
    text = card(tmp_path, [line(0, 1.0), line(1, 0.0)])
    assert text.startswith("---\nlibrary_name: workbench\npipeline_tag: image-text-to-text\n---\n")


def test_a_mean_has_an_interval_over_images_and_one_image_has_none(tmp_path):
    several, alone = tmp_path / "several", tmp_path / "alone"
    for folder in (several, alone):
        folder.mkdir()
    text = card(several, [line(image, float(image % 2)) for image in range(8)])
    assert "| VQA accuracy % | image | 50.0 [" in text
    assert "| VQA accuracy % | no image | 25.0 |" in text
    assert "| VQA accuracy % | image | 50.0 |" in card(alone, [line(0, 0.5)])


def test_it_tells_how_much_of_the_model_was_trained_and_how_large_it_is(tmp_path):
    text = card(tmp_path, [line(0, 1.0)])
    assert (
        "2,000 parameters, of which 500 (25.0%) trained in the last phase; 8.00 MB as evaluated, 3.00 MB on disk"
        in text
    )
    assert "12 ms an answer." in text


def test_it_tells_what_trained_in_each_phase_and_the_time_of_a_token(tmp_path, monkeypatch):
    told = {"trainable_parameters.align": 100.0, "trainable_parameters.tune": 500.0, "token_latency_ms": 4.13}
    monkeypatch.setitem(globals(), "METRICS", METRICS | told)
    text = card(tmp_path, [line(0, 1.0)])
    assert "of which 100 (5.0%) trained in 'align' and 500 (25.0%) trained in 'tune';" in text
    assert "12 ms an answer, 4.13 ms a token." in text


@pytest.mark.parametrize(
    ("licences", "told"),
    [
        ({}, "No part is pretrained"),
        ({"encoder": "mit", "language_model": ""}, "| encoder | mit |\n| language\\_model | \u2013 |"),
    ],
)
def test_licences_are_those_of_pretrained_parts_and_none_is_made_up(tmp_path, licences, told):
    assert told in card(tmp_path, [line(0, 1.0)], **licences)


def test_it_says_where_the_adapter_is(tmp_path):
    for adapter, told in (("merged", "are merged into"), ("separate", "a file of their own")):
        (tmp_path / adapter).mkdir()
        assert told in card(tmp_path / adapter, [line(0, 1.0)], adapter)


def test_a_bar_in_an_option_breaks_no_table(tmp_path):
    text = card(tmp_path, [line(0, 1.0)], encoder="mit | apache")
    assert "| encoder | mit \\| apache |" in text


def test_what_a_user_wrote_stays_text_in_the_card(tmp_path):
    text = card(tmp_path, [line(0, 1.0)], encoder="[MIT](https://example.org) *free* <b>")
    assert r"| encoder | \[MIT\](https:\//example.org) \*free\* &lt;b> |" in text


def test_it_says_what_the_visual_gain_is_against_and_how_images_were_limited(tmp_path):
    before, now = tmp_path / "before", tmp_path / "now"
    for folder in (before, now):
        folder.mkdir()
    text = card(before, [line(0, 1.0)])
    assert "| visual gain | image minus the better control | 25.0 |" in text
    assert "the first 4 images" in text
    text = card(now, [line(0, 1.0)], controls={"gain_against": "no_image"})
    assert "| visual gain | image minus an even grey image | 25.0 |" in text
    assert "4 of its images, drawn by a fixed seed" in text
