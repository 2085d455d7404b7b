"""A GPT-like decoder in plain PyTorch: rotary positions, pre-norm blocks, a KV cache, byte-level BPE."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, cast

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from workbench import (
    MLP,
    Attention,
    Corpus,
    DecoderShape,
    KeyValueCache,
    LanguageModel,
    RMSNorm,
    Rotary,
    hookimpl,
    pick,
    tokenizer_for,
)


class Block(nn.Module):
    """Self-attention and MLP, each behind a normalisation and around a residual."""

    def __init__(self, width: int, heads: int, mlp_ratio: int, layer_norm: bool):
        super().__init__()
        self.attention_norm = _norm(width, layer_norm)
        self.attention = Attention(width, heads)
        self.mlp_norm = _norm(width, layer_norm)
        self.mlp = MLP(width, mlp_ratio * width)

    def forward(
        self,
        hidden: Tensor,
        mask: Tensor,
        rotation: tuple[Tensor, Tensor],
        cache: KeyValueCache | None,
        index: int,
        places: Tensor | None = None,
    ) -> Tensor:
        """hidden [R,S,D] -> hidden [R,S,D], or [R,L,D] at the places [R,L] alone."""
        mixed = self.attention(self.attention_norm(hidden), mask, rotation, cache, index, places)
        hidden = (hidden if places is None else pick(hidden, places)) + mixed
        return hidden + self.mlp(self.mlp_norm(hidden))


class GPT(LanguageModel):
    """GPT-like decoder with RoPE, RMSNorm or LayerNorm, and a KV cache; its BPE is trained on the experiment's text.

    After Radford et al. 2019 (GPT-2), with rotary positions (https://arxiv.org/abs/2104.09864) and RMSNorm
    (https://arxiv.org/abs/1910.07467). Input embedding and output head share their weights.
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        vocabulary_size: Annotated[
            PositiveInt, Field(description="most tokens of the BPE that is trained on the experiment's text")
        ] = 512,
        width: Annotated[PositiveInt, Field(description="width of the hidden states")] = 128,
        depth: Annotated[PositiveInt, Field(description="number of transformer blocks")] = 4,
        heads: Annotated[PositiveInt, Field(description="attention heads of a block")] = 4,
        mlp_ratio: Annotated[
            PositiveInt, Field(description="hidden width of a block's MLP, as a multiple of width")
        ] = 4,
        layer_norm: Annotated[bool, Field(description="LayerNorm in place of RMSNorm")] = False,
    ):
        super().__init__()
        self.tokenizer = tokenizer_for(corpus, vocabulary_size)
        self.shape = DecoderShape(width, depth, heads)
        self.embedding = nn.Embedding(self.tokenizer.size, width)
        self.layers = nn.ModuleList(Block(width, heads, mlp_ratio, layer_norm) for _ in range(depth))
        self.norm = _norm(width, layer_norm)
        self.rotary = Rotary(width // heads)
        self.output = nn.Linear(width, self.tokenizer.size, bias=False, device="meta")
        self.output.weight = self.embedding.weight
        self._initialise()

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The decoder's blocks, in order."""
        return list(self.layers)

    @property
    def attentions(self) -> Sequence[nn.Module]:
        """The self-attention of each block, in order."""
        return [layer.attention for layer in cast(Iterable[Block], self.layers)]

    def embed(self, ids: Tensor) -> Tensor:
        """ids [R,T] -> embeddings [R,T,D]."""
        return self.embedding(ids)

    def forward(self, embeds: Tensor, positions: Tensor, mask: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """embeds [R,S,D], positions [R,S], mask [R,1,S,K] -> hidden [R,S,D]."""
        rotation = self.rotary(positions)
        hidden = embeds
        for index, layer in enumerate(self.layers):
            hidden = layer(hidden, mask, rotation, cache, index)
        if cache is not None:
            cache.advance(embeds.shape[1])
        return self.norm(hidden)

    def hidden_at(self, embeds: Tensor, positions: Tensor, mask: Tensor, places: Tensor) -> Tensor:
        """The last block's queries and MLP are made at the places [R,L] alone -> hidden [R,L,D]."""
        rotation = self.rotary(positions)
        hidden = embeds
        last = len(self.layers) - 1
        for index, layer in enumerate(self.layers[:last]):
            hidden = layer(hidden, mask, rotation, None, index)
        seen = mask.gather(2, places[:, None, :, None].expand(-1, -1, -1, mask.shape[-1]))  # [R,1,L,K]
        return self.norm(self.layers[last](hidden, seen, rotation, None, last, places))

    def head(self, hidden: Tensor) -> Tensor:
        """hidden [..., D] -> logits [..., V]."""
        return self.output(hidden)

    def new_cache(self, rows: int, capacity: int) -> KeyValueCache:
        """An empty cache for `rows` rows of at most `capacity` tokens."""
        return KeyValueCache(self.shape.depth, capacity)

    def _initialise(self) -> None:
        """N(0, 1/sqrt(3 x inputs)): at GPT-2's width about its 0.02, and wider in narrow models. Its smaller start of
        layers that write into the residual is left out: no gain could be told."""
        nn.init.normal_(self.embedding.weight, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear) and module is not self.output:
                nn.init.normal_(module.weight, std=(3 * module.in_features) ** -0.5)
                nn.init.zeros_(module.bias)


def _norm(width: int, layer_norm: bool) -> nn.Module:
    return nn.LayerNorm(width) if layer_norm else RMSNorm(width)


@hookimpl
def register_language_models(register):
    """A small decoder that starts untrained."""
    register("gpt", GPT)
