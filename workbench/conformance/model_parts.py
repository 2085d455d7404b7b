"""Rules for every part of a model: it trains, copies, saves, and depends on the image."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from workbench.conformance.random_numbers import seed_all
from workbench.conformance.reference_model import batch_for, compose, gap, opened, other_ids, train_briefly, trained
from workbench.conformance.rules import Check, Rule, Subject, after, expect, in_turn
from workbench.data.collator import Batch
from workbench.errors import first_of
from workbench.model.vision_language_model import VisionLanguageModel

EXACT, CLOSE = 1e-6, 1e-3
APART = (
    "Each row has images and questions of its own: normalise over a token's own values (LayerNorm), and let nothing"
    " look along the first dimension (BatchNorm does, and means over it)"
)


def it_can_be_built_with_these_options(subject: Subject) -> None:
    """Built and composed; what it raises breaks the rule."""
    compose(subject)


def its_numbers_are_finite(subject: Subject) -> None:
    """The logits of a new model, in eval mode."""
    model = compose(subject).eval()
    logits = model.logits(batch_for(model))
    expect(
        bool(logits.isfinite().all()),
        f"{float((~logits.isfinite()).float().mean()):.0%} of the logits of a new model are NaN or infinite: look for a"
        " division by zero, the logarithm or root of a number that may be negative, and a softmax over nothing",
    )


def it_trains(subject: Subject) -> None:
    """A few steps run through, and the loss stays a number."""
    model, _ = subject.once(trained)
    loss = model.loss(batch_for(model))
    expect(bool(loss.isfinite()), f"after a few steps of training the loss is {loss.item()}")


def rows_do_not_mix(subject: Subject) -> None:
    """Whatever the other rows of a batch are, a row gets the same."""
    moved = _moved_by_others(lambda: opened(compose(subject)).eval())
    expect(moved < EXACT * 10, f"other rows of the batch move a row's logits by {moved:.2g}. {APART}")


def rows_do_not_mix_in_training(subject: Subject) -> None:
    """Nor while it trains: a batch in pieces (`accumulate`) has to give the gradient of the whole, and a frozen part
    has to stay as it is, which running statistics do not."""
    moved = _moved_by_others(lambda: opened(compose(subject)).train())
    expect(
        moved < EXACT * 10,
        f"while it trains, other rows of the batch move a row's logits by {moved:.2g}. {APART}. A BatchNorm of"
        " pretrained weights keeps the statistics it has when the part's train() leaves it in eval mode",
    )


def it_can_be_planned_without_memory(subject: Subject) -> None:
    """`workbench plan` counts parameters on the meta device, where tensors have shapes and no values."""
    with torch.device("meta"):
        model = compose(subject)
    values = [name for name, each in getattr(model, subject.plugin.kind).named_parameters() if not each.is_meta]
    expect(
        not values,
        f"its constructor puts {first_of(values, 5)} on a device of its own; leave the device to the workbench",
    )


def gradients_reach_every_parameter(subject: Subject) -> None:
    """A parameter that no gradient reaches never trains, but is counted."""
    unreached = [name for name in subject.once(trained)[1] if name.startswith(f"{subject.plugin.kind}.")]
    expect(
        not unreached,
        f"no gradient reaches {first_of(unreached, 5)}, even after some steps: the forward pass does not use them,"
        " or cuts them off (detach, no_grad, .data). Use them, or remove them",
    )


def another_image_changes_the_loss(subject: Subject) -> None:
    """Otherwise the model is blind."""
    model, _ = subject.once(trained)
    batch = batch_for(model)
    vision, other = model.see(batch.images), model.see(batch.images.flip(0))
    changed = gap(model.token_losses(vision, batch), model.token_losses(other, batch))
    expect(
        changed > EXACT,
        "with another image the loss stays the same, even after some steps of training: what the image gives gets"
        " lost on its way to the decoder",
    )


def training_again_gives_the_same_weights(subject: Subject) -> None:
    """From the same seed, to the last bit: its first weights, and whatever is random while it trains."""
    again = compose(subject)
    first = subject.once(trained)[0].state_dict()
    train_briefly(again)
    differing = [name for name, each in again.state_dict().items() if not torch.equal(each, first[name])]
    expect(
        not differing,
        f"trained twice from the same seed, {first_of(differing, 5)} end otherwise. Draw first weights from torch's"
        " random numbers alone, and what is random in training from torch's, Python's or numpy's own, never from the"
        " time or a generator of its own",
    )


def a_copy_and_a_pickle_use_their_own_weights(subject: Subject) -> None:
    """Deep copies and pickles compute the same, and changing them leaves the original alone."""
    model = opened(compose(subject)).eval()
    batch = batch_for(model)
    before = model.logits(batch)
    for way, twin in (("deep copy", copy.deepcopy(model)), ("pickle", pickle.loads(pickle.dumps(model)))):
        expect(gap(twin.logits(batch), before) < EXACT, f"a {way} of the model computes something else")
        with torch.no_grad():
            for parameter in twin.parameters():
                parameter.mul_(1.5)
        expect(
            gap(twin.logits(batch), before) > EXACT and gap(model.logits(batch), before) == 0,
            f"a {way} still uses weights of the original: keep modules as attributes, and no lambda or inner function"
            " that holds on to one",
        )


def saved_weights_compute_the_same_in_a_new_model(subject: Subject) -> None:
    """What a model learned has to be in its state_dict."""
    model, _ = subject.once(trained)
    new = compose(subject).eval()
    new.load_state_dict(model.state_dict())
    batch = batch_for(model)
    expect(
        gap(model.logits(batch), new.logits(batch)) < EXACT,
        "a new model with the saved weights computes something else: what it learned or drew at random is not in its"
        " state_dict. Make it an nn.Parameter, an nn.Module or a buffer",
    )


def it_trains_in_bf16(subject: Subject) -> None:
    """Under autocast, as `precision: bf16` asks for."""
    model = compose(subject)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.loss(batch_for(model))
    loss.backward()
    gradients = [
        name for name, each in model.named_parameters() if each.grad is not None and not each.grad.isfinite().all()
    ]
    expect(bool(loss.isfinite()), f"under bf16 autocast the loss is {loss.item()}")
    expect(not gradients, f"under bf16 autocast the gradients of {first_of(gradients, 5)} are no finite numbers")


def basics(*shapes: Check, same: Check, stay: Check) -> tuple[Rule, ...]:
    """What every other rule of a part rests on: it is built, gives what it should in these `shapes`, the `same` each
    time, lets what it is given `stay`, and trains."""
    return in_turn(it_can_be_built_with_these_options, *shapes, its_numbers_are_finite, same, stay, it_trains)


def common(kept: Sequence[Rule]) -> tuple[Rule, ...]:
    """The rules of every part that rest on its basics, `kept`."""
    return (
        *after((*kept, Rule(rows_do_not_mix)), rows_do_not_mix_in_training),
        *after(
            kept,
            training_again_gives_the_same_weights,
            a_copy_and_a_pickle_use_their_own_weights,
            saved_weights_compute_the_same_in_a_new_model,
            it_trains_in_bf16,
        ),
        *after(kept[:1], it_can_be_planned_without_memory),
    )


def expect_rows_apart(make: Callable[[], VisionLanguageModel]) -> None:
    """For what changes a whole model."""
    moved = _moved_by_others(make)
    expect(moved < EXACT * 10, f"other rows of the batch move a row's logits by {moved:.2g}. {APART}")


def _moved_by_others(make: Callable[[], VisionLanguageModel]) -> float:
    """How much the logits of the first image's rows move when all other images and questions become others."""
    model = make()
    batch = batch_for(model)
    own = torch.arange(len(batch.ids)) == 0 if batch.image_set is None else batch.image_set == 0
    text = (batch.segments > 0) & (batch.ids != model.language_model.tokenizer.image) & ~own[:, None]
    ids = torch.where(text, other_ids(batch.ids, model), batch.ids)
    images = torch.cat([batch.images[:1], 3 * batch.images[1:].flip(-1) + 0.5])
    before = _seeded(model, batch)[own]
    return gap(_seeded(make(), replace(batch, ids=ids, images=images))[own], before)


def _seeded(model: VisionLanguageModel, batch: Batch) -> Tensor:
    """The logits, with the same dropout each time."""
    seed_all(8)
    with torch.no_grad():
        return model.logits(batch)
