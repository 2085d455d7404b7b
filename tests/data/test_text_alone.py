"""Examples without an image: read as the decoder reads them by itself, beside images or alone, whatever the fusion."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.data.test_several_images import MIXED, PAIR, PROMPTS, open_model
from tests.small import CommandLine, load, run_inside, write
from tests.tiny import DECODERS, FUSIONS, collator, images
from workbench.contracts.example import Example, Turn, is_image
from workbench.data.collator import IGNORED
from workbench.data.image_views import distinct, gather
from workbench.inference.load_trial import load_trial
from workbench.inference.pipeline import Pipeline
from workbench.model.generation import generate
from workbench.model.vision_language_model import visible
from workbench.storage.conditions import WITH_IMAGE
from workbench.storage.records import read_predictions
from workbench.training.training_set import training_examples

TALK = [Example("t/0", "", "what is a circle?", ("a round shape",), history=(Turn("hello?", "hi"),))]
WORD = [Example("t/1", "", "say <image> or red", ("red",))]
BESIDE = [MIXED[0], TALK, MIXED[1], WORD, MIXED[2]]


@pytest.fixture(params=[(fusion, decoder) for decoder in DECODERS for fusion in FUSIONS], ids="-".join)
def model(request):
    return open_model(*request.param)


def by_itself(model: Any, batch: Any) -> torch.Tensor:
    """The oracle: the losses of one row as the decoder alone reads its text, with nothing of an image."""
    length = batch.ids.shape[1]
    everywhere = torch.zeros(1, length, dtype=torch.long)
    hidden = model.language_model(
        model.language_model.embed(batch.ids), torch.arange(length)[None], visible(everywhere, everywhere)
    )
    labelled = batch.labels != IGNORED
    logits = model.language_model.head(hidden[labelled])
    return torch.nn.functional.cross_entropy(logits.float(), batch.labels[labelled], reduction="none")


@pytest.mark.parametrize("prompt", PROMPTS)
@torch.no_grad()
def test_text_alone_is_read_as_the_decoder_reads_it_by_itself(model, prompt):
    collate = collator(model, prompt)
    for row in (TALK, WORD):
        batch = collate(images(1), [row])
        assert not (batch.ids == model.language_model.tokenizer.image).any()
        if len(batch.ids) > 1:
            continue  # a row for each turn, tried below
        losses = model.token_losses(model.see(batch.images, batch.views), batch)
        torch.testing.assert_close(losses, by_itself(model, batch), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("prompt", PROMPTS)
@torch.no_grad()
def test_beside_images_each_row_is_read_as_if_it_stood_alone(model, prompt):
    collate = collator(model, prompt)
    together = collate(images(6), BESIDE)
    losses = model.token_losses(model.see(together.images, together.views), together)
    alone, start = [], 0
    for row in BESIDE:
        count = len(row[0].images)
        for question in row:
            batch = collate(images(6)[start : start + count] if count else images(1), [[question]])
            alone.append(model.token_losses(model.see(batch.images, batch.views), batch))
        start += count
    torch.testing.assert_close(losses, torch.cat(alone), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_no_image_of_the_batch_changes_it(model):
    collate = collator(model, "<image>{question}\n")
    batch = collate(images(2), [PAIR, WORD])
    other = replace(batch, images=-3 * batch.images)
    rows = batch.image_set == 1 if batch.image_set is not None else torch.tensor([False, True])
    first, second = (model.hidden(model.see(each.images, each.views), each)[rows] for each in (batch, other))
    assert torch.equal(first, second)


def test_gradients_are_finite_and_none_comes_from_what_is_not_seen(model):
    pixels = images(2).requires_grad_()
    batch = collator(model, "<image>{question}\n")(pixels, [TALK, WORD])
    loss = model.token_losses(model.see(batch.images, batch.views), batch).mean()
    loss.backward()
    assert bool(loss.isfinite())
    assert all(bool(each.grad.isfinite().all()) for each in model.parameters() if each.grad is not None)
    assert pixels.grad is None or float(pixels.grad.abs().max()) == 0
    assert all(each.grad is None or float(each.grad.abs().max()) == 0 for each in model.fusion.parameters())


@torch.no_grad()
def test_cached_answers_are_those_of_each_row_alone(model):
    for parameter in model.language_model.parameters():
        parameter.mul_(2.0)  # so that different prompts get different answers
    collate = collator(model, "<image>{question}\n")
    batch = collate(images(6), BESIDE, answered=False)
    together = [ids for row in generate(model, model.see(batch.images, batch.views), batch, 6) for ids in row]
    alone, start = [], 0
    for row in BESIDE:
        count = len(row[0].images)
        for question in row:
            each = collate(images(6)[start : start + count] if count else images(1), [[question]], answered=False)
            [[ids]] = generate(model, model.see(each.images, each.views), each, 6)
            alone.append(ids)
        start += count
    assert together == alone


def test_each_has_a_row_of_its_own_and_no_image():
    first, second = TALK[0], WORD[0]
    assert first.images == ()
    assert first.row != second.row
    assert not is_image(first.row[0])
    assert distinct([first.row, ("a",), second.row]) == ["a"]
    asked = []

    def load(keys):
        asked.append(list(keys))
        return [torch.zeros(1, 3) for _ in keys]

    seen, places = gather([first.row, ("a",), second.row], load)
    assert (asked, places, len(seen)) == ([["a"]], [[], [[0]], []], 1)
    seen, places = gather([first.row], load)
    assert (places, len(seen)) == ([[]], 1)


TALKS = """\
question: does text train?
base:
  dataset: {name: llava_json, conversations: {train: train.json, test: test.json}, images: images, most_broken: 0.2}
  encoder: {name: vit, image_size: 16, patch_size: 8, width: 16, depth: 1, heads: 2}
  connector: linear
  fusion: FUSION
  language_model: {name: gpt, width: 16, depth: 1, heads: 2, vocabulary_size: 300}
  adapter: full
  quantizer: none
  phases:
    - {name: tune, train: [TRAIN], epochs: 2, batch: 4, precision: fp32, held_out: 0.2}
metrics: [exact_match, loss]
evaluation: {split: test, max_new_tokens: 2, precision: fp32, controls: [CONTROLS], gain_against: shuffled}
"""


def talks(folder: Path, fusion: str, train: str) -> str:
    (folder / "images").mkdir(parents=True)
    for number in range(8):
        Image.new("RGB", (16, 16), (30 * number, 0, 0)).save(folder / f"images/{number}.png")
    for split in ("train", "test"):
        entries = []
        for number in range(16):
            asked = {"from": "human", "value": f"is it {number % 3}?"}
            said = {"from": "gpt", "value": ["yes", "no", "maybe"][number % 3]}
            image = {"image": f"{number % 8}.png"} if number % 2 == 0 else {}
            entries.append({"id": str(number), **image, "conversations": [asked, said]})
        entries[5]["conversations"].pop()
        (folder / f"{split}.json").write_text(json.dumps(entries))
    controls = "no_image, mean_image, shuffled, other_answer, prior"
    return TALKS.replace("FUSION", fusion).replace("TRAIN", train).replace("CONTROLS", controls)


@pytest.mark.parametrize("train", ["encoder, connector, fusion, language_model", "connector, fusion, language_model"])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_whole_run_trains_on_text_and_images_and_asks_both(tmp_path, fusion, train):
    run_inside(load(tmp_path, text=talks(tmp_path, fusion, train)), tmp_path / "results")
    [trial] = (tmp_path / "results/small/trials").iterdir()
    lines = [json.loads(line) for line in (trial / "predictions.jsonl").read_text().splitlines()]
    record = json.loads((trial / "record.json").read_text())
    assert "entry 5" in str(record["provenance"]["skipped_images"])
    by_condition: dict[str, set[str]] = {}
    for line in lines:
        by_condition.setdefault(line["condition"], set()).add(line["id"])
        assert line["condition"] == "prior" or line["loss"] < 100
    assert len(by_condition[WITH_IMAGE]) == 15
    assert by_condition["no_image"] == by_condition[WITH_IMAGE]
    assert len(by_condition["shuffled"]) == 8, "text alone is shown no other image"


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_finished_trial_is_asked_with_text_alone_as_its_evaluation_asked(fusion, tmp_path, monkeypatch, capsys):
    workbench = CommandLine(tmp_path, monkeypatch, capsys)
    text = talks(tmp_path, fusion, "connector, fusion, language_model").replace(
        "max_new_tokens: 2", "max_new_tokens: 9"
    )
    run_inside(load(tmp_path, text=text), tmp_path / "results")
    [trial] = (tmp_path / "results/small/trials").iterdir()
    found = load_trial(trial.name, tmp_path / "results", [])
    asked = Pipeline(found.model(), found.trial)
    told = read_predictions(trial).query("condition == 'image' and image.str.startswith('text alone')")
    questions = list(told["question"])
    assert asked.answers([], questions) == list(told["answer"])
    assert ["".join(asked.stream([], each)) for each in questions] == list(told["answer"])
    shown = workbench("ask", trial, questions[0], "--text-alone")
    printed = "".join(each for each in told["answer"].iloc[0] if each.isprintable())  # as a terminal is given it
    assert (shown.code, shown.output.strip()) == (0, printed.strip())
    refused = workbench("ask", trial, questions[0], "--text-alone", "--attention", "map.png")
    assert (refused.code, "--text-alone shows none" in refused.errors) == (2, True)


def test_examples_of_text_alone_are_sets_of_their_own():
    class Talks:
        def examples(self, split, task):
            return [*TALK, *WORD, *MIXED[1]]

    grouped = training_examples(Talks(), ["questions"])  # pyright: ignore[reportArgumentType]
    assert [len(each) for each in grouped.values()] == [1, 1, len(MIXED[1])]


def test_what_is_strange_is_told_of_questions_about_images_and_every_number_is_verified(tmp_path, monkeypatch, capsys):
    command_line = CommandLine(tmp_path, monkeypatch, capsys)
    text = talks(tmp_path, "cross_attention", "connector, fusion, language_model")
    write(tmp_path, text.replace("max_new", "outside: {name: squares, images: 9}, max_new"))
    assert command_line.run_inside(tmp_path / "small.yaml").code == 0
    [trial] = (tmp_path / "results/small/trials").iterdir()
    lines = [json.loads(line) for line in (trial / "predictions.jsonl").read_text().splitlines()]
    asked = [line for line in lines if line["condition"] == WITH_IMAGE]
    assert all(("strangeness" in line) == is_image(line["image"]) for line in asked)
    told = command_line("verify", "results/small")
    assert (told.code, "everything that was checked agrees" in told.output) == (0, True), told
