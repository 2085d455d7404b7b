"""Scheme A: image tokens become part of the decoder's sequence."""

from __future__ import annotations

import torch
from torch import Tensor

from workbench import DecoderShape, Fusion, Inputs, TransformersPart, UserError, VisionShape, hookimpl


class ConcatProjection(Fusion):
    """Image tokens stand in the sequence, at `<image>` or in front (LLaVA, https://arxiv.org/abs/2304.08485).

    The projection to the text's width is the connector's. The sequence grows by M tokens for every `<image>`.
    """

    def __init__(self, vision: VisionShape, decoder: DecoderShape):
        super().__init__()
        if vision.width != decoder.width:
            raise UserError(
                f"concat_projection puts image tokens {vision.width} wide between text tokens {decoder.width} wide;"
                " use a connector that projects, such as linear or mlp"
            )

    def fuse_inputs(self, vision: Tensor, inputs: Inputs) -> Inputs:
        """vision [R,M,D] into the sequence: T tokens become S = T + M (or T - 1 + M in place of one `<image>`)."""
        image, tokens = inputs.image, vision.shape[1]
        if not image.any():
            return _in_front(vision, inputs)
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
        pictures = _gather(vision, offset.clamp(max=tokens - 1))
        extra = _positions_added(image, inputs.segments, tokens)
        return Inputs(
            embeds=torch.where(of_image[..., None], pictures.to(text.dtype), text),
            positions=(inputs.positions + extra).gather(1, owner) + torch.where(of_image, offset, 0),
            segments=inputs.segments.gather(1, owner).masked_fill(beyond, -1),
            prompt=inputs.prompt.gather(1, owner) & ~beyond,
            image=of_image & ~beyond,
            text_at=ends - 1,
        )

    def for_transformers(self) -> TransformersPart:
        """What transformers' LLaVA does as well."""
        return TransformersPart()


def _in_front(vision: Tensor, inputs: Inputs) -> Inputs:
    """Image tokens before all text, seen by every segment."""
    rows, tokens, _ = vision.shape
    front = torch.arange(tokens, device=vision.device).expand(rows, -1)
    ones = torch.ones_like(front, dtype=torch.bool)
    return Inputs(
        embeds=torch.cat([vision.to(inputs.embeds.dtype), inputs.embeds], dim=1),
        positions=torch.cat([front, inputs.positions + tokens], dim=1),
        segments=torch.cat([torch.zeros_like(front), inputs.segments], dim=1),
        prompt=torch.cat([ones, inputs.prompt], dim=1),
        image=torch.cat([ones, inputs.image], dim=1),
        text_at=inputs.text_at + tokens,
    )


def _positions_added(image: Tensor, segments: Tensor, tokens: int) -> Tensor:
    """By how much the pictures before a token move its position [R,T]: those in segment 0 and in its own segment."""
    before = (image.cumsum(1) - image.long()) * (tokens - 1)  # by every earlier picture of the row
    shared = (image & (segments == 0)).sum(1, keepdim=True) * (tokens - 1)
    first = torch.cat([segments[:, :1] != segments[:, :1], segments[:, 1:] != segments[:, :-1]], dim=1)
    entering = torch.where(first, before, 0).cummax(1).values  # what stood before the token's segment began
    return torch.where(segments > 0, before - entering + shared, before)


def _gather(embeds: Tensor, places: Tensor) -> Tensor:
    """embeds [R,T,D] at places [R,S] -> [R,S,D]."""
    return embeds.gather(1, places[..., None].expand(-1, -1, embeds.shape[-1]))


@hookimpl
def register_fusions(register):
    """Scheme A."""
    register("concat_projection", ConcatProjection)
