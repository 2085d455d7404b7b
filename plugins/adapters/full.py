"""Full fine-tuning: the parameters that are there are the ones that train."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import Field
from torch import nn

from workbench import Adapter, UserError, hookimpl


class FullAdapter(Adapter):
    """Full fine-tuning, the yardstick of every adapter: adds nothing and trains the weights themselves."""

    def __init__(
        self,
        *,
        targets: Annotated[
            tuple[str, ...], Field(description="wildcards over names of parameters: those that train")
        ] = ("language_model.*",),
    ):
        self.targets = targets

    def attach(self, model: nn.Module) -> list[nn.Parameter]:
        """The parameters that `targets` name, unchanged."""
        named = dict(model.named_parameters())
        chosen = [each for name, each in named.items() if any(fnmatchcase(name, target) for target in self.targets)]
        if not chosen:
            raise UserError(
                f"no parameter matches targets {list(self.targets)} of the adapter 'full'."
                f" Write wildcards over names such as {', '.join(list(named)[:8])}"
            )
        return chosen


@hookimpl
def register_adapters(register):
    """Every weight trains, as the baseline of all adapters."""
    register("full", FullAdapter)
