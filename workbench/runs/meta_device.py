"""Building models without memory or weights, on torch's meta device, and without end on none.

An option that says how often something is repeated may be of any size, and a model without weights fits into no memory
either once it has too many parts. So parts are counted, and the time is limited in which nothing is built.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.overrides import TorchFunctionMode

from workbench.errors import UserError
from workbench.model.build import CompositionError

MOST_PARTS = 100_000  # modules and parameters; of a dense model of 400 billion weights there are 3,000
MOST_SECONDS = 20.0  # of computing: reading a large library takes some


def on_meta(make: Callable[[], Any], make_really: Callable[[], Any], asked: Mapping[str, object] | None = None) -> Any:
    """What `make` gives on the meta device. Code that looks at numbers cannot run there: it is run for real.
    `UserError` when there is no end to it, with the numbers among the options `asked`, one of which is to blame."""
    try:
        with without_numbers(), _limited(asked or {}):
            return make()
    except CompositionError as error:
        if isinstance(error.__cause__, UserError):
            raise
        return make_really()


@contextmanager
def _limited(asked: Mapping[str, object]) -> Iterator[None]:
    """The body makes no more parts, and computes no longer, than a model takes: `UserError` otherwise."""
    parts = 0

    def count(*_: object) -> None:
        nonlocal parts
        parts += 1
        if parts > MOST_PARTS:
            raise UserError(f"it has more than {MOST_PARTS:,} modules and parameters{_blame(asked)}")

    def stop(*_: object) -> None:
        raise UserError(f"it is not built after {MOST_SECONDS:g} seconds of computing{_blame(asked)}")

    hooks = register_module_module_registration_hook(count), register_module_parameter_registration_hook(count)
    try:
        with _alarm(stop):
            yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _alarm(stop: Callable[..., None]) -> Iterator[None]:
    """Interrupt the body by time, where signals come: in the main thread, unless somebody else set the timer."""
    mine = threading.current_thread() is threading.main_thread() and not any(signal.getitimer(signal.ITIMER_VIRTUAL))
    before = signal.signal(signal.SIGVTALRM, stop) if mine else None
    try:
        if mine:
            signal.setitimer(signal.ITIMER_VIRTUAL, MOST_SECONDS)
        yield
    finally:
        if mine:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, before)


def _blame(asked: Mapping[str, object]) -> str:
    """The options that may say how often something is repeated, the largest first."""
    numbers = {name: each for name, each in asked.items() if isinstance(each, int | float) and each > 1}
    largest = sorted(numbers, key=lambda name: numbers[name], reverse=True)
    told = ", ".join(f"{name}: {numbers[name]:g}" for name in largest)
    return f". Is one of its options too large ({told})?" if told else ""


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
