"""What each kind of plugin provides: one small base class a kind, and the values that cross between them.

Letters in shapes: P images, R rows, G sets of images, N image tokens, M image tokens after the connector, T text
tokens, S sequence (text and, under scheme A, image tokens), Dv vision width, D text width, V vocabulary.

A **row** holds one image, or a set of several, and one or more questions about it, one after the other. Each
question with its answer is a *segment* 1, 2, ...; what they share (the beginning of the prompt with `<image>`) is
segment 0. A token sees segment 0 and the earlier tokens of its own segment, so all questions of an image are trained
in one pass without seeing each other.

An image has one **view**, or with tiles several; for encoder and connector each is an image of its own. A fusion gets
the tokens of all views of a set one after the other [G,M,Dv], each with as many tokens as `VisionShape` says.

In every factory, positional parameters come from the workbench and keyword-only parameters from the YAML.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
import torch
from torch import Tensor, nn

from workbench.errors import RenamedError
from workbench.example import Example, Prediction
from workbench.layers import pick
from workbench.renamed import DATASET, told
from workbench.run_contracts import Launcher, Tracker
from workbench.tiles import views_of

__all__ = [
    "FULL_BITS",
    "Adapter",
    "Connector",
    "Corpus",
    "Dataset",
    "DecoderShape",
    "Encoder",
    "Example",
    "Fusion",
    "Inputs",
    "LanguageModel",
    "Launcher",
    "Metric",
    "Prediction",
    "Quantizer",
    "Tracker",
    "VisionShape",
]

if TYPE_CHECKING:
    from PIL import Image

    from workbench.tokenizer import Tokenizer


FULL_BITS = 32.0  # of a weight that no quantizer has changed


@dataclass(frozen=True)
class VisionShape:
    """What an encoder (or a connector) gives out: `tokens` tokens, each `width` wide."""

    width: int
    tokens: int


@dataclass(frozen=True)
class DecoderShape:
    """The decoder a fusion is built for: its width D, its number of blocks and of attention heads."""

    width: int
    depth: int
    heads: int


@dataclass(frozen=True)
class Corpus:
    """The training text of an experiment, and the tokenizer saved with a trained model, if there is one.

    `trained` remembers by size of vocabulary the tokenizers that were trained on the text.
    """

    texts: Callable[[], Iterable[str]]
    tokenizer_file: Path | None = None
    trained: dict[int, Tokenizer] = field(default_factory=dict)


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


class Encoder(nn.Module):
    """Images to image tokens. Sets `shape` and `image_size` in its constructor.

    Factory: `Encoder(*, options)`. With `tiles` a large image is seen as a whole and in up to so many parts.
    """

    shape: VisionShape
    image_size: int
    tiles: int = 0

    @classmethod
    def files(cls, options: Mapping[str, Any]) -> Sequence[Path]:
        """The files that give it all its starting weights; none when the seed gives any. A changed one is noticed."""
        return ()

    def transform(self, image: Image.Image) -> Tensor:
        """An RGB image of any size -> the tensor [3,H,W] that `forward` takes, H = W = `image_size`."""
        raise NotImplementedError

    def views(self, image: Image.Image) -> Tensor:
        """An RGB image of any size -> its views [1,3,H,W]; with `tiles` [1 to 1 + tiles,3,H,W], the whole first."""
        return torch.stack([self.transform(each) for each in views_of(image, self.image_size, self.tiles)])

    def forward(self, images: Tensor) -> Tensor:
        """images [P,3,H,W] -> tokens [P,N,Dv]."""
        raise NotImplementedError

    def pool(self, images: Tensor) -> Tensor:
        """images [P,3,H,W] -> one vector an image [P,Dv], for contrastive training."""
        return self(images).mean(1)


class Connector(nn.Module):
    """Image tokens of the encoder to image tokens the fusion takes. Sets `shape` in its constructor.

    Factory: `Connector(vision: VisionShape, text_width: int, *, options)`.
    """

    shape: VisionShape

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [P,N,Dv] -> tokens [P,M,shape.width]."""
        raise NotImplementedError


class Fusion(nn.Module):
    """How a decoder gets to see the image. Every method's default changes nothing; override what you need.

    Factory: `Fusion(vision: VisionShape, decoder: DecoderShape, *, options)`.

    `reads_text = True` says that the image tokens are changed by the text (bidirectional fusion). Then each
    question is a row of its own, so that no question's text reaches another's answer through the image.
    Such a fusion may let the image look at `prompt` tokens only, or it would see the answer.
    """

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


class LanguageModel(nn.Module):
    """A causal decoder. Sets `tokenizer` and `shape`.

    Factory: `LanguageModel(corpus: Corpus, *, options)`.

    `blocks` and `attentions` must be properties: assigning a ModuleList would register its weights twice.
    A block's first argument and output (or first output) is hidden [R,S,D]; the same holds for attentions.
    """

    tokenizer: Tokenizer
    shape: DecoderShape
    context: int | None = None
    """The most tokens it can tell apart in one sequence; None where there is no such bound."""
    recomputing: Callable[[], tuple[AbstractContextManager, AbstractContextManager]]
    """Given by the model it becomes part of. A decoder that computes blocks again in the backward pass hands this to
    `torch.utils.checkpoint` as `context_fn`: fusions then see again what they saw."""

    @classmethod
    def files(cls, options: Mapping[str, Any]) -> Sequence[Path]:
        """The files that give it all its starting weights; none when the seed gives any. A changed one is noticed."""
        return ()

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

    def new_cache(self, rows: int, capacity: int) -> Any:
        """An empty KV cache for `rows` rows and at most `capacity` tokens each."""
        raise NotImplementedError

    def keep_rows(self, cache: Any, rows: Tensor) -> Any:
        """The cache of these rows [R'] alone: the others have answered all their questions.

        Override it for a cache without a `keep_rows` of its own.
        """
        return cache.keep_rows(rows)


class Adapter:
    """Changes which parameters of a trained model are tuned further. Factory: `Adapter(*, options)`."""

    def attach(self, model: nn.Module) -> list[nn.Parameter]:
        """Change `model` in place, without changing what it computes; returns the parameters that train.

        It leaves `requires_grad` alone: the phase decides what else trains.
        """
        raise NotImplementedError

    def merge(self, model: nn.Module) -> None:
        """Fold what was trained into the plain weights: names and shapes as before `attach`."""

    def unmerge(self, model: nn.Module) -> None:
        """Undo `merge`."""


class Quantizer:
    """Makes a trained model smaller. Factory: `Quantizer(*, options)`."""

    bits: float
    """Of a quantized weight; `FULL_BITS` where nothing is changed."""
    differentiable: bool = False
    """Whether gradients pass through its layers to what comes before them: a phase that is `quantized` needs that."""

    def quantize(self, model: nn.Module) -> None:
        """Change `model` in place. Narrow weights are buffers, so that the bytes counted are the true ones.

        The same weights and seed give the same bits again: weights of files are quantized anew where a model is built.
        A `QuantizedLinear` in place of each linear layer lets adapters work beside it.
        """
        raise NotImplementedError


class Dataset:
    """Questions about images. Factory: `Dataset(*, options)`."""

    most_broken: float = 0.0
    """The share of a split's images that may have a `fault`: they are left out; when there are more, nothing runs."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse, when a plugin is loaded, a method that nobody would call: it is another one since."""
        super().__init_subclass__(**options)
        for name in DATASET:
            if name in vars(cls) and DATASET[name] not in vars(cls):
                raise RenamedError(told(cls.__name__, name, DATASET))

    def examples(self, split: str, task: str) -> Sequence[Example]:
        """The examples of `split` (`train`, `test`, ...) for `task` (one of `tasks()`)."""
        raise NotImplementedError

    def splits(self) -> Sequence[str]:
        """The splits there are."""
        return ("train", "test")

    def tasks(self) -> Sequence[str]:
        """The tasks there are: `questions`, and `captions` where there are any."""
        return ("questions",)

    def image(self, key: str) -> Image.Image:
        """The RGB image of that key. On a GPU several threads may ask at once."""
        raise NotImplementedError

    def fault(self, key: str) -> str | None:
        """Why that image cannot be shown, with its path, or None; asked for every image before anything runs.

        Override it for images that may be missing or damaged; it should be quick.
        """
        return None

    def skipped(self, split: str, task: str) -> Mapping[str, str]:
        """The images that were left out, and why; only a dataset made of others has any to tell."""
        return {}

    def augment(self, image: Image.Image, random: random.Random) -> Image.Image:
        """A changed copy for training whose answers stay true. Called only when `augments` is True."""
        return image

    @property
    def augments(self) -> bool:
        """Whether `augment` changes anything with these options."""
        return False

    def fingerprint(self) -> str:
        """Changes when the data or what is made of it changes."""
        raise NotImplementedError


class Metric:
    """A score for each prediction; the metric is their mean. Factory: `Metric(*, options)`.

    A score of its own for every prediction is what makes intervals and paired tests possible. A metric of all answers
    together, which is no such mean (F1, BLEU, a perplexity), overrides `counts` and `summary` as well.
    """

    higher_is_better = True
    percent = False
    """Whether scores are shares 0..1, which reports show times 100."""

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        """One number a prediction, in the same order. It may depend on what else is asked, never on other answers."""
        raise NotImplementedError

    def counts(self, predictions: Sequence[Prediction]) -> list[tuple[float, ...]] | None:
        """C numbers a prediction that add up to what `summary` needs; None for a metric that is the mean of its scores.

        Adding up is what gives such a metric intervals: they are drawn over images, and each draw is a sum.
        """
        return None

    def summary(self, totals: numpy.ndarray) -> numpy.ndarray:
        """totals [..., C], sums of `counts` over many predictions -> the metric [...]; NaN where it has no value."""
        raise NotImplementedError

    def details(self, totals: numpy.ndarray) -> dict[str, numpy.ndarray]:
        """totals [..., C] -> further numbers [...] by name, on the metric's scale, that stand beside it in reports."""
        return {}
