"""What a fusion provides: how a decoder gets to see the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from workbench.checkpoints.llava_layout import TransformersPart
from workbench.ingredient import Pretrainable


@dataclass(frozen=True)
class Inputs:
    """The sequence a decoder reads.

    embeds [R,S,D]; positions [R,S] (rotary or learned); segments [R,S] (-1 padding, 0 seen by all, k question k);
    prompt [R,S] bool, the tokens that belong to a question and not to its answer; image [R,S] bool, `<image>`
    tokens, before `fuse_inputs` one a view, in the order of the views: those of segment 0 and, behind them, those of
    each question; text_at [R,T], where each text token of the row stands in S.
    """

    embeds: Tensor
    positions: Tensor
    segments: Tensor
    prompt: Tensor
    image: Tensor
    text_at: Tensor


class Fusion(nn.Module, Pretrainable):
    """How a decoder gets to see the image. Every method's default changes nothing; override what you need.

    Factory: `Fusion(vision: VisionShape, decoder: DecoderShape, *, options)`.

    `reads_text = True` says that the image tokens are changed by the text (bidirectional fusion). Then each
    question is a row of its own, so that no question's text reaches another's answer through the image.
    Such a fusion may let the image look at `prompt` tokens only, or it would see the answer.
    """

    kind: ClassVar[str] = "fusion"

    reads_text = False

    def prepare(self, vision: Tensor, mask: Tensor | None) -> Any:
        """vision [G,M,Dv] -> what the other methods get as `vision`: a tensor, or a tuple, list or dict of
        tensors with G first. Work that depends on the images alone (keys, values) belongs here: it runs once
        a set of images, never once a question or a generated token.

        mask [G,1,1,M] bool says which tokens are there, where sets have different numbers of views: nothing may look
        at the others. None: all are there."""
        return vision

    def fuse_inputs(self, vision: Any, inputs: Inputs) -> Inputs:
        """Scheme A: put image tokens into the sequence, those of each view in the place of its `<image>`."""
        return inputs

    def fuse_block(self, index: int, hidden: Tensor, vision: Any, prompt: Tensor | None) -> tuple[Tensor, Any]:
        """Scheme B: before block `index`. hidden [R,S,D] -> hidden [R,S,D], and vision for the next block.

        prompt [R,S] bool; None while answering from the cache: then `vision` is what this block saw while it
        read the prompt, and the returned vision is ignored.
        """
        return hidden, vision

    def fuse_attention(self, index: int, hidden: Tensor, vision: Any) -> Tensor | None:
        """Scheme B inside block `index`: what to add to its self-attention's output. hidden [R,S,D], the
        self-attention's input -> [R,S,D], or None for nothing."""
        return None

    def for_transformers(self) -> TransformersPart | None:
        """Itself in the terms of transformers' LLaVA, for `workbench export --llava`; None for no counterpart there.

        A `UserError` says why it has none with these options.
        """
        return None
