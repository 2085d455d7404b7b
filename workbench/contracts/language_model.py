"""What a language model provides: a causal decoder, its blocks and its tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from workbench.checkpoints.llava_layout import TransformersPart
from workbench.ingredient import Pretrainable
from workbench.layers.tensors import pick

if TYPE_CHECKING:
    from workbench.checkpoints.tokenizer import Corpus, Tokenizer


@dataclass(frozen=True)
class DecoderShape:
    """The decoder a fusion is built for: its width D, its number of blocks and of attention heads."""

    width: int
    depth: int
    heads: int


class LanguageModel(nn.Module, Pretrainable):
    """A causal decoder. Sets `tokenizer` and `shape`.

    Factory: `LanguageModel(corpus: Corpus, *, options)`.

    `blocks` and `attentions` must be properties: assigning a ModuleList would register its weights twice.
    A block's first argument and output (or first output) is hidden [R,S,D]; the same holds for attentions.
    """

    kind: ClassVar[str] = "language_model"

    tokenizer: Tokenizer
    shape: DecoderShape
    context: int | None = None
    """The most tokens it can tell apart in one sequence; None where there is no such bound."""
    recomputing: Callable[[], tuple[AbstractContextManager, AbstractContextManager]]
    """Given by the model it becomes part of. A decoder that computes blocks again in the backward pass hands this to
    `torch.utils.checkpoint` as `context_fn`: fusions then see again what they saw."""

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The decoder's blocks, in order."""
        raise NotImplementedError

    @property
    def attentions(self) -> Sequence[nn.Module]:
        """The self-attention of each block, in order."""
        raise NotImplementedError

    def embed(self, ids: Tensor) -> Tensor:
        """ids [R,T] -> embeddings [R,T,D]."""
        raise NotImplementedError

    def forward(self, embeds: Tensor, positions: Tensor, mask: Tensor, cache: Any = None) -> Tensor:
        """embeds [R,S,D], positions [R,S], mask [R,1,S,K] bool (True: may look) -> hidden [R,S,D], normalised.

        With a cache, K counts the tokens already in it and the S new ones, which it appends.
        """
        raise NotImplementedError

    def hidden_at(self, embeds: Tensor, positions: Tensor, mask: Tensor, places: Tensor) -> Tensor:
        """The same without a cache, at the places [R,L] of the sequence alone -> hidden [R,L,D].

        Override it when the last block can leave out the others: nobody looks at what they become.
        """
        return pick(self(embeds, positions, mask), places)

    def head(self, hidden: Tensor) -> Tensor:
        """hidden [..., D] -> logits [..., V]."""
        raise NotImplementedError

    @classmethod
    def likeness(cls, corpus: Corpus, options: Mapping[str, Any]) -> LanguageModel:
        """A small model that would be wrong where one of these options would: `workbench plan` tries it.

        It has the same code and settings, few and narrow layers, any weights, and a tokenizer of `corpus`. Override it
        where others' models are run: a plan tries no decoder without. `ValueError` says why there is none.
        """
        return cls(corpus, **options)

    def own_logits(self, ids: Tensor) -> Tensor | None:
        """ids [R,T] -> logits [R,T,V] as the library gives them whose checkpoints it reads, with the weights it has.

        What `embed`, `forward` and `head` give has to be the same. None where there is nobody to ask.
        """
        return None

    def new_cache(self, rows: int, capacity: int) -> Any:
        """An empty KV cache for `rows` rows and at most `capacity` tokens each."""
        raise NotImplementedError

    def keep_rows(self, cache: Any, rows: Tensor) -> Any:
        """The cache of these rows [R'] alone: the others have answered all their questions.

        Override it for a cache without a `keep_rows` of its own.
        """
        return cache.keep_rows(rows)

    def for_transformers(self) -> TransformersPart | None:
        """Itself in the terms of transformers' LLaVA, for `workbench export --llava`; None for no counterpart there.

        A `UserError` says why it has none with these options.
        """
        return None
