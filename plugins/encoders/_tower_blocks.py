"""The blocks of a tower of transformers, up to the hidden state that is wanted."""

from __future__ import annotations

from typing import Any

from torch import nn

from workbench import UserError

from ._blocks import blocks_before

LAST_NORMS = ("layernorm", "post_layernorm", "norm", "rms_norm")


def used_blocks(tower: Any, layer: int | None) -> int:
    """How many of the tower's blocks come before the hidden state `layer`."""
    config = tower.config
    depth = getattr(config, "num_hidden_layers", None)
    if (
        depth is not None
        and not hasattr(config, "depths")
        and not any(name.endswith("neck") for name, _ in tower.named_modules())
    ):
        return blocks_before(-1 if layer is None else layer, depth)
    if layer is not None:
        raise UserError(
            f"a {config.model_type} gives other tokens than its blocks do, of another width or number: leave out layer"
        )
    return 0


def cut(tower: Any, used: int) -> None:
    """Leave out the blocks behind the first `used`, with the norm and the pooling that follow them."""
    depth = tower.config.num_hidden_layers
    blocks = next(each for each in tower.modules() if isinstance(each, nn.ModuleList) and len(each) == depth)
    del blocks[used:]
    before = {id(module) for part in (blocks, *_embeddings(tower)) for module in part.modules()}
    for parent in [module for module in tower.modules() if id(module) not in before]:
        for name in LAST_NORMS:
            if name in parent._modules:
                setattr(parent, name, nn.Identity())
    if getattr(tower, "head", None) is not None:
        tower.use_head, tower.head = False, None


def _embeddings(tower: nn.Module) -> list[nn.Module]:
    return [module for name, module in tower.named_modules() if "embed" in name.rpartition(".")[2]]
