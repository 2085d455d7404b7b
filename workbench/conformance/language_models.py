"""Rules for language models: causal by the mask, reachable by fusions, the same from the cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from workbench.checkpoints.tokenizer import Corpus
from workbench.conformance.cached_decoding import answers_from_the_cache_equal_the_full_pass
from workbench.conformance.determinism import Call, CallPlan, expect_inputs_stay, expect_the_same_each_time
from workbench.conformance.leakage import (
    no_answer_token_is_read_ahead,
    questions_are_answered_in_a_row_as_if_each_stood_alone,
)
from workbench.conformance.model_parts import (
    CLOSE,
    EXACT,
    another_image_changes_the_loss,
    basics,
    common,
    gradients_reach_every_parameter,
    rows_do_not_mix,
)
from workbench.conformance.reference_model import gap, opened
from workbench.conformance.reference_questions import QUESTIONS, corpus
from workbench.conformance.rules import Rule, Subject, after, expect
from workbench.contracts.language_model import LanguageModel
from workbench.layers.tensors import pick
from workbench.model.vision_language_model import visible

# Two rows, each with a shared beginning and two questions.
SEGMENTS = torch.tensor([[0, 0, 1, 1, 1, 2, 2]]), torch.tensor([[0, 0, 0, 1, 2, 2, 2]])
POSITIONS = torch.tensor([[0, 1, 2, 3, 4, 2, 3]]), torch.tensor([[0, 1, 2, 3, 3, 4, 5]])
LONG = 48  # tokens, more than a small window shows


def its_tokenizer_writes_what_it_reads(subject: Subject) -> None:
    """And knows `<image>` as one token."""
    tokenizer = subject.build(corpus()).tokenizer
    for text in ("is there a red circle?", "Ünïcode 日本 🙂", QUESTIONS[0][0].answers[0]):
        written = tokenizer.decode(tokenizer.encode(text))
        expect(written == text, f"the tokenizer makes '{written}' of '{text}'")
    ids = tokenizer.encode("<image>")
    expect(ids == [tokenizer.image], f"'<image>' becomes {ids}, not the one token {tokenizer.image}")


def outputs_have_the_declared_shape(subject: Subject) -> None:
    """embed [R,T,D], forward [R,S,D], head [...,V]."""
    model = subject.build(corpus()).eval()
    embeds, positions, mask, _ = _inputs(model)
    rows, length, width = *positions.shape, model.shape.width
    expect(tuple(embeds.shape) == (rows, length, width), f"embed gives {tuple(embeds.shape)}; shape.width is {width}")
    hidden = model(embeds, positions, mask)
    expect(hidden.shape == embeds.shape, f"forward gives {tuple(hidden.shape)} for embeds {tuple(embeds.shape)}")
    logits, size = model.head(hidden), model.tokenizer.size
    expect(logits.shape[-1] >= size, f"head gives {logits.shape[-1]} logits, but the tokenizer has {size} tokens")


def blocks_and_attentions_are_there_once(subject: Subject) -> None:
    """One of each for every level of depth, reachable by hooks, under one name."""
    model = subject.build(corpus())
    depth = model.shape.depth
    counts = len(model.blocks), len(model.attentions)
    expect(counts == (depth, depth), f"shape.depth is {depth}, but there are {counts} blocks and attentions")
    names: dict[nn.Module, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names.setdefault(module, []).append(name)
    for module in (*model.blocks, *model.attentions):
        found = names.get(module, [])
        expect(
            len(found) == 1,
            f"a block is registered as {found or 'no submodule'}: make `blocks` and `attentions` properties that read"
            " the decoder's own list. An assigned ModuleList registers its weights a second time",
        )


def blocks_pass_hidden_states_first(subject: Subject) -> None:
    """A fusion reads and replaces the first argument of a block, and adds to the first output of an attention."""
    model = subject.build(corpus()).eval()
    embeds, positions, mask, _ = _inputs(model)
    wrong: list[str] = []

    def look(module: nn.Module, arguments: tuple, options: dict, output: Any) -> None:
        first = arguments[0] if arguments else options.get("hidden_states")
        given = output[0] if isinstance(output, tuple) else output
        for name, value in (("first argument", first), ("output", given)):
            if not isinstance(value, Tensor) or value.shape != embeds.shape:
                wrong.append(f"{type(module).__name__}: its {name} is not hidden [R,S,D]")

    calls = [module.register_forward_hook(look, with_kwargs=True) for module in (*model.blocks, *model.attentions)]
    model(embeds, positions, mask)
    for call in calls:
        call.remove()
    expect(not wrong, "; ".join(dict.fromkeys(wrong)))


def it_gives_the_same_each_time(subject: Subject) -> None:
    """In eval mode, however often it is asked, and whatever it was asked before."""
    expect_the_same_each_time(CallPlan(lambda: opened(subject.build(corpus())).eval(), _calls))


def what_it_is_given_stays_as_it_was(subject: Subject) -> None:
    """Embeddings, positions and mask are used again: by the next block's fusion, for the loss, while answering."""
    model = subject.build(corpus())
    for mode in (True, False):
        expect_inputs_stay(_calls(model.train(mode), 0))


def a_token_sees_what_the_mask_shows_and_nothing_else(subject: Subject) -> None:
    """Each token in turn is changed; who may see it changes, who may not stays."""
    model = opened(subject.build(corpus())).eval()
    embeds, positions, mask, _ = _inputs(model)
    before = model(embeds, positions, mask)
    generator = torch.Generator().manual_seed(5)
    for key in range(embeds.shape[1]):
        changed = embeds.clone()
        changed[:, key] += torch.randn(embeds[:, key].shape, generator=generator)
        moved = (model(changed, positions, mask) - before).detach().abs().amax(-1)  # [R,S]
        sees = mask[:, 0, :, key]
        leak = float(moved.masked_fill(sees, 0).max())
        expect(
            leak < EXACT * 10,
            f"token {key} reaches tokens that the mask hides it from (their output moves by {leak:.2g}). Several"
            " questions share a row, and the mask alone keeps them apart: a recurrent or state-space decoder, or a"
            " convolution along the sequence, mixes them and cannot be used. Attention has to use the mask it is given",
        )
        expect(bool((moved[sees] > 0).all()), f"token {key} does not reach a token that the mask shows it to")


def a_token_stands_where_its_position_says(subject: Subject) -> None:
    """And not where it lies in the sequence: shuffled with their positions and their mask, tokens become the same."""
    model = opened(subject.build(corpus())).eval()
    length = LONG if model.context is None else min(LONG, model.context)
    generator = torch.Generator().manual_seed(6)
    ids = torch.randint(4, 250, (1, length), generator=generator)
    positions = torch.arange(length)[None]
    mask = torch.ones(1, 1, length, length, dtype=torch.bool).tril()
    order = torch.randperm(length, generator=generator)
    embeds = model.embed(ids)
    whole = model(embeds, positions, mask)[:, order]
    shuffled = model(embeds[:, order], positions[:, order], mask[:, :, order][..., order])
    worst = gap(shuffled, whole)
    expect(
        worst < EXACT * 1000,
        f"the same tokens in another order, each with its position and its mask, come out {worst:.2g} apart: questions"
        " of a row lie one behind the other and begin at the same position. Take places and distances from"
        " `positions`, never from an index in the sequence or its length",
    )


def the_cache_gives_what_one_pass_gives(subject: Subject) -> None:
    """The sequence in three pieces."""
    model = subject.build(corpus()).eval()
    embeds, positions, mask, segments = _inputs(model)
    whole = model(embeds, positions, mask)
    rows, length = positions.shape
    cache = model.new_cache(rows, length)
    pieces = []
    for start, end in ((0, 3), (3, 4), (4, length)):
        piece = visible(segments[:, start:end], segments[:, :end])
        pieces.append(model(embeds[:, start:end], positions[:, start:end], piece, cache))
    worst = gap(torch.cat(pieces, dim=1), whole)
    expect(
        worst < EXACT * 100,
        f"a sequence read piece by piece into the cache differs from one pass by {worst:.2g}: append every piece's keys"
        " and values, and take positions from `positions`",
    )


@torch.no_grad()
def its_logits_are_those_of_its_own_library(subject: Subject) -> None:
    """Where it runs another library's checkpoints: a text longer than a small window, read in one pass."""
    model = subject.build(corpus()).eval()
    length = LONG if model.context is None else min(LONG, model.context)
    ids = torch.randint(4, 250, (2, length), generator=torch.Generator().manual_seed(9))
    told = model.own_logits(ids)
    if told is None:
        return
    mask = torch.ones(2, 1, length, length, dtype=torch.bool).tril()
    logits = model.head(model(model.embed(ids), torch.arange(length).expand_as(ids), mask))
    worst = gap(logits[..., : told.shape[-1]], told) / float(told.std())
    expect(
        worst < CLOSE,
        f"its logits are {worst:.2g} off those of its own library, where 1 is how far these lie apart. A checkpoint of"
        " this family would not be itself here: take one of another. In a plugin of your own, look at windows and"
        " chunks of attention, at positions, and at what the head does before or behind its last matrix",
    )


def hidden_at_gives_what_forward_gives_there(subject: Subject) -> None:
    """At some places of each row, in order."""
    model = subject.build(corpus()).eval()
    embeds, positions, mask, _ = _inputs(model)
    places = torch.tensor([[1, 4, 6], [0, 3, 4]])
    whole = model(embeds, positions, mask)
    worst = gap(model.hidden_at(embeds, positions, mask, places), pick(whole, places))
    expect(worst < EXACT * 100, f"hidden_at differs by {worst:.2g} from what forward gives at the same places")


def it_can_be_built_again_from_its_saved_tokenizer(subject: Subject) -> None:
    """A trained model is built again without the training text."""
    model = subject.build(corpus())
    with TemporaryDirectory() as folder:
        file = Path(folder) / "tokenizer.json"
        file.write_text(model.tokenizer.json(), encoding="utf-8")
        again = subject.build(Corpus(_no_texts, file))
    text = QUESTIONS[0][1].question
    expect(
        again.tokenizer.encode(text) == model.tokenizer.encode(text),
        "built from corpus.tokenizer_file it has another tokenizer: use tokenizer_for(corpus, size), or read that file",
    )
    again.load_state_dict(model.state_dict())


def _no_texts() -> list[str]:
    raise RuntimeError("corpus.texts() is called although corpus.tokenizer_file is given")


def _inputs(model: LanguageModel) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Two rows with a shared beginning and two segments: embeds, positions, mask, segments."""
    segments, positions = torch.cat(SEGMENTS), torch.cat(POSITIONS)
    ids = torch.randint(4, 250, segments.shape, generator=torch.Generator().manual_seed(4))
    return model.embed(ids), positions, visible(segments, segments), segments


def _calls(model: LanguageModel, number: int) -> Sequence[Call]:
    """The methods that compute, with one of two texts."""
    segments, positions = SEGMENTS[number], POSITIONS[number]
    ids = torch.randint(4, 250, segments.shape, generator=torch.Generator().manual_seed(number))
    mask = visible(segments, segments)
    with torch.no_grad():
        embeds = model.embed(ids.clone())
        hidden = model(embeds.clone(), positions.clone(), mask.clone())
    calls = [
        Call("embed", model.embed, (ids,)),
        Call("forward", model, (embeds, positions, mask)),
        Call("head", model.head, (hidden,)),
    ]
    if type(model).hidden_at is not LanguageModel.hidden_at:
        calls.append(Call("hidden_at", model.hidden_at, (embeds, positions, mask, torch.tensor([[1, 4]]))))
    return calls


BASICS = basics(
    outputs_have_the_declared_shape,
    blocks_and_attentions_are_there_once,
    blocks_pass_hidden_states_first,
    same=it_gives_the_same_each_time,
    stay=what_it_is_given_stays_as_it_was,
)
APART = (*BASICS, *after(BASICS, rows_do_not_mix))
MASKED = (*APART, *after(APART, a_token_sees_what_the_mask_shows_and_nothing_else))
PLACED = (*MASKED, *after(MASKED, a_token_stands_where_its_position_says))
THERE = (*PLACED, *after(BASICS, hidden_at_gives_what_forward_gives_there))
ALONE = (*THERE, *after(THERE, questions_are_answered_in_a_row_as_if_each_stood_alone))
CACHED = (*ALONE, *after(ALONE, the_cache_gives_what_one_pass_gives))
RULES: tuple[Rule, ...] = (
    BASICS[0],
    *after(BASICS[:1], its_tokenizer_writes_what_it_reads),
    *BASICS[1:],
    *CACHED[len(BASICS) :],
    *after(BASICS, its_logits_are_those_of_its_own_library),
    *after(MASKED, no_answer_token_is_read_ahead),
    *after(CACHED, answers_from_the_cache_equal_the_full_pass),
    *after(BASICS, it_can_be_built_again_from_its_saved_tokenizer),
    *after(BASICS, gradients_reach_every_parameter, another_image_changes_the_loss),
    *common(BASICS),
)
