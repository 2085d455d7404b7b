"""Building models without memory or weights, on torch's meta device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from workbench.errors import UserError
from workbench.model.build import CompositionError


def on_meta(make: Callable[[], Any], make_really: Callable[[], Any]) -> Any:
    """What `make` gives on the meta device. Code that looks at numbers cannot run there: it is run for real."""
    try:
        with without_numbers():
            return make()
    except CompositionError as error:
        if isinstance(error.__cause__, UserError):
            raise
        return make_really()


@contextmanager
def without_numbers() -> Iterator[None]:
    """In the body, tensors are made on the meta device, and nothing is drawn."""
    with torch.device("meta"), _NoDraws():
        yield


class _NoDraws(TorchFunctionMode):
    """Starting weights that have no numbers need none drawn; drawing on the meta device would load torch's compiler."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Pass every call on but those that draw."""
        name, named = getattr(func, "__name__", ""), kwargs or {}
        if name in ("normal_", "uniform_", "trunc_normal_", "kaiming_uniform_", "xavier_uniform_"):
            return args[0] if args else named["tensor"]  # as the functions of nn.init hand it over
        if name in ("randn", "rand"):
            return torch.empty(*args, **named)
        return func(*args, **named)
