"""Which layers a quantizer changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from workbench import UserError, is_conv1d, is_plain_linear

Include = Annotated[
    tuple[str, ...], Field(description="wildcards over names of layers, such as encoder.*: those that are quantized")
]
Exclude = Annotated[
    tuple[str, ...], Field(description="wildcards over names of layers: those of them that stay as they are")
]


def untied_linear_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The plain linear layers by name. One that shares its weight is none: the weight would be there twice."""
    users = Counter(id(each._parameters.get("weight")) for each in model.modules())
    return {
        name: module
        for name, module in model.named_modules()
        if name and is_plain_linear(module) and users[id(module.get_parameter("weight"))] == 1
    }


def chosen(
    layers: Mapping[str, nn.Module], include: Sequence[str], exclude: Sequence[str], quantizer: str
) -> dict[str, nn.Module]:
    """The layers whose names a wildcard of `include` matches and none of `exclude`."""
    found = {name: module for name, module in layers.items() if _any(name, include) and not _any(name, exclude)}
    if not found:
        raise UserError(
            f"the quantizer '{quantizer}' finds no layer with include {list(include)} and exclude {list(exclude)}."
            f" Write wildcards over names such as {', '.join(list(layers)[:8]) or '(none)'}"
        )
    for name, module in found.items():
        weight = module.get_parameter("weight")
        if not weight.is_meta and not weight.isfinite().all():
            raise UserError(
                f"{name}.weight holds NaN or infinity and cannot be quantized: train it again at a lower rate"
            )
    return found


def weight_of(layer: nn.Module) -> Tensor:
    """The weight of a linear layer [out,in], of GPT-2's as well."""
    weight = layer.get_parameter("weight").detach()
    return weight.T.contiguous() if is_conv1d(layer) else weight


def _any(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
