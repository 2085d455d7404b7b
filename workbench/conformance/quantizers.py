"""Rules for quantizers: smaller by as much as they say, and close to what the model computed."""

from __future__ import annotations

import copy
import pickle

from torch import Tensor

from workbench.conformance.changed_layers import calls_of_changed_layers, whole_model
from workbench.conformance.copy_and_compare import same
from workbench.conformance.determinism import CallPlan, expect_inputs_stay, expect_the_same_each_time
from workbench.conformance.model_parts import EXACT
from workbench.conformance.random_numbers import seed_all
from workbench.conformance.reference_model import batch_for, gap, trained
from workbench.conformance.rules import Rule, Subject, after, expect, in_turn
from workbench.contracts.quantizer import FULL_BITS
from workbench.model.build import count_bytes
from workbench.model.generation import generate
from workbench.model.vision_language_model import VisionLanguageModel

AGAIN = 8  # times a model is quantized, and a whole one asked, which takes longer than to ask a layer


def it_can_quantize_with_these_options(subject: Subject) -> None:
    """A model of reference parts; what it raises breaks the rule."""
    subject.build().quantize(_model(subject))


def it_says_how_many_bits_a_weight_has(subject: Subject) -> None:
    """`bits` stands in reports."""
    bits = getattr(subject.build(), "bits", None)
    expect(
        isinstance(bits, (int, float)) and 0 < bits <= FULL_BITS,
        f"bits is {bits!r}: set it to the bits of a quantized weight, such as 8.0, or 32.0 where nothing is changed",
    )


def the_same_weights_give_the_same_bits(subject: Subject) -> None:
    """Under the same seed: weights of files are quantized anew wherever a model is built."""
    first = _quantized(subject).state_dict()
    for _ in range(AGAIN):
        again = _quantized(subject).state_dict()
        changed = [name for name in first if name not in again or not same(first[name], again[name])]
        expect(not changed, f"quantized again, {', '.join(changed[:5])} come out otherwise: round in a fixed way")


def a_quantized_model_gives_the_same_each_time(subject: Subject) -> None:
    """However often it is asked: the layers that were changed, and the whole."""
    expect_the_same_each_time(CallPlan(lambda: _quantized(subject), calls_of_changed_layers))
    expect_the_same_each_time(CallPlan(lambda: _quantized(subject), whole_model), rounds=AGAIN)


def what_its_layers_are_given_stays_as_it_was(subject: Subject) -> None:
    """Other layers read the same hidden states."""
    expect_inputs_stay(calls_of_changed_layers(_quantized(subject), 0))


def the_model_gets_smaller(subject: Subject) -> None:
    """Counted in parameters and persistent buffers, as they lie in memory."""
    model, quantizer = _model(subject), subject.build()
    before = count_bytes(model)
    quantizer.quantize(model)
    after = count_bytes(model)
    if quantizer.bits >= FULL_BITS:
        expect(after == before, f"bits is {quantizer.bits}, but the model goes from {before:,} to {after:,} bytes")
        return
    expect(
        after < before,
        f"the model has {after:,} bytes after and {before:,} before: keep weights in a narrow integer type, as buffers,"
        " and let go of the originals",
    )


def outputs_stay_within_tolerance(subject: Subject) -> None:
    """Relative to the spread of the logits: about six per cent at 8 bits, nothing at 32."""
    model, quantizer = _model(subject), subject.build()
    before = _logits(model)
    quantizer.quantize(model)
    error = float((_logits(model) - before).norm() / before.norm())
    tolerance = 0.0 if quantizer.bits >= FULL_BITS else min(0.6, 0.01 + 12 / 2**quantizer.bits)
    expect(
        error <= tolerance,
        f"the logits move by {error:.1%} of their size, and {tolerance:.1%} is what {quantizer.bits:g} bits should"
        " cost: look at the scale (one for each output channel) and at rounding (to the nearest, not down)",
    )


def another_image_still_changes_the_loss(subject: Subject) -> None:
    """Replacing a whole block would cut off the fusion that hangs on it."""
    model = _model(subject)
    subject.build().quantize(model)
    batch = batch_for(model)
    vision, other = model.see(batch.images), model.see(batch.images.flip(0))
    expect(
        gap(model.token_losses(vision, batch), model.token_losses(other, batch)) > EXACT,
        "after quantizing, the image no longer reaches the decoder: replace single layers (nn.Linear), never a"
        " decoder's block or attention, on which the fusion's hooks hang",
    )


def gradients_pass_through_when_it_says_so(subject: Subject) -> None:
    """What a phase that is `quantized` trains must be reached: here each parameter of the first part, the encoder."""
    model, quantizer = _model(subject), subject.build()
    quantizer.quantize(model)
    if quantizer.differentiable:
        batch = batch_for(model)
        vision = model.encoder(batch.images).detach().requires_grad_(True)
        model.token_losses(model.see_tokens(vision), batch).sum().backward()
        expect(
            vision.grad is not None and bool(vision.grad.any()),
            "differentiable is True, but no gradient reaches the image tokens: compute with functions that torch can"
            " differentiate when the input asks for a gradient, or set it to False",
        )


def a_quantized_model_answers(subject: Subject) -> None:
    """Generation from the cache runs."""
    model = _model(subject)
    subject.build().quantize(model)
    prompts = batch_for(model, answered=False)
    generate(model, model.see(prompts.images), prompts, max_new_tokens=3)


def a_quantized_model_can_be_copied(subject: Subject) -> None:
    """By deep copy and by pickle."""
    model = _model(subject)
    subject.build().quantize(model)
    before = _logits(model)
    for way, twin in (("deep copy", copy.deepcopy(model)), ("pickle", pickle.loads(pickle.dumps(model)))):
        expect(gap(_logits(twin), before) < EXACT, f"a {way} of the quantized model computes something else")


def _model(subject: Subject) -> VisionLanguageModel:
    return copy.deepcopy(subject.once(trained)[0]).requires_grad_(False)


def _quantized(subject: Subject) -> VisionLanguageModel:
    model, quantizer = _model(subject), subject.build()
    seed_all(9)
    quantizer.quantize(model)
    return model.eval()


def _logits(model: VisionLanguageModel) -> Tensor:
    return model.logits(batch_for(model))


BASICS = in_turn(
    it_can_quantize_with_these_options,
    it_says_how_many_bits_a_weight_has,
    the_same_weights_give_the_same_bits,
    a_quantized_model_gives_the_same_each_time,
    what_its_layers_are_given_stays_as_it_was,
)
RULES: tuple[Rule, ...] = (
    *BASICS,
    *after(
        BASICS,
        the_model_gets_smaller,
        outputs_stay_within_tolerance,
        another_image_still_changes_the_loss,
        gradients_pass_through_when_it_says_so,
        a_quantized_model_answers,
        a_quantized_model_can_be_copied,
    ),
)
