"""An adapter merged, and the proof that the model computes what it did: whatever an adapter adds where it should not,
as to a weight that another layer shares, would give numbers that no training has seen."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from workbench.contracts.adapter import Adapter
from workbench.contracts.example import Example
from workbench.errors import UserError
from workbench.model.vision_language_model import VisionLanguageModel, visible

TOKENS = 8
QUESTION = Example("", "", "is it red?", ("yes",), "")
# What merging may move the logits by, as a share of them: rounding in fp32, and of weights in 16 bits.
EXACT, ROUNDED = 0.01, 0.3


def merge_adapter(adapter: Adapter, model: VisionLanguageModel, adapted: Iterable[nn.Parameter]) -> None:
    """Merge; `UserError` when that changes what the model computes. An adapter of the language model alone is looked
    at on a few tokens of text, another on an image as well."""
    if type(adapter).merge is Adapter.merge:  # nothing is folded in
        return
    own = {id(each) for each in model.language_model.parameters()}
    text = all(id(each) in own for each in adapted)
    narrow = any(each.is_floating_point() and each.element_size() < 4 for each in model.parameters())
    before = _logits(model, text)
    adapter.merge(model)
    moved = _moved(_logits(model, text), before)
    if moved > (ROUNDED if narrow else EXACT):
        raise UserError(
            f"merging it moves the logits by {moved:.0%}, so the evaluated model would not be the trained one: take"
            " layers out of its 'targets' whose weights other layers use as well, or another adapter"
        )


@torch.no_grad()
def _logits(model: VisionLanguageModel, text: bool) -> Tensor:
    """Logits [1,T,V] of a few tokens, or of a question on an image of noise."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    device = next(model.parameters()).device
    decoder = model.language_model
    if text:
        ids = torch.arange(TOKENS, device=device)[None] % decoder.tokenizer.size
        segments = torch.zeros_like(ids)
        positions = torch.arange(TOKENS, device=device)[None]
        logits = decoder.head(decoder(decoder.embed(ids), positions, visible(segments, segments)))
    else:
        size = model.encoder.image_size
        noise = torch.rand((1, 3, size, size), generator=torch.Generator().manual_seed(0))
        logits = model.logits(model.collator("<image>{question}")(noise, [[QUESTION]]).to(device))
    for module, mode in modes.items():
        module.training = mode
    return logits.float()


def _moved(logits: Tensor, before: Tensor) -> float:
    """By how much of their length the logits [1,T,V] of the median token moved: rounding sends single ones to another
    expert. 0 where they were no numbers before."""
    shares = (logits - before).norm(dim=-1) / before.norm(dim=-1).clamp(min=torch.finfo(torch.float32).tiny)
    return float(shares.median()) if before.isfinite().all() else 0.0
