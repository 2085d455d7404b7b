"""What a plan tells of a model beside its size: weights that an adapter takes apart or cannot reach, and those that a
quantizer leaves as wide as they were."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import nn

from workbench.errors import first_of

WORTH_TELLING = 0.05  # of a model's weights
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Weight:
    """A parameter before anything was put on its model: its numbers, its bytes, and its number of axes where it is no
    convolution's."""

    numbers: int
    bytes: int
    axes: int


def weights_by_name(model: nn.Module) -> dict[str, Weight]:
    """The parameters of a model, shared ones once."""
    return {
        name: Weight(each.numel(), each.nbytes, 0 if _of_convolution(model, name) else each.ndim)
        for name, each in model.named_parameters()
    }


def separated_note(adapter: str, apart: Mapping[str, tuple[str, int]]) -> Iterator[str]:
    """What an adapter does to weights that were shared (`shared_weights.separated`)."""
    if apart:
        names = [f"{name} (of {other})" for name, (other, _) in apart.items()]
        more = sum(numbers for _, numbers in apart.values())
        yield (
            f"the adapter '{adapter}' changes one of the layers that share a weight: once merged, {first_of(names)} has"
            f" one of its own, which is {more:,} parameters more"
        )


def unreached_note(adapter: str, before: Mapping[str, Weight], model: nn.Module, trained: set[int]) -> Iterator[str]:
    """Stacks of weights, as of experts, that are no layers and stand in `model` as they did before the adapter."""
    own = dict(model.named_parameters())
    left = {
        name: before[name].numbers
        for name in before.keys() & own.keys()
        if before[name].axes > 2 and id(own[name]) not in trained
    }
    share = sum(left.values()) / max(1, sum(each.numbers for each in before.values()))
    if share >= WORTH_TELLING:
        yield (
            f"the adapter '{adapter}' changes linear layers, and {_patterns(left)} are stacks of weights that it does"
            f" not reach: {sum(left.values()):,} parameters ({share:.0%}) stay as they are"
        )


def unquantized_note(quantizer: str, before: Mapping[str, Weight], model: nn.Module) -> Iterator[str]:
    """Matrices that are still there as they were, where others were quantized."""
    own = dict(model.named_parameters())
    matrices = {name: each.bytes for name, each in before.items() if each.axes != 1}
    left = {name: size for name, size in matrices.items() if name in own and own[name].nbytes >= size}
    share = sum(left.values()) / max(1, sum(each.bytes for each in before.values()))
    if len(left) < len(matrices) and share >= WORTH_TELLING:
        yield (
            f"the quantizer '{quantizer}' leaves {sum(left.values()):,} bytes ({share:.0%} of the model's) as they are:"
            f" {_patterns(left)}"
        )


def _of_convolution(model: nn.Module, name: str) -> bool:
    return isinstance(model.get_submodule(name.rpartition(".")[0]), CONVOLUTIONS)


def _patterns(sizes: Mapping[str, int]) -> str:
    """The largest names, those of all blocks as one."""
    together: Counter[str] = Counter()
    for name, size in sizes.items():
        together[re.sub(r"\.\d+\.", ".*.", name)] += size
    return first_of([name for name, _ in together.most_common()])
