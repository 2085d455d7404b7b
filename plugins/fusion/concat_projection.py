"""Scheme A: image tokens become part of the decoder's sequence."""

from __future__ import annotations

import torch
from torch import Tensor

from workbench import DecoderShape, Fusion, Inputs, TransformersPart, UserError, VisionShape, hookimpl


class ConcatProjection(Fusion):
    """Image tokens stand in the sequence, at `<image>` or in front (LLaVA, https://arxiv.org/abs/2304.08485).

    The projection to the text's width is the connector's. The sequence grows by M tokens for every view of an image,
    which has an `<image>` of its own.
    """

    def __init__(self, vision: VisionShape, decoder: DecoderShape):
        super().__init__()
        if vision.width != decoder.width:
            raise UserError(
                f"concat_projection puts image tokens {vision.width} wide between text tokens {decoder.width} wide;"
                " use a connector that projects, such as linear or mlp"
            )
        self.tokens = vision.tokens

    def prepare(self, vision: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """vision [G,KM,D] and its mask [G,1,1,KM] as they are."""
        return vision, mask

    def fuse_inputs(self, vision: tuple[Tensor, Tensor | None], inputs: Inputs) -> Inputs:
        """Image tokens [R,KM,D] into the sequence: each `<image>` becomes the M tokens of a view, in the order of
        views. Without any they all come first."""
        seen, mask = vision
        image, tokens = inputs.image, self.tokens
        if not image.any():
            return _in_front(seen, mask, inputs)
        lengths = torch.where(image, tokens, 1)  # [R,T], how many tokens each text token becomes
        ends = lengths.cumsum(1)
        starts = ends - lengths
        rows, total = image.shape[0], int(ends[:, -1].max())
        owner = torch.searchsorted(
            ends, torch.arange(total, device=ends.device).expand(rows, -1).contiguous(), right=True
        )
        owner.clamp_(
            max=image.shape[1] - 1
        )  # [R,S], the text token that each place comes from; behind the end: the last
        offset = torch.arange(total, device=ends.device) - starts.gather(
            1, owner
        )  # [R,S], the how-manieth of its tokens
        of_image = image.gather(1, owner)
        beyond = torch.arange(total, device=ends.device) >= ends[:, -1:]
        text = _gather(inputs.embeds, owner)
        before = _images_before(image, inputs.segments)
        images = _gather(seen, (before.gather(1, owner) * tokens + offset).clamp(max=seen.shape[1] - 1))
        positions = inputs.positions + before * (tokens - 1)
        return Inputs(
            embeds=torch.where(of_image[..., None], images.to(text.dtype), text),
            positions=positions.gather(1, owner) + torch.where(of_image, offset, 0),
            segments=inputs.segments.gather(1, owner).masked_fill(beyond, -1),
            prompt=inputs.prompt.gather(1, owner) & ~beyond,
            image=of_image & ~beyond,
            text_at=ends - 1,
        )

    def for_transformers(self) -> TransformersPart:
        """What transformers' LLaVA does as well."""
        return TransformersPart()


def _in_front(vision: Tensor, mask: Tensor | None, inputs: Inputs) -> Inputs:
    """Image tokens before all text, seen by every segment. Those that are not there are padding."""
    rows, tokens, _ = vision.shape
    front = torch.arange(tokens, device=vision.device).expand(rows, -1)
    there = torch.ones_like(front, dtype=torch.bool) if mask is None else mask[:, 0, 0]
    return Inputs(
        embeds=torch.cat([vision.to(inputs.embeds.dtype), inputs.embeds], dim=1),
        positions=torch.cat([front, inputs.positions + there.sum(1, keepdim=True)], dim=1),
        segments=torch.cat([there.long() - 1, inputs.segments], dim=1),
        prompt=torch.cat([there, inputs.prompt], dim=1),
        image=torch.cat([there, inputs.image], dim=1),
        text_at=inputs.text_at + tokens,
    )


def _images_before(image: Tensor, segments: Tensor) -> Tensor:
    """How many `<image>` stand before a token [R,T]: of segment 0 and of its own segment."""
    before = image.cumsum(1) - image.long()  # all earlier ones of the row
    shared = (image & (segments == 0)).sum(1, keepdim=True)
    first = torch.cat([segments[:, :1] != segments[:, :1], segments[:, 1:] != segments[:, :-1]], dim=1)
    entering = torch.where(first, before, 0).cummax(1).values  # what stood before the token's segment began
    return torch.where(segments > 0, before - entering + shared, before)


def _gather(embeds: Tensor, places: Tensor) -> Tensor:
    """embeds [R,T,D] at places [R,S] -> [R,S,D]."""
    return embeds.gather(1, places[..., None].expand(-1, -1, embeds.shape[-1]))


@hookimpl
def register_fusions(register):
    """Image tokens in the decoder's own sequence (scheme A)."""
    register("concat_projection", ConcatProjection)
