"""How a tower of transformers is shown images, and where the tokens of their patches stand in what it gives."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from workbench import UserError

CLASS_TOKENS = ("cls_token", "class_embedding")  # what families call it
POOLING = ("head.", "pooler.")  # a class token in there looks at the patches, and stands in no sequence


@dataclass(frozen=True)
class LeadingTokens:
    """How many tokens stand before the patches: class tokens, and what else is none (a distillation token, DeiT:
    https://arxiv.org/abs/2012.12877, section 4; registers: https://arxiv.org/abs/2309.16588)."""

    classes: int
    others: int

    @property
    def count(self) -> int:
        """All of them."""
        return self.classes + self.others


def leading_tokens(tower: Any) -> LeadingTokens:
    """Those that the tower's weights and its config tell of."""
    own = {name: each for name, each in tower.named_parameters() if not name.startswith(POOLING)}
    classes = sum(_rows(each) for name, each in own.items() if name.rpartition(".")[2] in CLASS_TOKENS)
    distilled = sum(name.rpartition(".")[2] == "distillation_token" for name in own)
    return LeadingTokens(classes, distilled + getattr(tower.config, "num_register_tokens", 0))


def arguments(tower: Any, images: Tensor, patch: int, trained_size: int) -> tuple[tuple, dict[str, Any]]:
    """What the tower is called with for images [P,3,S,S]."""
    accepted, side = inspect.signature(type(tower).forward).parameters, images.shape[-1] // patch
    if "spatial_shapes" in accepted:  # SigLIP 2 in any shape: patches in a row
        patches = functional.unfold(images, patch, stride=patch).transpose(1, 2)  # [P,N,3 patch^2]
        patches = patches.unflatten(2, (3, patch**2)).transpose(2, 3).flatten(2)  # a pixel's colours together
        shapes = torch.full((len(images), 2), side, device=images.device)
        return (patches, torch.ones_like(patches[..., 0], dtype=torch.long), shapes), {}
    named: dict[str, Any] = {}
    if "interpolate_pos_encoding" in accepted:
        named["interpolate_pos_encoding"] = images.shape[-1] != trained_size
    if "noise" in accepted:  # ViT-MAE hides the patches with the most noise, and puts the others in its order
        named["noise"] = torch.arange(side**2, device=images.device).expand(len(images), -1)
    return (images,), named


def tokens_of(output: Any, images: int) -> Tensor:
    """What the tower gave for so many images -> their tokens [P,leading+patches,Dv]."""
    hidden = output.last_hidden_state
    if hidden.ndim == 4:  # a map [P,Dv,H,W]
        return hidden.flatten(2).transpose(1, 2)
    if len(hidden) != images:  # Pixtral: the patches of all images in one sequence [1,P*N,Dv]
        return hidden.reshape(images, -1, hidden.shape[-1])
    return hidden


def measured(tower: Any, size: int, patch: int, trained_size: int, leading: int) -> tuple[int, int]:
    """How wide the tokens of images [P,3,size,size] are, and how many of them stand in a row of the square that the
    patches make; found by a pass without numbers. `UserError` where they make none, or the tower wants more to see."""
    weights = {name: each.to("meta") for name, each in (*tower.named_parameters(), *tower.named_buffers())}
    given, named = arguments(tower, torch.empty(2, 3, size, size, device="meta"), patch, trained_size)
    kind, training = type(tower).__name__, tower.training
    tower.eval()
    try:
        with (
            torch.no_grad(),
            torch.device("cpu"),
        ):  # families keep tables that they make here (BEiT) for every later pass
            output = torch.func.functional_call(tower, weights, given, named)
        rows, tokens, width = tokens_of(output, 2).shape
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:  # transformers' code is not for this
        if "meta tensors" in str(error):  # it looks at numbers: what it really gives is checked in every pass
            return tower.config.hidden_size, size // patch
        raise UserError(f"{kind} cannot be shown images of {size} pixels alone: {error}") from error
    finally:
        tower.train(training)
    patches = tokens - leading
    side = math.isqrt(max(patches, 0))
    if rows != 2 or not side or side**2 != patches:
        raise UserError(
            f"{kind} gives {tokens} tokens for an image of {size} pixels, {leading} of them before its patches: the"
            f" other {patches} make no square"
        )
    return width, side


def _rows(token: Tensor) -> int:
    """How many tokens a parameter [D] or [...,n,D] holds."""
    return token.numel() // token.shape[-1]
