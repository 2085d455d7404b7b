"""Image tokens of a frozen encoder, computed once and kept on disk for every stage that looks at the same images.

A grid over fusions, adapters or seeds then pays for its encoder once. The images are cut into parts of a fixed size,
each a stage of its own, so that several workers share the pass and the numbers do not depend on how many there are.

The last bits of a product may depend on how many rows it has. So an image is always encoded together with the same
others, in the order of the dataset, whether its tokens are then kept or not: the numbers are the same to the last bit.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from workbench.config.phase import Evaluation, Phase
from workbench.contracts.dataset import Dataset
from workbench.contracts.encoder import Encoder, VisionShape
from workbench.contracts.example import is_image
from workbench.data.image_views import distinct
from workbench.data.sampler import limited, share_of
from workbench.devices.precision import autocast, dtype_of

if TYPE_CHECKING:
    from workbench.data.image_loader import ImageLoader

BATCH = 32  # images the encoder sees at once
PARTS, SMALLEST, LARGEST = 16, 256, 2048  # parts of a whole, and images in one
MEMORY_BUDGET = 2 * 1024**3  # bytes of remembered tokens


@dataclass(frozen=True)
class NeededFeatures:
    """Which images a stage looks at, and in which precision: a `share` of those of `tasks`, `limit` sets at most."""

    split: str
    tasks: tuple[str, ...]
    limit: int | None
    precision: str
    share: float = 1.0

    def images(self, dataset: Dataset) -> tuple[str, ...]:
        """The keys of the images, in the order of the dataset."""
        sets = dict.fromkeys(each.row for task in self.tasks for each in dataset.examples(self.split, task))
        return tuple(distinct(limited(share_of(sets, self.share), self.limit)))


def needed_by_phase(phase: Phase) -> NeededFeatures:
    """What a phase needs: the training images of its tasks, or its share of them, in its own precision."""
    return NeededFeatures("train", tuple(sorted(phase.tasks)), None, phase.precision, phase.data_share)


def needed_by_evaluation(evaluation: Evaluation) -> NeededFeatures:
    """What an evaluation needs: the images it asks about, whatever their controls show."""
    return NeededFeatures(evaluation.split, (evaluation.task,), evaluation.limit, evaluation.precision)


def passes_of(phase: Phase, images: int) -> float:
    """How many times a phase looks at each of so many images; below 1 it does not look at all of them."""
    return (phase.epochs or 0) if phase.steps is None else phase.steps * phase.batch / images


def parts_of(count: int) -> list[tuple[int, int]]:
    """The parts of `count` images, as (first, behind the last)."""
    size = min(max(math.ceil(count / PARTS), SMALLEST), LARGEST)
    size = math.ceil(size / BATCH) * BATCH
    return [(start, min(start + size, count)) for start in range(0, count, size)]


def encode(encoder: Encoder, images: Tensor, precision: str) -> Tensor:
    """images [P,3,H,W] -> tokens [P,N,Dv] of an encoder that does not train, in the type of the precision.

    Kept and recomputed tokens both come from here, so they are the same.
    """
    with torch.no_grad(), autocast(images.device, precision):
        return encoder(images).to(dtype_of(precision))


def encode_views(encoder: Encoder, images: Sequence[Tensor], precision: str, device: torch.device) -> list[Tensor]:
    """The views [views,3,H,W] of each image -> their tokens [views,N,Dv], of all images at once."""
    tokens = encode(encoder, torch.cat(list(images)).to(device), precision)
    return list(tokens.split([len(each) for each in images]))


def encode_all(
    encoder: Encoder,
    images: ImageLoader,
    keys: Sequence[str],
    precision: str,
    device: torch.device,
    on_progress: Callable[[int, int], None],
) -> tuple[list[str], Tensor]:
    """The tokens [P,N,Dv] of the views of these images, on the CPU, and to which image each belongs."""
    encoder.eval()
    owners, found = [], []
    for start in range(0, len(keys), BATCH):
        chosen = keys[start : start + BATCH]
        views = images.once(chosen)
        owners += [key for key, each in zip(chosen, views, strict=True) for _ in each]
        found.append(encode(encoder, torch.cat(views).to(device), precision).cpu())
        on_progress(start + len(chosen), len(keys))
    return owners, torch.cat(found)


def bytes_of(shape: VisionShape, tiles: int, precision: str) -> int:
    """What the tokens of an image with so many tiles take at most."""
    return (1 + tiles) * shape.tokens * shape.width * dtype_of(precision).itemsize


def fingerprint(encoder: Encoder) -> str:
    """A hash of all weights, whatever device they lie on: encoders that are equal to the bit have the same."""
    found = hashlib.sha256()
    for name, weight in sorted(encoder.state_dict().items()):
        found.update(name.encode())
        found.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return found.hexdigest()[:16]


class Features:
    """Kept tokens by image. `parts` are the images of views, those of one behind each other, and the views' tokens
    [P,N,Dv], which may lie in a memory-mapped file: only what is asked for is read."""

    def __init__(self, parts: Iterable[tuple[Sequence[str], Tensor]]):
        self._tokens: dict[str, Tensor] = {}
        for owners, tokens in parts:
            counts = Counter(owners)
            self._tokens |= zip(counts, tokens.split(list(counts.values())), strict=True)

    def tokens(self, keys: Sequence[str]) -> list[Tensor]:
        """The tokens [views,N,Dv] of each of these images, on the CPU; of no image, tokens that nobody sees."""
        return [self._tokens[key] if is_image(key) else self._unseen() for key in keys]

    def _unseen(self) -> Tensor:
        return torch.zeros_like(next(iter(self._tokens.values()))[:1])


class FrozenTokens:
    """The tokens of an encoder that does not change and always sees the same images: kept ones if there are any, or
    computed once an image. What would take too much memory is computed again whenever it is asked for.

    `order` are all images that may be asked for, in the order of the dataset. When `some` of them may never be, those
    are encoded together that are new and asked for together; after a resume, again the same ones.
    """

    def __init__(
        self,
        encoder: Encoder,
        images: ImageLoader,
        precision: str,
        device: torch.device,
        kept: Features | None,
        order: Sequence[str],
        some: bool = False,
        budget: int = MEMORY_BUDGET,
    ):
        self.encoder, self.images = encoder, images
        self.precision, self.device = precision, device
        self.kept = kept
        self.remembers = len(order) * bytes_of(encoder.shape, encoder.tiles, precision) <= budget
        self._tokens: dict[str, Tensor] = {}
        self._together: dict[str, list[str]] = {}
        self.restore([] if some else [list(order[start : start + BATCH]) for start in range(0, len(order), BATCH)])

    def of(self, keys: Sequence[str]) -> list[Tensor]:
        """The tokens [views,N,Dv] of each of these images; kept ones are on the CPU."""
        if self.kept is not None:
            return self.kept.tokens(keys)
        if not self.remembers:
            return encode_views(self.encoder, self.images.plain(keys), self.precision, self.device)
        self.note(keys)
        for key in keys:
            if key not in self._tokens:
                self._encode(self._together[key])
        return [self._tokens[key] for key in keys]

    def note(self, keys: Sequence[str]) -> None:
        """These images are asked for, here or by another rank: those among them that are new belong together."""
        new = list(dict.fromkeys(key for key in keys if key not in self._together))
        self._together |= dict.fromkeys(new, new)

    def state(self) -> list[list[str]]:
        """The images that are encoded together, group by group: what a resume hands to `restore`."""
        return list({id(group): group for group in self._together.values()}.values())

    def restore(self, groups: list[list[str]]) -> None:
        """Encode the images of each group together as soon as one is asked for."""
        self._together = {key: group for group in groups for key in group}

    def _encode(self, keys: list[str]) -> None:
        tokens = encode_views(self.encoder, self.images.once(keys), self.precision, self.device)
        self._tokens.update(zip(keys, tokens, strict=True))
