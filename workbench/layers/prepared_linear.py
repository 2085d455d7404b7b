"""A trained model made ready to answer: the weights of its linear layers cast once, and laid out for few rows.

Under autocast a layer whose weights do not train casts them again at every call. And with a weight as it is stored, a
CPU multiplies one row, or a few, at a third of the speed at which it can read the weight: answering token by token,
that is most of the time. Layers that read the same rows are multiplied as one, which the memory gives out faster than
several small ones. The numbers stay those of autocast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from workbench.devices.capabilities import multiplies, packs
from workbench.layers.huge_pages import HugePages

JOINED = "joined"  # what `ready_to_answer` hangs on the first of several layers for `beside`

USUAL_ROWS = 16  # the packed layout for so many rows is good for one and for hundreds as well


@contextmanager
def ready_to_answer(model: nn.Module) -> Iterator[None]:
    """Inside, the plain linear layers of `model` use copies of their weights: do not change weights meanwhile.

    The copies have the type of the surrounding autocast, or the weights' own.
    """
    layers = [
        each for each in model.modules() if isinstance(each, nn.Linear) and type(each).forward is nn.Linear.forward
    ]
    groups = [group for each in model.modules() for group in _groups(each)]
    room = HugePages()
    for layer in layers:
        vars(layer)["forward"] = ReadyLinear(layer.weight, layer.bias, room)
    for group in groups:
        vars(group[0])[JOINED] = Joined(group, room)
    try:
        yield
    finally:
        for layer in layers:
            del vars(layer)["forward"]  # what its class does shows again
        for group in groups:
            del vars(group[0])[JOINED]


def _groups(module: nn.Module) -> Iterator[list[Any]]:
    """The layers of a module that can be joined: all plain, or all of a kind with a `joined_with`, and unhooked."""
    for names in getattr(module, "beside", ()):
        group = [getattr(module, name) for name in names]
        kinds = {type(each) for each in group}
        joins = len(kinds) == 1 and (kinds == {nn.Linear} or hasattr(group[0], "joined_with"))
        if (
            joins
            and len({each.bias is None for each in group}) == 1
            and not any(each._forward_hooks or each._forward_pre_hooks for each in group)
        ):
            yield group


class Joined:
    """Several layers of the same inputs as one, made when it is first needed."""

    def __init__(self, layers: Sequence[Any], room: HugePages):
        self.layers = layers
        self.room = room
        self.widths = [each.out_features for each in layers]

    def __call__(self, hidden: Tensor) -> Sequence[Tensor]:
        """hidden [..., I] -> what each layer makes of it [..., O]."""
        return self.product(hidden).split(self.widths, dim=-1)

    @cached_property
    def product(self) -> Callable[[Tensor], Tensor]:
        """hidden [..., I] -> the same, one behind the other [..., all O]."""
        first, *others = self.layers
        if hasattr(first, "joined_with"):
            return first.joined_with(others)
        bias = None if first.bias is None else torch.cat([each.bias for each in self.layers])
        return ReadyLinear(torch.cat([each.weight for each in self.layers]), bias, self.room)


class ReadyLinear:
    """The forward pass of a linear layer on copies of its weight [O,I], each made when it is first needed.

    A type that a CPU does not multiply is rounded to, and multiplied in fp32: the same numbers, many times sooner.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, room: HugePages):
        self.room = room
        kind = weight.device.type
        self.type = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
        self.on_cpu = kind == "cpu"
        self.multiplied = torch.float32 if self.on_cpu and not multiplies(kind, self.type) else self.type
        self.given = weight.detach()
        self.bias = None if bias is None else bias.detach().to(self.type).to(self.multiplied)
        self.packs = self.on_cpu and packs(self.multiplied)

    def __call__(self, hidden: Tensor) -> Tensor:
        """hidden [..., I] -> [..., O]."""
        hidden = hidden.to(self.type)
        if self.multiplied == self.type:
            return self._product(hidden)
        with torch.autocast("cpu", enabled=False):
            return self._product(hidden.to(self.multiplied)).to(self.type)

    def _product(self, hidden: Tensor) -> Tensor:
        if self.on_cpu and self.multiplied == torch.float32 and hidden.numel() == hidden.shape[-1]:
            return functional.linear(hidden, self.for_one_row, self.bias)
        if self.packs:
            return torch.ops.mkldnn._linear_pointwise(hidden, self.blocks, self.bias, "none", [], "")
        return functional.linear(hidden, self.weight, self.bias)

    @cached_property
    def weight(self) -> Tensor:
        """The weight in the type of the products."""
        return self.given.to(self.type).to(self.multiplied)

    @cached_property
    def for_one_row(self) -> Tensor:
        """The weight with the numbers of its longer side next to each other: more outputs than inputs are columns added
        up, more inputs are products summed up."""
        outputs, inputs = self.weight.shape
        return self.room.copy(self.weight.t()).t() if outputs >= inputs else self.room.copy(self.weight)

    @cached_property
    def blocks(self) -> Tensor:
        """The weight as oneDNN's kernels read it (https://uxlfoundation.github.io/oneDNN/)."""
        return torch.ops.mkldnn._reorder_linear_weight(self.given.to(self.type).to(self.multiplied), USUAL_ROWS)


def beside(hidden: Tensor, *layers: nn.Module) -> Sequence[Tensor]:
    """What each of several layers makes of the same hidden [..., I]. A model that is ready to answer does it as one
    product, when the module that has the layers lists their names in `beside`."""
    joined = vars(layers[0]).get(JOINED)
    return joined(hidden) if joined else [layer(hidden) for layer in layers]


def beside_as_one(hidden: Tensor, *layers: nn.Module) -> Tensor | None:
    """The same, one behind the other [..., all O], where the model is ready to answer; else None, as it would cost."""
    joined = vars(layers[0]).get(JOINED)
    return joined.product(hidden) if joined else None
