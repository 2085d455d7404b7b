"""Co-attention both ways: the text looks at the picture, and the picture looks at the question."""

from __future__ import annotations

from pydantic import PositiveInt
from torch import Tensor, nn

from workbench import CrossAttention, DecoderShape, Fusion, VisionShape, hookimpl


class BidirectionalFusion(Fusion):
    """Before every block, text attends to image tokens, then image tokens attend to the question.

    After the co-attention of ViLBERT (Lu et al. 2019, https://arxiv.org/abs/1908.02265, section 3.1). In a decoder
    the picture may look at the prompt only: what looked at the answer would show it to earlier tokens. `closed` starts
    with last layers of zeros, so that a pretrained decoder stays as it is.
    """

    reads_text = True

    def __init__(self, vision: VisionShape, decoder: DecoderShape, *, heads: PositiveInt = 4, closed: bool = True):
        super().__init__()
        depth = decoder.depth
        self.text_norms = nn.ModuleList(nn.LayerNorm(decoder.width) for _ in range(depth))
        self.vision_norms = nn.ModuleList(nn.LayerNorm(vision.width) for _ in range(depth))
        self.to_text = nn.ModuleList(CrossAttention(decoder.width, vision.width, heads, closed) for _ in range(depth))
        # After the last block nobody looks at the picture any more, so it needs no last update.
        self.to_vision = nn.ModuleList(
            CrossAttention(vision.width, decoder.width, heads, closed) for _ in range(depth - 1)
        )

    def fuse_block(self, index: int, hidden: Tensor, vision: Tensor, prompt: Tensor | None) -> tuple[Tensor, Tensor]:
        """hidden [R,S,D], vision [R,M,Dv], prompt [R,S] bool -> hidden [R,S,D], vision [R,M,Dv]."""
        seen = self.vision_norms[index](vision)
        text = self.text_norms[index](hidden)
        if prompt is not None and index < len(self.to_vision):
            vision = vision + self.to_vision[index](seen, text, prompt[:, None, None, :])
        return hidden + self.to_text[index](text, seen), vision


@hookimpl
def register_fusions(register):
    """Both ways."""
    register("bidirectional", BidirectionalFusion)
