"""Rows: what stands where, what is shared, what carries loss."""

from __future__ import annotations

import torch

from tests.tiny import QUESTIONS, collator, images, tiny_model
from workbench.data.collator import IGNORED


def row_text(model, ids: torch.Tensor) -> str:
    return model.language_model.tokenizer.raw.decode(ids.tolist(), skip_special_tokens=False)


def test_a_row_holds_the_shared_beginning_once_and_then_each_question_with_its_answer():
    model = tiny_model("concat_projection")
    batch = collator(model, "<image>{question}\n")(images(2), QUESTIONS)
    assert batch.ids.shape[0] == 2
    assert (batch.ids == model.language_model.tokenizer.image).sum(1).tolist() == [1, 1]
    text = row_text(model, batch.ids[0][batch.segments[0] >= 0])
    for example in QUESTIONS[0]:
        assert f"{example.question}\n {example.answers[0]}" in text


def test_only_the_answers_and_their_end_carry_loss():
    model = tiny_model("concat_projection")
    tokenizer = model.language_model.tokenizer
    batch = collator(model, "<image>{question}\n")(images(2), QUESTIONS)
    expected = [id_ for row in QUESTIONS for each in row for id_ in [*tokenizer.encode(each.answers[0]), tokenizer.end]]
    assert batch.labels[batch.labels != IGNORED].tolist() == expected


def test_every_question_continues_the_positions_of_the_shared_beginning():
    model = tiny_model("concat_projection")
    batch = collator(model, "<image>{question}\n")(images(2), QUESTIONS)
    shared = int((batch.segments[0] == 0).sum())
    for row in range(2):
        for segment in range(1, int(batch.segments[row].max()) + 1):
            positions = batch.positions[row][batch.segments[row] == segment].tolist()
            assert positions == list(range(shared, shared + len(positions)))


def test_a_fusion_that_reads_text_gets_a_row_for_each_question():
    model = tiny_model("bidirectional")
    batch = collator(model, "<image>{question}\n")(images(2), QUESTIONS)
    assert batch.image_set is not None
    assert batch.image_set.tolist() == [0, 0, 1, 1, 1]
    assert batch.ids.shape[0] == 5
    assert int(batch.segments.max()) == 1


def test_without_answers_a_row_ends_with_its_prompts():
    model = tiny_model("concat_projection")
    batch = collator(model, "<image>{question}\n")(images(2), QUESTIONS, answered=False)
    assert bool(batch.prompt[batch.segments >= 0].all())
    assert bool((batch.labels == IGNORED).all())


def test_a_template_whose_image_stands_behind_the_question_repeats_it_for_each_question():
    model = tiny_model("concat_projection")
    batch = collator(model, "{question}<image>\n")(images(2), QUESTIONS)
    assert (batch.ids == model.language_model.tokenizer.image).sum(1).tolist() == [2, 3]
