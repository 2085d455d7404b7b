"""Several turns: which tokens stand where and carry labels, and what reaches what."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.tiny import DECODERS, FUSIONS, QUESTIONS, collator, images, tiny_model
from workbench.contracts.example import Example, Turn
from workbench.data.collator import IGNORED, Batch
from workbench.model.generation import generate, generate_and_judge
from workbench.model.vision_language_model import VisionLanguageModel

PROMPT = "<image>{question}\n"


FIRST, SECOND = Turn("is there a red shape?", "yes"), Turn("what shape is in the image?", "a circle")


TALK = Example("0/0", "0", "what color is it?", ("red", "blue", "blue"), history=(FIRST, SECOND))


ALONE = QUESTIONS[0][1]


def labelled(batch: Batch, row: int = 0) -> list[tuple[int, int]]:
    """Each token of a row with the one that should come next, where there is a label."""
    pairs = zip(batch.ids[row].tolist(), batch.labels[row].tolist(), strict=True)
    return [(here, after) for here, after in pairs if after != IGNORED]


def losses(model: VisionLanguageModel, batch: Batch) -> Tensor:
    return model.token_losses(model.see(batch.images), batch)


def test_every_answer_of_a_conversation_and_its_end_carry_labels_and_nothing_else_does():
    model = tiny_model("concat_projection")
    tokenizer = model.language_model.tokenizer
    batch = collator(model, PROMPT)(images(1), [[TALK]])
    expected = []
    for question, answer in [(FIRST.question, "yes"), (SECOND.question, "a circle"), (TALK.question, "blue")]:
        prompt, ids = tokenizer.encode(f"{question}\n"), [*tokenizer.encode(answer), tokenizer.end]
        expected += list(zip([prompt[-1], *ids[:-1]], ids, strict=True))
    assert labelled(batch) == expected


def test_a_conversation_is_one_segment_whose_turns_follow_each_other():
    model = tiny_model("concat_projection")
    tokenizer = model.language_model.tokenizer
    batch = collator(model, PROMPT)(images(1), [[TALK, ALONE]])
    shared = int((batch.segments[0] == 0).sum())
    ids = batch.ids[0][batch.segments[0] == 1]
    whole = f"{FIRST.question}\n|yes|{SECOND.question}\n|a circle|{TALK.question}\n|blue".split("|")
    parts = [[*tokenizer.encode(text), *[tokenizer.end] * (place in (1, 3))] for place, text in enumerate(whole)]
    assert ids.tolist() == [id_ for part in parts for id_ in part]
    assert batch.positions[0][batch.segments[0] == 1].tolist() == list(range(shared, shared + len(ids)))
    assert int(batch.segments.max()) == 2


@pytest.mark.parametrize("name", [name for name in FUSIONS if name != "bidirectional"])
@pytest.mark.parametrize("decoder", DECODERS)
def test_a_turn_costs_in_a_conversation_what_it_costs_as_the_last_one(name, decoder):
    """The oracle: each turn by itself, behind the turns before it. So no answer sees what comes later."""
    model = tiny_model(name, decoder_name=decoder).eval()
    collate = collator(model, PROMPT)
    with torch.no_grad():
        together = losses(model, collate(images(1), [[ALONE, TALK]]))
        alone = [losses(model, collate(images(1), [[ALONE]]))]
        for number, turn in enumerate((FIRST, SECOND)):
            last = Example("0/1", "0", turn.question, (turn.answer,), history=TALK.history[:number])
            alone.append(losses(model, collate(images(1), [[last]], history_trains=False)))
        alone.append(losses(model, collate(images(1), [[TALK]], history_trains=False)))
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_a_fusion_that_reads_text_trains_on_a_row_for_each_turn():
    model = tiny_model("bidirectional").eval()
    batch = collator(model, PROMPT)(images(1), [[TALK, ALONE]])
    assert batch.image_set is not None
    assert batch.image_set.tolist() == [0, 0, 0, 0]
    tokenizer = model.language_model.tokenizer
    for row, answer in enumerate(("yes", "a circle", "blue", ALONE.answer)):
        assert [after for _, after in labelled(batch, row)] == [*tokenizer.encode(answer), tokenizer.end]
    earlier = tokenizer.encode("yes")[0]
    assert bool(batch.prompt[1][batch.ids[1] == earlier].all())


@pytest.mark.parametrize("name", FUSIONS)
def test_the_last_question_is_asked_behind_the_given_turns(name):
    model = tiny_model(name).eval()
    collate = collator(model, PROMPT)
    vision = model.see(images(2))
    asked = [[TALK, ALONE], QUESTIONS[1]]
    answered = collate(images(2), asked, history_trains=False)
    judged = generate_and_judge(model, vision, answered, 4)
    assert judged.answers == generate(model, vision, collate(images(2), asked, answered=False), 4)
    assert len(judged.losses) == int((answered.labels >= 0).sum())
    first = [after for _, after in labelled(answered)][:2]
    tokenizer = model.language_model.tokenizer
    assert first == [*tokenizer.encode("blue"), tokenizer.end]


def test_the_image_stands_in_the_first_turn_alone_where_it_comes_behind_the_question():
    model = tiny_model("concat_projection")
    batch = collator(model, "{question}<image>\n")(images(1), [[TALK]])
    assert int((batch.ids == model.language_model.tokenizer.image).sum()) == 1
