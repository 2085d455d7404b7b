"""Counts the floating-point operations of code that runs on real tensors, or on shapes without numbers.

A shape says nothing of how many answer tokens a batch has, or where an image stands in a text. So ids, places and masks
keep their numbers, on the CPU, and only weights and what is made of them are shapes on torch's meta device: where the
two meet, what has numbers becomes a shape too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from workbench.layers.tensors import all_tensors

META = "meta"
aten = torch.ops.aten
INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._unsafe_index.Tensor}


def flops_of(run: Callable[[], Any]) -> int:
    """The FLOPs of the matrix products, convolutions and attention in `run`, its backward passes included: two for each
    multiplication with its addition. All else (norms, activations, embeddings, an optimizer) is left out, as usual.

    Never around a real training or evaluation: a counter takes operations apart, which may change their last bits.
    """
    with FlopCounterMode(display=False, custom_mapping=ON_A_CPU) as counter, ShapesMeetNumbers(), _no_autocast():
        run()
    return counter.get_total_flops()


class ShapesMeetNumbers(TorchDispatchMode):
    """What is given to an operation beside a tensor without numbers loses its own."""

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Do the operation on shapes where one of its tensors is a shape."""
        named = kwargs or {}
        if not _has_a_shape((args, named)):
            return func(*args, **named)
        if func in INDEXED:
            # How many there are is known as long as a mask has numbers.
            args = (args[0], [place for each in args[1] for place in _places(each)], *args[2:])
        return func(*all_tensors(args, _shape), **all_tensors(named, _shape))


@contextmanager
def _no_autocast() -> Iterator[None]:
    """Code may ask for, or switch off, an autocast of its tensors' device. The meta device has none, and torch raises
    an error where it is named."""
    usual, is_enabled = torch.autocast, torch.is_autocast_enabled

    def autocast(device_type: str, *arguments: Any, **options: Any) -> AbstractContextManager:
        return nullcontext() if device_type == META else usual(device_type, *arguments, **options)

    def is_autocast_enabled(*device_type: str) -> bool:
        return device_type != (META,) and is_enabled(*device_type)

    torch.autocast, torch.is_autocast_enabled = autocast, is_autocast_enabled  # pyright: ignore
    try:
        yield
    finally:
        torch.autocast, torch.is_autocast_enabled = usual, is_enabled


def _has_a_shape(value: Any) -> bool:
    """Whether a tensor in a nest of tuples, lists and dicts has no numbers."""
    if isinstance(value, Tensor):
        return value.is_meta
    if isinstance(value, dict):
        return any(map(_has_a_shape, value.values()))
    return isinstance(value, tuple | list) and any(map(_has_a_shape, value))


def _shape(tensor: Tensor) -> Tensor:
    return tensor if tensor.is_meta else tensor.to(META)


def _places(index: Tensor | None) -> list[Tensor | None]:
    """A mask as the places where it holds, one tensor for each of its dimensions."""
    if index is None or index.dtype != torch.bool or index.is_meta:
        return [index]
    return list(index.nonzero().unbind(1))


def _attention(queries: Any, keys: Any, values: Any, *_: Any, **__: Any) -> int:
    """The two products of attention, each query with each key, whatever a mask hides."""
    return sdpa_flop_count(queries, keys, values)


def _attention_backward(_: Any, queries: Any, keys: Any, values: Any, *__: Any, **___: Any) -> int:
    """A gradient for both factors of each product; weights that the kernel makes a second time are not counted."""
    return 2 * sdpa_flop_count(queries, keys, values)


# The counter of torch knows the kernels of GPUs alone.
ON_A_CPU = {
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
