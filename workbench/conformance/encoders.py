"""Rules for encoders: any image to the declared tokens, each by itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image

from workbench.conformance import model_parts
from workbench.conformance.determinism import Call, CallPlan, expect_inputs_stay, expect_the_same_each_time
from workbench.conformance.model_parts import (
    CLOSE,
    EXACT,
    basics,
    common,
    rows_do_not_mix,
)
from workbench.conformance.reference_model import batch_for, different_images, gap, opened, trained
from workbench.conformance.rules import Rule, Subject, after, expect
from workbench.contracts.encoder import Encoder


def any_image_becomes_a_tensor_of_its_image_size(subject: Subject) -> None:
    """Wide, tall, tiny, even grey (the control without an image), and grey in mode."""
    encoder = subject.build()
    size = encoder.image_size
    odd = {
        "a wide image (91 x 37)": Image.new("RGB", (91, 37), (200, 30, 30)),
        "a tall image (5 x 301)": Image.new("RGB", (5, 301), (30, 200, 30)),
        "an image of one pixel": Image.new("RGB", (1, 1), (30, 30, 200)),
        "an even grey image": Image.new("RGB", (size, size), (128, 128, 128)),
        "an image of mode L": Image.new("L", (40, 40), 90),
    }
    for name, image in odd.items():
        tensor = encoder.transform(image)
        expect(
            tuple(tensor.shape) == (3, size, size) and tensor.dtype == torch.float32,
            f"transform makes {tuple(tensor.shape)} {tensor.dtype} of {name}; it should be (3, {size}, {size}) float32."
            " Start with image.convert('RGB') and end at image_size",
        )
        expect(bool(tensor.isfinite().all()), f"transform makes NaN or infinity of {name}: do not divide by its spread")


def views_are_the_image_and_its_tiles(subject: Subject) -> None:
    """One view without `tiles`; with them a large image has more, as many as there may be at most."""
    encoder = subject.build()
    size, most = encoder.image_size, 1 + encoder.tiles
    for width, height in ((size, size), (3 * size, 2 * size), (size, 7 * size)):
        views = encoder.views(Image.new("RGB", (width, height), (30, 30, 200)))
        expect(
            views.shape[1:] == (3, size, size) and 1 <= len(views) <= most,
            f"views makes {tuple(views.shape)} of an image of {width} x {height}; it should be (views, 3, {size},"
            f" {size}) with 1 to {most} views",
        )


def tokens_have_the_declared_shape(subject: Subject) -> None:
    """`shape` is what connectors and fusions are built for."""
    encoder = subject.build().eval()
    tokens, shape = encoder(different_images(encoder, 3)), encoder.shape
    expect(
        tuple(tokens.shape) == (3, shape.tokens, shape.width),
        f"forward gives {tuple(tokens.shape)} for 3 images, but shape says (3, {shape.tokens}, {shape.width})",
    )


def pool_gives_one_vector_for_each_image(subject: Subject) -> None:
    """For contrastive training."""
    encoder = subject.build().eval()
    pooled = encoder.pool(different_images(encoder, 3))
    wanted = (3, encoder.shape.width)
    expect(tuple(pooled.shape) == wanted, f"pool gives {tuple(pooled.shape)} for 3 images; it should be {wanted}")


def it_gives_the_same_each_time(subject: Subject) -> None:
    """In eval mode, however often it is asked, and whatever it was asked before."""
    expect_the_same_each_time(CallPlan(lambda: opened(subject.build()).eval(), _calls))


def images_stay_as_they_were(subject: Subject) -> None:
    """They are shown again: to other methods, in the next epoch, in a report."""
    encoder = subject.build()
    for mode in (True, False):
        expect_inputs_stay(_calls(encoder.train(mode), 0))


def an_image_is_encoded_the_same_in_any_batch(subject: Subject) -> None:
    """Features of a frozen encoder are kept by image, so an image's neighbours must not matter."""
    encoder = subject.build().eval()
    images = different_images(encoder, 3)
    for name, look in (("tokens", encoder), ("pooled vector", encoder.pool)):
        alone = torch.cat([look(image.clone()) for image in images.split(1)])
        expect(
            gap(look(images.clone()), alone) < CLOSE,
            f"an image gets another {name} in a batch than alone: normalise over an image's own values (LayerNorm),"
            " not over the batch (BatchNorm)",
        )


def another_image_gives_other_tokens(subject: Subject) -> None:
    """Otherwise it is blind; one that says so (`reads_image`) has to be."""
    encoder = subject.build().eval()
    images = different_images(encoder, 2)
    tokens, pooled = encoder(images), encoder.pool(images)
    if encoder.reads_image:
        expect(
            gap(tokens[0], tokens[1]) > EXACT,
            "two different images give the same tokens. If it is to be blind, set `reads_image = False` in the class",
        )
        return
    expect(
        gap(tokens[0], tokens[1]) == 0 and gap(pooled[0], pooled[1]) == 0,
        "it says `reads_image = False`, but two different images give other tokens: what is trained with it would pass"
        " for blind and is not",
    )


def another_image_changes_the_loss(subject: Subject) -> None:
    """Otherwise the model is blind; with an encoder that says it is (`reads_image`), no image may."""
    model, _ = subject.once(trained)
    if model.encoder.reads_image:
        model_parts.another_image_changes_the_loss(subject)
        return
    batch = batch_for(model)
    vision, other = model.see(batch.images), model.see(batch.images.flip(0))
    expect(
        gap(model.token_losses(vision, batch), model.token_losses(other, batch)) == 0,
        "it says `reads_image = False`, but with another image the loss is another",
    )


def gradients_reach_every_parameter(subject: Subject) -> None:
    """By way of the tokens, or of `pool`."""
    encoder = subject.build()
    if not list(encoder.parameters()):
        return
    images = different_images(encoder, 3)
    for output in (encoder(images), encoder.pool(images)):
        # A fixed random direction: behind a normalisation the gradient of a plain sum is zero.
        (output * torch.randn_like(output)).sum().backward()
    unreached = [name for name, each in encoder.named_parameters() if each.grad is None or not each.grad.any()]
    expect(
        not unreached,
        f"no gradient reaches {', '.join(unreached[:5])}: neither the tokens nor pool use them, or they are cut off"
        " (detach, no_grad, .data). Use them, or remove them",
    )


def _calls(encoder: Encoder, number: int) -> Sequence[Call]:
    pixels = different_images(encoder, 2)[number : number + 1]
    image = Image.new("RGB", (40, 30), (200, 30 + 100 * number, 30))
    calls = [Call("transform", encoder.transform, (image,)), Call("forward", encoder, (pixels,))]
    if type(encoder).views is not Encoder.views:
        calls.append(Call("views", encoder.views, (image,)))
    if type(encoder).pool is not Encoder.pool:
        calls.append(Call("pool", encoder.pool, (pixels,)))
    return calls


BASICS = basics(
    any_image_becomes_a_tensor_of_its_image_size,
    tokens_have_the_declared_shape,
    same=it_gives_the_same_each_time,
    stay=images_stay_as_they_were,
)
ALONE = after(BASICS, an_image_is_encoded_the_same_in_any_batch)
SEES = after(BASICS, another_image_gives_other_tokens)
RULES: tuple[Rule, ...] = (
    *BASICS,
    *after(BASICS[:3], views_are_the_image_and_its_tiles, pool_gives_one_vector_for_each_image),
    *ALONE,
    *after((*BASICS, *ALONE), rows_do_not_mix),
    *SEES,
    *after((*BASICS, *SEES), another_image_changes_the_loss, gradients_reach_every_parameter),
    *common(BASICS),
)
