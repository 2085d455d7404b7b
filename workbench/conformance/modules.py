"""Rules for every part of a model: it trains, copies, saves, and depends on the picture."""

from __future__ import annotations

import copy
import pickle

import torch

from workbench.conformance.findings import Subject, expect
from workbench.conformance.reference import batch_for, compose, gap, train_briefly

EXACT, CLOSE = 1e-6, 1e-3


def it_can_be_built_with_these_options(subject: Subject) -> None:
    """Built and composed; what it raises is the finding."""
    compose(subject)


def it_can_be_planned_without_memory(subject: Subject) -> None:
    """`workbench plan` counts parameters on the meta device, where tensors have shapes and no values."""
    with torch.device("meta"):
        model = compose(subject)
    values = [name for name, each in getattr(model, subject.entry.kind).named_parameters() if not each.is_meta]
    expect(
        not values, f"its constructor puts {_some(values)} on a device of its own; leave the device to the workbench"
    )


def gradients_reach_every_parameter(subject: Subject) -> None:
    """A parameter that no gradient reaches never trains, but is counted."""
    unreached = [name for name in train_briefly(compose(subject)) if name.startswith(f"{subject.entry.kind}.")]
    expect(
        not unreached,
        f"no gradient reaches {_some(unreached)}, even after some steps: the forward pass does not use them, or"
        " cuts them off (detach, no_grad, .data). Use them, or remove them",
    )


def another_picture_changes_the_loss(subject: Subject) -> None:
    """Otherwise the model is blind."""
    model = compose(subject)
    train_briefly(model)
    batch = batch_for(model)
    vision, other = model.see(batch.images), model.see(batch.images.flip(0))
    changed = gap(model.token_losses(vision, batch), model.token_losses(other, batch))
    expect(
        changed > EXACT,
        "with another picture the loss stays the same, even after some steps of training: what the picture gives gets"
        " lost on its way to the decoder",
    )


def it_gives_the_same_twice(subject: Subject) -> None:
    """In eval mode, with nothing kept from the pass before."""
    model = compose(subject).eval()
    batch = batch_for(model)
    first = model.logits(batch)
    expect(
        gap(first, model.logits(batch)) == 0,
        "the same input gives different outputs in eval mode: use nn.Dropout or self.training for what is random, and"
        " keep nothing from one forward pass for the next",
    )


def a_copy_and_a_pickle_use_their_own_weights(subject: Subject) -> None:
    """Deep copies and pickles compute the same, and changing them leaves the original alone."""
    model = compose(subject)
    train_briefly(model)
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
    model = compose(subject)
    train_briefly(model)
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
    expect(not gradients, f"under bf16 autocast the gradients of {_some(gradients)} are no finite numbers")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


COMMON = (
    it_can_be_planned_without_memory,
    gradients_reach_every_parameter,
    another_picture_changes_the_loss,
    it_gives_the_same_twice,
    a_copy_and_a_pickle_use_their_own_weights,
    saved_weights_compute_the_same_in_a_new_model,
    it_trains_in_bf16,
)
