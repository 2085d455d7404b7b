"""Rules for quantizers: smaller by as much as they say, and close to what the model computed."""

from __future__ import annotations

import copy
import pickle

from torch import Tensor

from workbench.compose import count_bytes
from workbench.conformance.findings import Subject, expect
from workbench.conformance.modules import EXACT
from workbench.conformance.reference import batch_for, compose, gap, train_briefly
from workbench.contracts import FULL_BITS
from workbench.generate import generate
from workbench.model import VisionLanguageModel


def it_can_quantize_with_these_options(subject: Subject) -> None:
    """A model of reference parts; what it raises is the finding."""
    subject.build().quantize(_model(subject))


def it_says_how_many_bits_a_weight_has(subject: Subject) -> None:
    """`bits` stands in reports."""
    bits = getattr(subject.build(), "bits", None)
    expect(
        isinstance(bits, (int, float)) and 0 < bits <= FULL_BITS,
        f"bits is {bits!r}: set it to the bits of a quantized weight, such as 8.0, or 32.0 where nothing is changed",
    )


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


def another_picture_still_changes_the_loss(subject: Subject) -> None:
    """Replacing a whole block would cut off the fusion that hangs on it."""
    model = _model(subject)
    subject.build().quantize(model)
    batch = batch_for(model)
    vision, other = model.see(batch.images), model.see(batch.images.flip(0))
    expect(
        gap(model.token_losses(vision, batch), model.token_losses(other, batch)) > EXACT,
        "after quantizing, the picture no longer reaches the decoder: replace single layers (nn.Linear), never a"
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
    model = compose(subject)
    train_briefly(model)
    return model.requires_grad_(False)


def _logits(model: VisionLanguageModel) -> Tensor:
    return model.logits(batch_for(model))


CHECKS = (
    it_can_quantize_with_these_options,
    it_says_how_many_bits_a_weight_has,
    the_model_gets_smaller,
    outputs_stay_within_tolerance,
    another_picture_still_changes_the_loss,
    gradients_pass_through_when_it_says_so,
    a_quantized_model_answers,
    a_quantized_model_can_be_copied,
)
