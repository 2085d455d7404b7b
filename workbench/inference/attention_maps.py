"""Where a model looks while it writes each word of its answer, as a map over the image.

What counts is the attention of the text to the image tokens: of the decoder's own attention where image tokens stand
in the sequence, and of the fusion's where it looks at the image itself; the mean over all heads and blocks. A word's
weights are those of the tokens that wrote it: the places whose next token it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from workbench.contracts.fusion import Fusion
from workbench.data.collator import Batch
from workbench.errors import UserError
from workbench.inference.attention_recorder import Recorder
from workbench.inference.pipeline import Pipeline
from workbench.model.generation import generate
from workbench.model.vision_language_model import VisionLanguageModel

DECODER, FUSION, CONNECTOR = "decoder", "fusion", "connector"


@dataclass(frozen=True)
class WordMaps:
    """The words of an answer, the map of each [W,G,PG] (each sums to 1) over P views side by side, and the share of the
    word's attention that is on the images [W]: 1 where the fusion looks at nothing else."""

    words: tuple[str, ...]
    maps: Tensor
    shares: Tensor

    @property
    def answer(self) -> str:
        """The answer whose words these are, parted by spaces."""
        return " ".join(self.words)


def word_maps(
    pipeline: Pipeline, images: Sequence[Image.Image], question: str, max_new_tokens: int | None = None
) -> WordMaps:
    """Answer the question, and look at what each word of the answer looked at."""
    model = pipeline.model
    with pipeline.predictor.ready():
        tokens, prompt = pipeline.read(images, [question])
        with Recorder(CONNECTOR) as recorder:
            vision = model.see_tokens(tokens, prompt.views)
        [[ids]] = generate(model, vision, prompt, pipeline.length(max_new_tokens))
        if not ids:
            raise UserError(f"the answer to '{question}' is empty: there is no word to show a map of")
        batch, writing = with_answer(prompt, ids)
        views, count = len(tokens), model.connector.shape.tokens
        weights = image_weights(model, vision, batch, views * count)[writing].unflatten(1, (views, count))  # [A,P,M]
    weights = _to_encoder(weights, recorder.weights.get(CONNECTOR, []), tokens.shape[1]).cpu()
    words, owners = words_of(ids, pipeline)
    by_word = torch.stack([weights[[each == word for each in owners]].mean(0) for word in range(len(words))])
    shares = by_word.sum((1, 2))
    maps = on_grid(by_word / shares.clamp(min=1e-12)[:, None, None])
    return WordMaps(words, maps.transpose(1, 2).flatten(2), shares)


def image_weights(model: VisionLanguageModel, vision: Any, batch: Batch, tokens: int) -> Tensor:
    """How much each text token of a batch of one row looks at each image token [T,M], mean over heads and blocks.

    batch: prompt and answer; `vision` as `model.see` gives it; tokens: M, those of all views together.
    """
    count = batch.ids.shape[1]
    with Recorder(DECODER) as recorder:
        inputs, seen = model.fuse(vision, _distinct(batch, tokens))
        seen.watch = recorder.calling(FUSION)
        model.hidden_of(inputs, seen)
    length = inputs.segments.shape[1]
    looks = [_by_place(each, length) for each in recorder.weights.get(FUSION, []) if _is_of(each, length, tokens)]
    if type(model.fusion).fuse_inputs is not Fusion.fuse_inputs and int(inputs.image.sum()) == tokens:
        own = [each for each in recorder.weights.get(DECODER, []) if _is_of(each, length, length)]
        looks += [_by_place(each, length)[..., inputs.image[0]] for each in own]
    if not looks:
        raise UserError(
            "no attention to image tokens was seen: a fusion of your own has to look at them through workbench.attend"
            " or torch's scaled_dot_product_attention (docs/plugins.md)"
        )
    return torch.stack(looks).mean(0)[0][inputs.text_at[0, :count]]


def with_answer(prompt: Batch, ids: Sequence[int]) -> tuple[Batch, Tensor]:
    """A batch of one question with its answer behind it, and the places [A] at which each of its tokens was written."""
    start, count = prompt.ids.shape[1], len(ids)
    more = torch.arange(1, count + 1, device=prompt.ids.device)[None]
    batch = replace(
        prompt,
        ids=torch.cat([prompt.ids, torch.tensor([list(ids)], device=prompt.ids.device)], dim=1),
        positions=torch.cat([prompt.positions, prompt.positions[:, -1:] + more], dim=1),
        segments=torch.cat([prompt.segments, prompt.segments[:, -1:].expand(1, count)], dim=1),
        labels=functional.pad(prompt.labels, (0, count), value=-100),
        prompt=functional.pad(prompt.prompt, (0, count), value=False),
    )
    return batch, torch.arange(start - 1, start + count - 1, device=prompt.ids.device)


def words_of(ids: Sequence[int], pipeline: Pipeline) -> tuple[tuple[str, ...], list[int]]:
    """The words of an answer, and to which of them each of its tokens belongs."""
    decode = pipeline.model.language_model.tokenizer.decode
    words = decode(ids).split() or [decode(ids)]
    counts = [len(decode(ids[: end + 1]).split()) for end in range(len(ids))]
    return tuple(words), [min(max(count - 1, 0), len(words) - 1) for count in counts]


def on_grid(weights: Tensor) -> Tensor:
    """weights [W,P,N] of patches in rows from the left above, a class token before them or not -> [W,P,G,G]."""
    side = math.isqrt(weights.shape[2])
    if side * side + 1 == weights.shape[2]:  # what a class token says has no place
        weights = weights[..., 1:] / weights[..., 1:].sum((1, 2), keepdim=True).clamp(min=1e-12)
    elif side * side != weights.shape[2]:
        raise UserError(
            f"{weights.shape[2]} image tokens are no square of patches, so where in the image they lie is not known"
        )
    return weights.unflatten(2, (side, side))


def _to_encoder(weights: Tensor, looks: Sequence[Tensor], tokens: int) -> Tensor:
    """weights [A,P,M] of the connector's tokens -> of the encoder's [A,P,N], where the connector has looked at these.

    A connector's queries may look at themselves as well: behind the image, as in a perceiver.
    """
    if not looks:
        return weights
    count = weights.shape[2]
    own = [each[..., :tokens] for each in looks if each.shape[-2:] in ((count, tokens), (count, tokens + count))]
    if not own:
        raise UserError("the connector mixes the image's patches in a way that is not known: there is no map")
    seen = torch.stack(own).mean(0)  # [P,M,N]
    return torch.einsum("apm,pmn->apn", weights, seen / seen.sum(2, keepdim=True).clamp(min=1e-12))


def _distinct(batch: Batch, tokens: int) -> Batch:
    """With padding behind the text where it is as long as the image: who looks at whom is told by these lengths."""
    if batch.ids.shape[1] != tokens:
        return batch
    fills = {"ids": 0, "positions": 0, "segments": -1, "labels": -100, "prompt": False}
    return replace(
        batch, **{name: functional.pad(getattr(batch, name), (0, 1), value=fill) for name, fill in fills.items()}
    )


def _is_of(weights: Tensor, length: int, keys: int) -> bool:
    """Whether `length` places look at `keys` tokens; several heads that share keys stand one after the other."""
    return weights.shape[-1] == keys and weights.shape[-2] % length == 0


def _by_place(weights: Tensor, length: int) -> Tensor:
    """weights [R,H S,K] of heads that share keys -> their mean [R,S,K]."""
    return weights.unflatten(1, (-1, length)).mean(1)
