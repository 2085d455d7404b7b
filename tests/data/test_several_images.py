"""Several images a row: which tokens stand where, who sees what, and that rows with fewer are as if alone."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.model.test_vision_language_model import open_gates
from tests.tiny import DECODERS, FUSIONS, QUESTIONS, builtin_registry, collator, images, tiny_model
from workbench.contracts.example import Example, Turn
from workbench.data.collator import Collator
from workbench.errors import UserError
from workbench.model.generation import generate

PAIR = [replace(each, image="a", more=("b",)) for each in QUESTIONS[0]]


ONE = [replace(each, image="c") for each in QUESTIONS[1]]


THREE = [replace(QUESTIONS[0][1], id="2/0", image="d", more=("e", "f"))]


MIXED = [PAIR, ONE, THREE]


COUNTS = [2, 1, 3]


PROMPTS = ["<image>{question}\n", "{question}\n", "look: <image> {question}\n", "{question}<image>\n"]


def open_model(fusion: str, decoder: str = "gpt") -> Any:
    model = tiny_model(fusion, decoder_name=decoder)
    open_gates(model)
    return model.eval()


@pytest.fixture(params=[(fusion, decoder) for decoder in DECODERS for fusion in FUSIONS], ids="-".join)
def model(request):
    return open_model(*request.param)


def by_hand(model, batch, order: list[int]) -> torch.Tensor:
    """The oracle for concatenation, one row: image tokens put between the embeddings one by one, read by the plain
    causal decoder -> hidden states of the text tokens but `<image>`."""
    tokens = model.connector(model.encoder(batch.images))
    sequence, text, left = [], [], list(order)
    for id_ in batch.ids[0]:
        if id_ == model.language_model.tokenizer.image:
            sequence += list(tokens[left.pop(0)])
        else:
            text.append(len(sequence))
            sequence.append(model.language_model.embed(id_[None, None])[0, 0])
    length = len(sequence)
    mask = torch.ones(1, 1, length, length, dtype=torch.bool).tril()
    assert not left
    return model.language_model(torch.stack(sequence)[None], torch.arange(length)[None], mask)[0, text]


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(
    "prompt",
    [
        "<image>{question}\n",
        "first <image> second <image> {question}\n",
        "<image> and {question} <image>\n",
        "{question}<image>",
    ],
)
@torch.no_grad()
def test_under_concatenation_a_row_is_the_sequence_composed_by_hand(prompt, decoder):
    model = open_model("concat_projection", decoder)
    batch = collator(model, prompt)(images(2), [PAIR[:1]])
    found = model.hidden(model.see(batch.images, batch.views), batch)[0]
    text = batch.ids[0] != model.language_model.tokenizer.image
    torch.testing.assert_close(found[text], by_hand(model, batch, [0, 1]), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_places_in_the_questions_themselves_take_the_images_instead_of_the_prompt_s():
    model = open_model("concat_projection")
    asked = Example("0", "a", "is <image> like <image> now?", ("no",), more=("b",), interleaved=True)
    batch = collator(model, "look: <image>{question}\n")(images(2), [[asked]])
    assert int((batch.ids == model.language_model.tokenizer.image).sum()) == 2
    text = batch.ids[0] != model.language_model.tokenizer.image
    found = model.hidden(model.see(batch.images, batch.views), batch)[0]
    torch.testing.assert_close(found[text], by_hand(model, batch, [0, 1]), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_conversation_shows_a_later_image_where_it_is_spoken_of():
    model = open_model("concat_projection")
    history = (Turn("what is <image> ?", "a bus"),)
    talk = Example("0", "a", "and <image> ?", ("a car",), history=history, more=("b",), interleaved=True)
    batch = collator(model, "<image>{question}\n")(images(2), [[talk]])
    text = batch.ids[0] != model.language_model.tokenizer.image
    found = model.hidden(model.see(batch.images, batch.views), batch)[0]
    torch.testing.assert_close(found[text], by_hand(model, batch, [0, 1]), rtol=1e-4, atol=1e-5)
    # The first answer was given before the second image came.
    other = model.hidden(model.see(batch.images * torch.tensor([1, -1])[:, None, None, None], batch.views), batch)[0]
    first = int((batch.ids[0] == model.language_model.tokenizer.image).nonzero()[1])
    assert torch.equal(other[:first], found[:first])
    assert (other[first:] - found[first:]).abs().max() > 1e-4


@torch.no_grad()
def test_a_row_may_mix_questions_with_places_of_their_own_and_questions_without(model):
    own = replace(PAIR[0], question="is <image> like <image> ?", interleaved=True)
    collate = collator(model, "see <image>{question}\n")
    together = collate(images(2), [[own, PAIR[1]]])
    losses = model.token_losses(model.see(together.images, together.views), together)
    alone = []
    for each in (own, PAIR[1]):
        batch = collate(images(2), [[each]])
        alone.append(model.token_losses(model.see(batch.images, batch.views), batch))
    torch.testing.assert_close(losses, torch.cat(alone), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_text_looks_at_all_images_of_its_row_and_at_no_filling():
    """Cross-attention written out by hand over the tokens that are there."""
    model = open_model("cross_attention")
    batch = collator(model, "<image>{question}\n")(images(6), MIXED)
    tokens = model.connector(model.encoder(batch.images)).split(COUNTS)
    vision = model.see(batch.images, batch.views)
    hidden = torch.randn(3, 5, 16)
    fused, _ = model.fusion.fuse_block(0, hidden, vision, None)
    cross, norm = model.fusion.attentions[0], model.fusion.norms[0]
    for row, each in enumerate(tokens):
        source = model.fusion.norm(each.flatten(0, 1))
        keys, values = cross.key_value(source).chunk(2, dim=-1)
        queries = cross.query(norm(hidden[row]))
        heads = []
        for part in range(cross.heads):
            at = slice(part * cross.head_width, (part + 1) * cross.head_width)
            scores = queries[:, at] @ keys[:, at].T / math.sqrt(cross.head_width)
            heads.append(scores.softmax(-1) @ values[:, at])
        wanted = hidden[row] + cross.output(torch.cat(heads, dim=-1))
        torch.testing.assert_close(fused[row], wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("prompt", PROMPTS)
@torch.no_grad()
def test_rows_with_fewer_images_are_read_as_if_each_stood_alone(model, prompt):
    collate = collator(model, prompt)
    together = collate(images(6), MIXED)
    losses = model.token_losses(model.see(together.images, together.views), together)
    alone = []
    for pixels, questions in zip(images(6).split(COUNTS), MIXED, strict=True):
        for question in questions:
            batch = collate(pixels, [[question]])
            alone.append(model.token_losses(model.see(pixels, batch.views), batch))
    torch.testing.assert_close(losses, torch.cat(alone), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_order_of_images_is_seen_in_the_sequence_and_by_no_attention_beside_it():
    for fusion in FUSIONS:
        model = open_model(fusion)
        batch = collator(model, "<image>{question}\n")(images(2), [PAIR])
        moved = (
            model.logits(replace(batch, images=batch.images.flip(0))) - model.logits(batch)
        ).abs().max()  # fmt: skip
        assert bool(moved > 1e-4) == (fusion == "concat_projection"), fusion


@pytest.mark.parametrize("fusion", [each for each in FUSIONS if each != "concat_projection"])
def test_beside_the_sequence_learned_places_tell_which_image_is_the_first(fusion):
    plain = open_model(fusion)
    registry, shape = builtin_registry(), plain.connector.shape
    placed = tiny_model(fusion, registry.create("fusion", fusion, shape, plain.language_model.shape, views=2)).eval()
    missing, more = placed.load_state_dict(plain.state_dict(), strict=False)
    assert (missing, more) == (["fusion.places.places"], [])
    batch = collator(placed, "<image>{question}\n")(images(6), MIXED)
    assert torch.equal(placed.logits(batch), plain.logits(batch)), "untrained, they change nothing"
    placed.loss(batch).sum().backward()
    places = placed.fusion.get_parameter("places.places")
    assert places.grad is not None
    assert (places.grad.abs().amax(1) > 0).all()
    with torch.no_grad():
        places += torch.randn(places.shape, generator=torch.Generator().manual_seed(2))
        pair = collator(placed, "<image>{question}\n")(images(2), [PAIR])
        assert (placed.logits(replace(pair, images=pair.images.flip(0))) - placed.logits(pair)).abs().max() > 1e-3
        three = collator(placed, "<image>{question}\n")(images(3), [THREE])
        behind = replace(three, images=three.images[[0, 2, 1]])
        torch.testing.assert_close(placed.logits(behind), placed.logits(three), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_cached_answers_about_different_numbers_of_images_are_those_of_full_passes(model):
    for parameter in model.language_model.parameters():
        parameter.mul_(2.0)  # so that different prompts get different answers
    found = set()
    for prompt in PROMPTS:
        prompts = collator(model, prompt)(images(6), MIXED, answered=False)
        got = [answer for row in generate(model, model.see(images(6), prompts.views), prompts, 4) for answer in row]
        wanted = [
            answer_without_cache(model, pixels, question, 4, prompt)
            for pixels, questions in zip(images(6).split(COUNTS), MIXED, strict=True)
            for question in questions
        ]
        assert got == wanted
        found |= {tuple(answer) for answer in wanted}
    assert len(found) > 1


def answer_without_cache(model, pixels, example: Example, count: int, prompt: str) -> list[int]:
    """The oracle: append the most likely token and run everything again."""
    tokenizer = model.language_model.tokenizer
    batch = collator(model, prompt)(pixels, [[example]], answered=False)
    found: list[int] = []
    for _ in range(count):
        more = torch.tensor([found], dtype=torch.long)
        longer = replace(
            batch,
            ids=torch.cat([batch.ids, more], dim=1),
            positions=torch.arange(batch.ids.shape[1] + len(found))[None],
            segments=torch.cat([batch.segments, torch.ones_like(more)], dim=1),
            prompt=torch.cat([batch.prompt, torch.zeros_like(more, dtype=torch.bool)], dim=1),
        )
        found.append(int(model.logits(longer)[0, -1].argmax()))
        if found[-1] == tokenizer.end:
            return found[:-1]
    return found


@torch.no_grad()
def test_the_last_answer_token_changes_no_earlier_logit_about_several_images(model):
    batch = collator(model, "<image>{question}\n")(images(2), [PAIR[:1]])
    logits = model.logits(batch)
    batch.ids[0, -1] = (batch.ids[0, -1] + 7) % 256 + 4
    changed = model.logits(batch)
    torch.testing.assert_close(changed[:, :-1], logits[:, :-1], rtol=0, atol=0)
    assert (changed[:, -1] - logits[:, -1]).abs().max() > 1e-4


def test_gradients_reach_every_image_and_none_the_filling(model):
    pixels = images(6).requires_grad_()
    model.loss(collator(model, "<image>{question}\n")(pixels, MIXED)).backward()
    assert pixels.grad is not None
    assert bool(pixels.grad.isfinite().all())
    assert bool((pixels.grad.flatten(1).abs().sum(1) > 0).all())


def test_images_that_do_not_fit_the_places_are_refused_by_name():
    tokenizer = tiny_model("gated").language_model.tokenizer
    collate = Collator(tokenizer, "<image><image>{question}")
    for example, message in (
        (THREE[0], r"example '2/0': the prompt has 2 places <image>, and it has 3 image\(s\): write as many, or one"),
        (ONE[0], r"example '1/0': the prompt has 2 places <image>, and it has 1 image\(s\)"),
        (
            replace(PAIR[0], question="is <image> red?", interleaved=True),
            "example '0/0': its text has 1 places <image>, and it has 2",
        ),
        (
            replace(ONE[0], question="<image>, <image>?", interleaved=True),
            "example '1/0': its text has 2 places <image>, and it has 1",
        ),
    ):
        with pytest.raises(UserError, match=message):
            collate(torch.empty(0), [[example]])
    assert collate.misfit(PAIR[0]) is None
    assert Collator(tokenizer, "{question}").misfit(THREE[0]) is None
