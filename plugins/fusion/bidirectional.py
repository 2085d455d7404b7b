"""Co-attention both ways: the text looks at the image, and the image looks at the question."""

from __future__ import annotations

from torch import Tensor, nn

from workbench import CrossAttention, DecoderShape, Fusion, KeysValues, ViewPlaces, VisionShape, hookimpl

from ._options import Closed, Heads, Views

Seen = tuple[Tensor, Tensor, KeysValues]  # image tokens, the same normalised, and keys and values of these


class BidirectionalFusion(Fusion):
    """Before every block, text attends to image tokens, then image tokens attend to the question.

    After the co-attention of ViLBERT (Lu et al. 2019, https://arxiv.org/abs/1908.02265, section 3.1). In a decoder
    the image may look at the prompt only: what looked at the answer would show it to earlier tokens.
    """

    reads_text = True

    def __init__(
        self,
        vision: VisionShape,
        decoder: DecoderShape,
        *,
        heads: Heads = 4,
        closed: Closed = True,
        views: Views = 1,
    ):
        super().__init__()
        depth = decoder.depth
        self.places = ViewPlaces(vision.width, vision.tokens, views)
        self.text_norms = nn.ModuleList(nn.LayerNorm(decoder.width) for _ in range(depth))
        self.vision_norms = nn.ModuleList(nn.LayerNorm(vision.width) for _ in range(depth))
        self.to_text = nn.ModuleList(CrossAttention(decoder.width, vision.width, heads, closed) for _ in range(depth))
        # After the last block nobody looks at the image any more, so it needs no last update.
        self.to_vision = nn.ModuleList(
            CrossAttention(vision.width, decoder.width, heads, closed) for _ in range(depth - 1)
        )

    def prepare(self, vision: Tensor, mask: Tensor | None) -> Seen:
        """vision [G,M,Dv] -> image tokens as the first block sees them."""
        return self._seen_by(0, self.places(vision), mask)

    def fuse_block(self, index: int, hidden: Tensor, vision: Seen, prompt: Tensor | None) -> tuple[Tensor, Seen]:
        """hidden [R,S,D], prompt [R,S] bool -> hidden [R,S,D], and image tokens as the next block sees them."""
        tokens, normed, keys_values = vision
        text = self.text_norms[index](hidden)
        if prompt is not None and index < len(self.to_vision):
            tokens = tokens + self.to_vision[index](normed, text, prompt[:, None, None, :])
            vision = self._seen_by(index + 1, tokens, keys_values[-1])
        return hidden + self.to_text[index](text, keys_values), vision

    def _seen_by(self, index: int, tokens: Tensor, mask: Tensor | None) -> Seen:
        """tokens [R,M,Dv] -> themselves, normalised for block `index`, and its keys and values of them [R,H,M,E]:
        made while the prompt is read, never again for a generated token."""
        normed = self.vision_norms[index](tokens)
        to_text = self.to_text[index]
        assert isinstance(to_text, CrossAttention)
        return tokens, normed, to_text.keys_values(normed, mask)


@hookimpl
def register_fusions(register):
    """Image and text change each other before the decoder reads."""
    register("bidirectional", BidirectionalFusion)
