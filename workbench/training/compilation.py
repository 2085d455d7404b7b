"""`torch.compile` around a phase: when it gives up, it says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from workbench.errors import UserError


@contextmanager
def compiling(wanted: bool, phase: str) -> Iterator[None]:
    """After some recompilations torch gives up and runs eager code without a word: inside, where it is `wanted`, that
    is a `UserError` which names the phase."""
    if not wanted:
        yield
        return
    import torch._dynamo.exc  # takes a second, which only a phase that compiles should pay

    try:
        with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
            yield
    except torch._dynamo.exc.FailOnRecompileLimitHit as error:
        raise UserError(
            f"torch.compile compiled the model of phase '{phase}' again and again, and gave up. Leave out its 'compile'"
        ) from error
