"""A preview shows what a training batch holds: read off the batch itself, and without any weights."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from tests.small import PAIRS, PLUGINS, SMALL, CommandLine, load, small_registry, write
from tests.tiny import collator, tiny_model
from workbench.contracts.example import Example, Turn
from workbench.data.collator import Collator
from workbench.runs.preview import IMAGE, PROMPT, preview, tokens_of

TALK = Example("a", "0", "and is it red?", ("no",), history=(Turn("what color is it?", "blue"),))


@pytest.mark.parametrize("fusion", ["concat_projection", "bidirectional"])
def test_the_tokens_are_those_of_the_template_and_loss_lies_on_every_answer_with_its_end(fusion):
    model = tiny_model(fusion)
    tokenizer = model.language_model.tokenizer
    batch = collator(model, "<image>Q: {question}\nA:")(torch.empty(0), [[TALK]])
    tokens = [token for row in range(len(batch.ids)) for token in tokens_of(batch, row, tokenizer)]
    trained = [token.id for token in tokens if token.loss]
    answers = [[*tokenizer.encode(text), tokenizer.end] for text in ("blue", "no")]
    assert trained == [*answers[0], *answers[1]]
    assert len(trained) == int((batch.labels >= 0).sum())
    prompt = tokenizer.decode([token.id for token in tokens if token.part == PROMPT])
    assert "Q: what color is it?" in prompt
    assert [token.text for token in tokens if token.part == IMAGE] == ["<image>"] * len(batch.ids)


def test_every_example_of_a_packed_row_is_shown():
    model = tiny_model("gated")
    tokenizer = model.language_model.tokenizer
    collate = Collator(tokenizer, "<image>{question}\n")
    pair = [Example("a", "0", "is it red?", ("no",)), Example("b", "0", "what is it?", ("a circle",))]
    tokens = tokens_of(collate(torch.empty(0), [pair]), 0, tokenizer)
    wanted = [*tokenizer.encode("no"), tokenizer.end, *tokenizer.encode("a circle"), tokenizer.end]
    assert [token.id for token in tokens if token.loss] == wanted


def test_a_preview_counts_what_the_decoder_reads(tmp_path):
    experiment = load(tmp_path, text=SMALL + "grid: {fusion: [concat_projection, cross_attention]}\n")
    inside, beside = (preview(trial, small_registry(), 2) for trial in experiment.trials)
    assert inside.image_tokens == beside.image_tokens == 4
    assert inside.length == beside.length + 3, "four image tokens in the place of one"
    assert (inside.in_sequence, beside.in_sequence) == (True, False)
    assert inside.others == 2
    assert inside.image.size == (16, 16)
    assert inside.image.getpixel((3, 3)) == (220, 20, 20), "the colour of the first square, as it was"


@pytest.fixture
def workbench(tmp_path, monkeypatch, capsys) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


def test_the_command_shows_the_tokens_and_writes_the_image(workbench):
    file = write(workbench.folder, SMALL + "grid: {fusion: [concat_projection, gated]}\n")
    told = workbench("preview", file, "--plugins", PLUGINS, "--trial", "2", "--example", "3", "--out", "seen.png")
    assert told.code == 0
    assert "trial 2: gated" in told.output
    assert "what color is it?" not in told.output.partition("place")[0]
    assert "tokens carry loss" in told.output
    rows = [line.split() for line in told.output.splitlines()]
    assert ["yes" in row for row in rows if "answer" in row] == [True] * sum("answer" in row for row in rows)
    assert Image.open(workbench.folder / "seen.png").size == (16, 16)
    assert not (workbench.folder / "results").exists()


def test_what_is_not_there_is_refused(workbench):
    file = write(workbench.folder)
    for words, message in (
        (("--trial", "9"), "there is no trial 9: the experiment has 1"),
        (("--example", "999"), "there is no example 999: questions of 'train' have 48"),
        (("--out", "nowhere/seen.png"), "cannot write the image"),
        (("--out", "seen.nothing"), "cannot write the image"),
    ):
        told = workbench("preview", file, "--plugins", PLUGINS, *words)
        assert told.code == 2
        assert message in told.errors


def test_a_preview_shows_all_images_side_by_side_and_counts_their_tokens(tmp_path):
    trial = load(tmp_path, text=PAIRS).trials[0]
    shown = preview(trial, small_registry(), number=2)
    assert (shown.views, shown.image.size) == (2, (32, 16))
    assert shown.others == 1
    text = len(shown.tokens) - 1 - 2
    assert shown.length == text + 2 * shown.image_tokens


def test_the_preview_command_tells_the_views(workbench):
    file = write(workbench.folder, PAIRS, "other.yaml")
    told = workbench("preview", file, "--plugins", PLUGINS, "--example", "2", "--out", "seen.png")
    assert told.code == 0
    assert "2 views of 16x16, side by side" in told.output
    assert "image train/1, train/3" in told.output
