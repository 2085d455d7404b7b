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
        """The parameters that `targets` name, unchanged. One that has several names is named by all or by none."""
        named = dict(model.named_parameters(remove_duplicate=False))
        matching = {name for name in named if any(fnmatchcase(name, target) for target in self.targets)}
        chosen = {id(named[name]): named[name] for name in matching}
        for name, parameter in named.items():
            if id(parameter) in chosen and name not in matching:
                other = next(each for each in sorted(matching) if named[each] is parameter)
                raise UserError(
                    f"the targets {list(self.targets)} of the adapter 'full' name {other} and not {name}, which are one"
                    " weight: it trains as both or not at all, so name both, or neither"
                )
        if not chosen:
            raise UserError(
                f"no parameter matches targets {list(self.targets)} of the adapter 'full'."
                f" Write wildcards over names such as {', '.join(list(named)[:8])}"
            )
        return [each for each in model.parameters() if id(each) in chosen]


@hookimpl
def register_adapters(register):
    """Every weight trains, as the baseline of all adapters."""
    register("full", FullAdapter)
