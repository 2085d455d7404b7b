"""A trained model made ready to answer: the weights of its linear layers cast once, and laid out for few rows.

Under autocast a layer whose weights do not train casts them again at every call. And with a weight as it is stored, a
CPU multiplies one row, or a few, at a third of the speed at which it can read the weight: answering token by token,
that is most of the time. Layers that read the same rows are multiplied as one, which the memory gives out faster than
several small ones. The numbers stay those of autocast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from workbench.devices.capabilities import multiplies, packs
from workbench.layers.huge_pages import HugePages
from workbench.layers.linear import Joinable

USUAL_ROWS = 16  # the packed layout for so many rows is good for one and for hundreds as well


@contextmanager
def ready_to_answer(model: nn.Module) -> Iterator[None]:
    """Inside, the plain linear layers of `model` use copies of their weights: do not change weights meanwhile.

    The copies have the type of the surrounding autocast, or the weights' own.
    """
    room = HugePages()
    plain = [
        each for each in model.modules() if isinstance(each, nn.Linear) and type(each).forward is nn.Linear.forward
    ]
    prepared = [prepare(each, room) for each in plain]
    groups = [group for each in model.modules() if isinstance(each, SideBySide) for group in _groups(each)]
    for group in groups:
        group[0].joined = Joined(group)
    try:
        yield
    finally:
        for group in groups:
            del group[0].joined
        for each in prepared:
            restore(each)


def _groups(module: SideBySide) -> Iterator[list[Any]]:
    """The layers of a module that can be joined: all of one class with a `joined_with`, unhooked, not joined yet."""
    for names in module.beside:
        group: list[Any] = [module.get_submodule(name) for name in names]
        [kind, *others] = {type(each) for each in group}
        if (
            not others
            and issubclass(kind, Joinable)
            and kind.joined_with is not Joinable.joined_with
            and group[0].joined is None
            and len({each.bias is None for each in group}) == 1
            and not any(each._forward_hooks or each._forward_pre_hooks for each in group)
        ):
            yield group


class Joined:
    """Several layers of the same inputs as one, made when it is first needed."""

    def __init__(self, layers: Sequence[Any]):
        self.layers = layers
        self.widths = [each.out_features for each in layers]

    def __call__(self, hidden: Tensor) -> Sequence[Tensor]:
        """hidden [..., I] -> what each layer makes of it [..., O]."""
        return self.product(hidden).split(self.widths, dim=-1)

    @cached_property
    def product(self) -> Callable[[Tensor], Tensor]:
        """hidden [..., I] -> the same, one behind the other [..., all O]."""
        first, *others = self.layers
        return first.joined_with(others)


class PreparedLinear(Joinable, nn.Linear):
    """What a plain linear layer is while its model answers: the same module, with the same weight, bias and hooks."""

    plain: ClassVar[type[nn.Linear]]
    """The class that it is otherwise."""
    ready: ReadyLinear

    def forward(self, input: Tensor) -> Tensor:
        """input [..., I] -> [..., O]."""
        return self.ready.multiply(input)

    def joined_with(self, others: Sequence[PreparedLinear]) -> Callable[[Tensor], Tensor]:
        """One product with all their weights."""
        layers = [self, *others]
        bias = None if self.bias is None else torch.cat([each.bias for each in layers])
        return ReadyLinear(torch.cat([each.weight for each in layers]), bias, self.ready.room).multiply


def prepare(layer: nn.Linear, room: HugePages) -> PreparedLinear:
    """Make a layer a `PreparedLinear`: by another class, as torch's own `parametrize` does it, so that who holds the
    layer, or asks what it is, finds it unchanged, and a call costs no more."""
    layer.__class__ = _prepared(type(layer))
    prepared = cast(PreparedLinear, layer)
    prepared.ready = ReadyLinear(layer.weight, layer.bias, room)
    return prepared


def restore(layer: PreparedLinear) -> None:
    """Make it again the plain layer that it was."""
    del layer.ready
    cast(nn.Linear, layer).__class__ = layer.plain


@cache
def _prepared(kind: type[nn.Linear]) -> type[PreparedLinear]:
    """A class of linear layers as it is while a model answers."""
    return type(f"Prepared{kind.__name__}", (PreparedLinear, kind), {"plain": kind})


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
        self.rounds = self.multiplied != self.type
        self.has_one_row = self.on_cpu and self.multiplied == torch.float32
        self.given = weight.detach()
        self.bias = None if bias is None else bias.detach().to(self.type).to(self.multiplied)
        self.packs = self.on_cpu and packs(self.multiplied)

    def multiply(self, hidden: Tensor) -> Tensor:
        """hidden [..., I] -> [..., O]."""
        hidden = hidden.to(self.type)
        if self.rounds:
            with torch.autocast("cpu", enabled=False):
                return self._product(hidden.to(self.multiplied)).to(self.type)
        return self._product(hidden)

    def _product(self, hidden: Tensor) -> Tensor:
        if self.has_one_row and hidden.numel() == hidden.shape[-1]:
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


class SideBySide(nn.Module):
    """A module some of whose layers read the same rows, as queries, keys and values do.

    It asks `beside` for what these make: a model that is ready to answer does it as one product.
    """

    beside: ClassVar[Sequence[Sequence[str]]]
    """The names of such layers, a sequence for each group of them; there is no default, so that none is forgotten."""


def beside(hidden: Tensor, *layers: nn.Module) -> Sequence[Tensor]:
    """What each of several layers makes of the same hidden [..., I]. A model that is ready to answer does it as one
    product, when the module that has the layers is `SideBySide` and lists them."""
    first = layers[0]
    if isinstance(first, Joinable) and first.joined is not None:
        return first.joined(hidden)
    return [layer(hidden) for layer in layers]


def beside_as_one(hidden: Tensor, *layers: nn.Module) -> Tensor | None:
    """The same, one behind the other [..., all O], where the model is ready to answer; else None, as it would cost."""
    first = layers[0]
    return first.joined.product(hidden) if isinstance(first, Joinable) and first.joined is not None else None
