"""A language model: a causal decoder with its tokenizer."""

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
    Rotary,
    heads_of,
    hookimpl,
    tokenizer_for,
)


class Block(nn.Module):
    """Self-attention and MLP side by side, reading the same normalised states."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.mlp = MLP(width, 4 * width)

    def forward(
        self, hidden: Tensor, mask: Tensor, rotation: tuple[Tensor, Tensor], cache: KeyValueCache | None, index: int
    ) -> Tensor:
        """hidden [R,S,D] -> [R,S,D]. Hidden comes first: there a fusion takes hold of it."""
        normed = self.norm(hidden)
        return hidden + self.attention(normed, mask, rotation, cache, index) + self.mlp(normed)


class NewPlugin(LanguageModel):
    """A small decoder with parallel blocks and rotary positions; its BPE is trained on the experiment's text."""

    # `corpus` comes from the workbench: the training text, or the tokenizer that was saved with a trained model.
    # What stands behind the `*` is set in the experiment file: `language_model: {name: new_plugin, depth: 3}`.
    def __init__(
        self,
        corpus: Corpus,
        *,
        vocabulary_size: Annotated[
            PositiveInt, Field(description="most tokens of the BPE that is trained on the experiment's text")
        ] = 512,
        width: Annotated[PositiveInt, Field(description="width of the hidden states")] = 64,
        depth: Annotated[PositiveInt, Field(description="number of blocks")] = 2,
        heads: Annotated[PositiveInt, Field(description="attention heads of a block")] = 4,
    ):
        super().__init__()
        self.tokenizer = tokenizer_for(corpus, vocabulary_size)
        self.shape = DecoderShape(width, depth, heads)
        self.embedding = nn.Embedding(self.tokenizer.size, width)
        self.layers = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.rotary = Rotary(heads_of(width, heads))
        self.output = nn.Linear(width, self.tokenizer.size, bias=False)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The blocks, as a property: an assigned ModuleList would register their weights twice."""
        return list(self.layers)

    @property
    def attentions(self) -> Sequence[nn.Module]:
        """The self-attention of each block."""
        return [layer.attention for layer in cast(Iterable[Block], self.layers)]

    def embed(self, ids: Tensor) -> Tensor:
        """ids [R,T] -> embeddings [R,T,D]."""
        return self.embedding(ids)

    def forward(self, embeds: Tensor, positions: Tensor, mask: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """embeds [R,S,D], positions [R,S], mask [R,1,S,K] (True: may look) -> hidden [R,S,D]."""
        rotation = self.rotary(positions)
        hidden = embeds
        for index, layer in enumerate(self.layers):
            hidden = layer(hidden, mask, rotation, cache, index)
        if cache is not None:
            cache.advance(embeds.shape[1])
        return self.norm(hidden)

    def head(self, hidden: Tensor) -> Tensor:
        """hidden [..., D] -> logits [..., V]."""
        return self.output(hidden)

    def new_cache(self, rows: int, capacity: int) -> KeyValueCache:
        """Room for `capacity` tokens in each of `rows` rows."""
        return KeyValueCache(self.shape.depth, capacity)


@hookimpl
def register_language_models(register):
    """The name that experiment files use."""
    register("new_plugin", NewPlugin)
