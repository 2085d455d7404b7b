"""Rules for adapters: they start as nothing, train alone, and merge without a trace."""

from __future__ import annotations

import copy
import pickle

import torch
from torch import Tensor, nn

from workbench.conformance.changed_layers import calls_of_changed_layers, whole_model
from workbench.conformance.determinism import CallPlan, expect_inputs_stay, expect_the_same_each_time
from workbench.conformance.model_parts import CLOSE, EXACT, expect_rows_apart
from workbench.conformance.reference_model import batch_for, compose, gap, opened, train_briefly
from workbench.conformance.rules import Rule, Subject, after, expect, in_turn
from workbench.contracts.adapter import Adapter
from workbench.model.vision_language_model import VisionLanguageModel

WHOLE = 8  # times the whole model is asked the same, which takes longer than to ask a layer


def it_can_be_attached_with_these_options(subject: Subject) -> None:
    """To a model of reference parts; what it raises breaks the rule."""
    _attached(subject)


def it_starts_as_nothing(subject: Subject) -> None:
    """Attaching changes no output, so that every adapter starts from the same model."""
    model = compose(subject).eval()
    batch = batch_for(model)
    before = model.logits(batch)
    subject.build().attach(model)
    moved = gap(model.eval().logits(batch), before)
    expect(moved < EXACT, f"attaching moves the logits by {moved:.2g}: start it at zero, such as LoRA's B")


def an_adapted_model_gives_the_same_each_time(subject: Subject) -> None:
    """In eval mode, however often it is asked: the layers that the adapter changed, and the whole."""
    expect_the_same_each_time(CallPlan(lambda: opened(_attached(subject)[1]).eval(), calls_of_changed_layers))
    expect_the_same_each_time(CallPlan(lambda: opened(_attached(subject)[1]).eval(), whole_model), rounds=WHOLE)


def what_its_layers_are_given_stays_as_it_was(subject: Subject) -> None:
    """Other layers read the same hidden states."""
    model = opened(_attached(subject)[1])
    for mode in (True, False):
        expect_inputs_stay(calls_of_changed_layers(model.train(mode), 0))


def rows_do_not_mix(subject: Subject) -> None:
    """Whatever the other rows of a batch are, a row gets the same: in eval mode, and while it trains."""
    for mode in (False, True):
        expect_rows_apart(lambda mode=mode: opened(_attached(subject)[1]).train(mode))


def attaching_leaves_requires_grad_alone(subject: Subject) -> None:
    """The phase decides what else trains."""
    model = compose(subject)
    model.connector.requires_grad_(False)
    before = {name: each.requires_grad for name, each in model.named_parameters()}
    subject.build().attach(model)
    after = {name: each.requires_grad for name, each in model.named_parameters()}
    changed = [name for name in before if after.get(name, before[name]) != before[name]]
    expect(not changed, f"attach changes requires_grad of {', '.join(changed[:5])}; leave that to the phase")


def it_returns_parameters_of_the_model_that_all_train(subject: Subject) -> None:
    """Every returned parameter is in the model, once, and gets a gradient."""
    _, model, trained = _attached(subject)
    own = {id(each) for each in model.parameters()}
    expect(bool(trained), "attach returns no parameters: there is nothing to train")
    expect(len({id(each) for each in trained}) == len(trained), "attach returns a parameter twice")
    expect(all(id(each) in own for each in trained), "attach returns a parameter that is not part of the model")
    unreached = train_briefly(model, trained)
    expect(not unreached, f"no gradient reaches {', '.join(list(unreached)[:5])}, even after some steps")


def only_its_parameters_change(subject: Subject) -> None:
    """Trained by what attach returned, the rest of the model stays to the last bit."""
    _, model, trained = _attached(subject)
    others = {name: each for name, each in model.named_parameters() if not any(each is one for one in trained)}
    before = {name: each.detach().clone() for name, each in others.items()}
    logits = _logits(model)
    train_briefly(model, trained)
    changed = [name for name in others if not torch.equal(before[name], others[name])]
    expect(not changed, f"training the returned parameters changes {', '.join(changed[:5])} too")
    expect(gap(_logits(model), logits) > EXACT, "training the returned parameters changes no output")


def merging_keeps_the_outputs_and_restores_the_names(subject: Subject) -> None:
    """The merged model is a plain one: saved, quantized and loaded like any other."""
    plain = {name: each.shape for name, each in compose(subject).named_parameters()}
    adapter, model, trained = _attached(subject)
    train_briefly(model, trained)
    before = _logits(model)
    adapter.merge(model)
    merged = {name: each.shape for name, each in model.named_parameters()}
    expect(merged == plain, "after merge the model has other parameters, names or shapes than before attach")
    moved = gap(_logits(model), before)
    expect(moved < CLOSE, f"merge moves the logits by {moved:.2g}: fold everything that was trained into the weights")


def unmerging_restores_it_to_the_bit(subject: Subject) -> None:
    """So that training can go on after an evaluation."""
    adapter, model, trained = _attached(subject)
    train_briefly(model, trained)
    before = {name: each.detach().clone() for name, each in model.state_dict().items()}
    adapter.merge(model)
    adapter.unmerge(model)
    after = model.state_dict()
    expect(list(before) == list(after), "after merge and unmerge the weights have other names")
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    expect(not changed, f"merge and unmerge change {', '.join(changed[:5])}: keep the original instead of subtracting")


def an_adapted_model_can_be_copied(subject: Subject) -> None:
    """By deep copy and by pickle."""
    _, model, trained = _attached(subject)
    train_briefly(model, trained)
    before = _logits(model)
    for way, twin in (("deep copy", copy.deepcopy(model)), ("pickle", pickle.loads(pickle.dumps(model)))):
        expect(gap(_logits(twin), before) < EXACT, f"a {way} of the adapted model computes something else")


def _attached(subject: Subject) -> tuple[Adapter, VisionLanguageModel, list[nn.Parameter]]:
    model = compose(subject)
    adapter = subject.build()
    return adapter, model, adapter.attach(model)


def _logits(model: VisionLanguageModel) -> Tensor:
    model.eval()
    return model.logits(batch_for(model))


BASICS = in_turn(
    it_can_be_attached_with_these_options,
    it_returns_parameters_of_the_model_that_all_train,
    an_adapted_model_gives_the_same_each_time,
    what_its_layers_are_given_stays_as_it_was,
)
RULES: tuple[Rule, ...] = (
    *BASICS,
    *after(
        BASICS,
        rows_do_not_mix,
        it_starts_as_nothing,
        only_its_parameters_change,
        merging_keeps_the_outputs_and_restores_the_names,
        unmerging_restores_it_to_the_bit,
        an_adapted_model_can_be_copied,
    ),
    *after(BASICS[:1], attaching_leaves_requires_grad_alone),
)
