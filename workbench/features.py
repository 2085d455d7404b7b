"""Image tokens of a frozen encoder, computed once and kept on disk for every stage that looks at the same pictures.

A grid over fusions, adapters or seeds then pays for its encoder once. The pictures are cut into parts of a fixed size,
each a stage of its own, so that several workers share the pass and the numbers do not depend on how many there are.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from workbench.contracts import Dataset, Encoder
from workbench.passes import share_of
from workbench.precision import autocast, dtype_of

if TYPE_CHECKING:
    from workbench.pictures import Pictures

BATCH = 32  # pictures the encoder sees at once
PARTS, SMALLEST, LARGEST = 16, 64, 2048  # parts of a whole, and pictures in one


@dataclass(frozen=True)
class Look:
    """Which pictures a stage looks at, and in which precision: a `share` of those of `tasks`, the first `limit`."""

    split: str
    tasks: tuple[str, ...]
    limit: int | None
    precision: str
    share: float = 1.0

    def pictures(self, dataset: Dataset) -> tuple[str, ...]:
        """The keys of the pictures, in the order of the dataset."""
        keys = dict.fromkeys(each.picture for task in self.tasks for each in dataset.examples(self.split, task))
        return tuple(share_of(keys, self.share))[: self.limit]


def parts_of(count: int) -> list[tuple[int, int]]:
    """The parts of `count` pictures, as (first, behind the last)."""
    size = min(max(math.ceil(count / PARTS), SMALLEST), LARGEST)
    size = math.ceil(size / BATCH) * BATCH
    return [(start, min(start + size, count)) for start in range(0, count, size)]


def encode(encoder: Encoder, images: Tensor, precision: str) -> Tensor:
    """images [P,3,H,W] -> tokens [P,N,Dv] of an encoder that does not train, in the type of the precision.

    Kept and recomputed tokens both come from here, so they are the same.
    """
    with torch.no_grad(), autocast(images.device, precision):
        return encoder(images).to(dtype_of(precision))


def encode_all(
    encoder: Encoder,
    pictures: Pictures,
    keys: Sequence[str],
    precision: str,
    device: torch.device,
    on_progress: Callable[[int, int], None],
) -> Tensor:
    """The tokens [P,N,Dv] of these pictures, on the CPU."""
    encoder.eval()
    found = []
    for start in range(0, len(keys), BATCH):
        chosen = keys[start : start + BATCH]
        found.append(encode(encoder, pictures.once(chosen).to(device), precision).cpu())
        on_progress(start + len(chosen), len(keys))
    return torch.cat(found)


def fingerprint(encoder: Encoder) -> str:
    """Of all weights, wherever they lie."""
    found = hashlib.sha256()
    for name, weight in sorted(encoder.state_dict().items()):
        found.update(name.encode())
        found.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return found.hexdigest()[:16]


class Features:
    """Kept tokens by picture. `parts` are mappings from pictures to rows, and the rows [P,N,Dv] themselves, which may
    lie in a memory-mapped file: only what is asked for is read."""

    def __init__(self, parts: Iterable[tuple[Sequence[str], Tensor]]):
        self._rows: dict[str, Tensor] = {}
        for keys, tokens in parts:
            self._rows |= zip(keys, tokens.unbind(0), strict=True)

    def tokens(self, keys: Sequence[str], device: torch.device) -> Tensor:
        """The tokens [P,N,Dv] of these pictures."""
        return torch.stack([self._rows[key] for key in keys]).to(device)
