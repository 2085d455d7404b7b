"""The composed model: what fusion may change and what it may not."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.tiny import DECODERS, FUSIONS, QUESTIONS, collator, images, tiny_model
from workbench.contracts.fusion import Fusion, Inputs
from workbench.data.collator import Batch
from workbench.model.vision_language_model import VisionLanguageModel, visible


def open_gates(model: VisionLanguageModel) -> None:
    """Give every parameter of the fusion a value, as training would: new parts start closed."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.fusion.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))


@pytest.fixture(params=[(fusion, decoder) for decoder in DECODERS for fusion in FUSIONS], ids="-".join)
def model(request):
    fusion, decoder = request.param
    model = tiny_model(fusion, decoder_name=decoder)
    open_gates(model)
    return model.eval()


def batch_for(model, questions=QUESTIONS, prompt="<image>{question}\n", answered=True) -> Batch:
    collate = collator(model, prompt)
    return collate(images(len(questions)), questions, answered)


@pytest.mark.parametrize(
    "prompt", ["<image>{question}\n", "{question}\n", "look: <image> {question}\n", "{question}<image>\n"]
)
def test_packed_questions_are_answered_as_if_each_stood_alone(model, prompt):
    together = batch_for(model, prompt=prompt)
    losses = model.token_losses(model.see(together.images), together)
    alone = []
    for image, questions in enumerate(QUESTIONS):
        for question in questions:
            batch = collator(model, prompt)(images(len(QUESTIONS))[image : image + 1], [[question]])
            alone.append(model.token_losses(model.see(batch.images), batch))
    torch.testing.assert_close(losses, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_the_losses_of_the_answers_are_those_of_the_logits_of_every_token(model):
    batch = batch_for(model)
    labelled = batch.labels >= 0
    assert len(set(labelled.sum(1).tolist())) > 1  # rows with a different number of answer tokens
    expected = functional.cross_entropy(model.logits(batch)[labelled], batch.labels[labelled], reduction="none")
    losses = model.token_losses(model.see(batch.images), batch)
    torch.testing.assert_close(losses, expected, rtol=1e-5, atol=1e-6)


def test_gradients_of_the_losses_are_those_through_the_logits_of_every_token(model):
    batch = batch_for(model)
    labelled = batch.labels >= 0
    model.loss(batch).backward()
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    functional.cross_entropy(model.logits(batch)[labelled], batch.labels[labelled]).backward()
    for name, parameter in model.named_parameters():
        assert found[name] is not None, name
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-3, atol=1e-6)


def test_a_fusion_inside_the_last_block_is_added_where_its_answers_are():
    class AddsWhatIsThere(Fusion):
        def fuse_attention(self, index, hidden, vision):
            return 0.3 * hidden.roll(1, -1)

    model = tiny_model("", AddsWhatIsThere()).eval()
    batch = batch_for(model, prompt="{question}\n")
    labelled = batch.labels >= 0
    expected = functional.cross_entropy(model.logits(batch)[labelled], batch.labels[labelled], reduction="none")
    losses = model.token_losses(model.see(batch.images), batch)
    torch.testing.assert_close(losses, expected, rtol=1e-5, atol=1e-6)


def test_the_last_answer_token_changes_no_earlier_logit(model):
    batch = batch_for(model, [[QUESTIONS[0][0]]])
    logits = model.logits(batch)
    batch.ids[0, -1] = (batch.ids[0, -1] + 7) % 256 + 4
    changed = model.logits(batch)
    torch.testing.assert_close(changed[:, :-1], logits[:, :-1], rtol=0, atol=0)
    assert (changed[:, -1] - logits[:, -1]).abs().max() > 1e-4


def test_another_image_changes_the_loss(model):
    batch = batch_for(model)
    vision = model.see(batch.images)
    other = model.see(batch.images.flip(0))
    assert (model.token_losses(vision, batch) - model.token_losses(other, batch)).abs().max() > 1e-5


@pytest.mark.parametrize("name", [name for name in FUSIONS if name != "concat_projection"])
def test_a_new_scheme_b_fusion_leaves_the_decoder_as_it_was(name):
    model = tiny_model(name).eval()
    batch = batch_for(model)
    plain = model.language_model
    mask = visible(batch.segments, batch.segments)
    alone = plain.head(plain(plain.embed(batch.ids), batch.positions, mask))
    torch.testing.assert_close(model.logits(batch), alone, rtol=0, atol=0)


def test_answers_from_the_cache_equal_the_full_forward_pass(model):
    batch = batch_for(model)
    hidden = model.hidden(model.see(batch.images), batch)
    prompts = batch_for(model, answered=False)
    vision = model.see(prompts.images)
    read, conversation = model.read(vision, prompts, room=8)
    torch.testing.assert_close(
        read[prompts.prompt & (prompts.segments >= 0)],
        hidden[batch.prompt & (batch.segments >= 0)],
        rtol=1e-4,
        atol=1e-5,
    )
    for number in range(1, int(batch.segments.max()) + 1):
        answer = (batch.segments == number) & ~batch.prompt  # [R,T]
        rows = answer.any(1)
        if not rows.all():
            continue
        first = answer.float().argmax(1, keepdim=True)  # [R,1]
        got = model.answer(
            conversation,
            batch.ids.gather(1, first),
            conversation.positions.gather(1, first - _answer_tokens_before(batch, first) - 1) + 1,
            batch.segments.gather(1, first),
        )
        wanted = hidden.gather(1, first[..., None].expand(-1, -1, hidden.shape[-1]))
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


def _answer_tokens_before(batch: Batch, place: torch.Tensor) -> torch.Tensor:
    answers = (~batch.prompt & (batch.segments >= 0)).long().cumsum(1)
    return answers.gather(1, place) - 1


def test_a_copy_and_a_pickle_use_their_own_fusion(model):
    batch = batch_for(model)
    before = model.logits(batch)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        torch.testing.assert_close(twin.logits(batch), before, rtol=0, atol=0)
        with torch.no_grad():
            for parameter in twin.parameters():
                parameter.mul_(1.5)
        assert (twin.logits(batch) - before).abs().max() > 1e-4
        torch.testing.assert_close(model.logits(batch), before, rtol=0, atol=0)


def test_a_prompt_with_nothing_visible_gives_no_nan(model):
    batch = batch_for(model)
    hidden = Batch(
        batch.images, batch.ids, batch.positions, torch.full_like(batch.segments, -1), batch.labels,
        torch.zeros_like(batch.prompt), batch.image_set,
    )  # fmt: skip
    loss = model.loss(hidden)
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in model.parameters())


class Adding(Fusion):
    """Adds the mean of the image to every attention's output."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def prepare(self, vision, mask):
        self.calls += 1
        return vision.mean(1, keepdim=True)

    def fuse_attention(self, index, hidden, vision):
        return vision.expand_as(hidden)


def test_a_fusion_inside_attention_reaches_the_logits_and_prepares_once_an_image():
    model = tiny_model("concat_projection", fusion=Adding()).eval()
    batch = batch_for(model)
    vision = model.see(batch.images)
    before = model.language_model.head(model.hidden(vision, batch))
    _, conversation = model.read(vision, batch_for(model, answered=False), room=4)
    rows = len(batch.ids)
    for step in range(3):
        ids = torch.full((rows, 1), 10)
        model.answer(conversation, ids, torch.full((rows, 1), 20 + step), torch.ones_like(ids))
    assert model.fusion.calls == 1
    changed = model.language_model.head(model.hidden(model.see(batch.images + 1), batch))
    assert (changed - before).abs().max() > 1e-5


def test_visible_matches_a_loop_over_its_definition():
    segments = torch.tensor([[0, 0, 1, 1, 2, 2, -1]])
    mask = visible(segments, segments)[0, 0]
    for query in range(7):
        for key in range(7):
            mine, theirs = segments[0, query], segments[0, key]
            expected = query == key or (key < query and theirs >= 0 and theirs in (0, mine))
            assert bool(mask[query, key]) == bool(expected)


def test_image_tokens_stand_where_the_placeholder_stood():
    model = tiny_model("concat_projection")
    tokens = model.connector.shape.tokens
    batch = batch_for(model, prompt="look: <image> {question}\n")
    seen, mask = vision = model.see(batch.images)
    image = batch.ids == model.language_model.tokenizer.image
    places = torch.arange(batch.ids.shape[1]).expand_as(batch.ids)
    inputs = Inputs(model.language_model.embed(batch.ids), batch.positions, batch.segments, batch.prompt, image, places)
    fused = model.fusion.fuse_inputs(vision, inputs)
    at = int(image[0].float().argmax())
    torch.testing.assert_close(fused.embeds[:, at : at + tokens], seen)
    assert mask is None
    torch.testing.assert_close(fused.embeds[:, :at], inputs.embeds[:, :at])
    torch.testing.assert_close(fused.embeds[:, at + tokens :], inputs.embeds[:, at + 1 :])
    assert fused.positions[0, : at + tokens].tolist() == list(range(at + tokens))
    assert fused.image.sum(1).tolist() == [tokens] * len(batch.ids)


class Wrapped(nn.Module):
    """Somebody else's layer in the place of one of ours: it does the same, and is of another class."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def __getattr__(self, name: str):
        return super().__getattr__(name) if name in ("layer", "_modules") else getattr(self.layer, name)

    def forward(self, *arguments, **options):
        return self.layer(*arguments, **options)


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_block_of_another_class_keeps_its_place(decoder):
    model: Any = tiny_model("gated", decoder_name=decoder)
    decoder, before = model.language_model, list(model.language_model.attentions)
    layers = decoder.layers if hasattr(decoder, "layers") else decoder.model.layers
    layers[1] = Wrapped(layers[1])
    assert list(decoder.attentions) == before
    assert list(decoder.blocks) == list(layers)


@pytest.mark.parametrize("fusion", ["gated", "cross_attention"])
@torch.no_grad()
def test_a_layer_of_another_class_keeps_its_place_in_a_fusion(fusion):
    model: Any = tiny_model(fusion).eval()
    open_gates(model)
    batch = batch_for(model)
    expected = model.logits(batch)
    model.fusion.attentions[1] = Wrapped(model.fusion.attentions[1])
    assert torch.equal(model.logits(batch), expected)


@torch.no_grad()
def test_who_looks_on_is_called_in_the_place_of_the_fusion_in_every_block(model):
    called = []

    def watch(method):
        def call(*arguments):
            called.append((method.__name__, arguments[0]))
            return method(*arguments)

        return call

    batch = batch_for(model)
    vision = model.see(batch.images)
    inputs, seen = model.fuse(vision, batch)
    seen.watch = watch
    assert torch.equal(model.hidden_of(inputs, seen), model.hidden(vision, batch))
    own = [name for name in ("fuse_block", "fuse_attention") if name in vars(type(model.fusion))]
    assert called == [(name, index) for index in range(3) for name in own]
