"""The model that a plugin is tried in: composed of it and of reference parts, asked, and trained for a few steps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, TypeVar

import numpy
import torch
from PIL import Image
from torch import Tensor, nn

from workbench.conformance.random_numbers import seed_all
from workbench.conformance.reference_parts import (
    ReferenceConnector,
    ReferenceDecoder,
    ReferenceEncoder,
    ReferenceFusion,
)
from workbench.conformance.reference_questions import PROMPTS, QUESTIONS, corpus
from workbench.conformance.rules import Subject
from workbench.contracts.encoder import Encoder
from workbench.contracts.example import Example
from workbench.data.collator import Batch, Collator
from workbench.model.vision_language_model import VisionLanguageModel

Part = TypeVar("Part", bound=nn.Module)


def compose(subject: Subject) -> VisionLanguageModel:
    """A model with the plugin under test in its place, and in all others reference parts or those `beside` it."""

    def part(kind: str, reference: Any, *positional: Any) -> Any:
        torch.manual_seed(1)
        if subject.plugin.kind == kind:
            return subject.build(*positional)
        return subject.beside.get(kind, reference)(*positional)

    encoder = part("encoder", ReferenceEncoder)
    language_model = part("language_model", partial(ReferenceDecoder, width=subject.width), corpus())
    connector = part("connector", ReferenceConnector, encoder.shape, language_model.shape.width)
    fusion = part("fusion", ReferenceFusion, connector.shape, language_model.shape)
    return VisionLanguageModel(encoder, connector, fusion, language_model)


def reference_model(width: int = 64) -> VisionLanguageModel:
    """A model of reference parts alone: what one with an adapter or quantizer is compared with."""
    torch.manual_seed(1)
    encoder, decoder = ReferenceEncoder(), ReferenceDecoder(corpus(), width)
    connector = ReferenceConnector(encoder.shape, width)
    return VisionLanguageModel(encoder, connector, ReferenceFusion(connector.shape, decoder.shape), decoder)


def different_images(encoder: Encoder, count: int) -> Tensor:
    """Different images as the encoder takes them [P,3,H,W]."""
    random = numpy.random.default_rng(3)
    coarse = [Image.fromarray(random.integers(0, 256, (4, 4, 3), dtype=numpy.uint8)) for _ in range(count)]
    return torch.stack([encoder.transform(each.resize((40, 40), Image.Resampling.NEAREST)) for each in coarse])


def batch_for(
    model: VisionLanguageModel,
    prompt: str = PROMPTS[0],
    questions: Sequence[Sequence[Example]] = QUESTIONS,
    answered: bool = True,
) -> Batch:
    """The reference questions as one batch, as the model's fusion wants them."""
    collate = Collator(model.language_model.tokenizer, prompt, model.fusion.reads_text)
    count = sum(len(row[0].images) for row in questions)
    return collate(different_images(model.encoder, count), questions, answered)


def train_briefly(
    model: VisionLanguageModel, parameters: Sequence[nn.Parameter] | None = None, steps: int = 8
) -> dict[str, nn.Parameter]:
    """A few steps of AdamW, so that gates which start at zero open; returns the parameters that no step reached."""
    batch = batch_for(model)
    seed_all(7)
    chosen = list(model.parameters()) if parameters is None else list(parameters)
    optimizer = torch.optim.AdamW(chosen, lr=1e-2)
    unreached = {name: each for name, each in model.named_parameters() if any(each is one for one in chosen)}
    model.train()
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        model.loss(batch).backward()
        for name in [name for name, each in unreached.items() if each.grad is not None and bool(each.grad.any())]:
            del unreached[name]
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    model.eval()
    return unreached


def trained(subject: Subject) -> tuple[VisionLanguageModel, dict[str, nn.Parameter]]:
    """A composed model after some steps, in eval mode, and the parameters that none of them reached. Rules that only
    look at it share it: `subject.once(trained)`."""
    model = compose(subject)
    unreached = train_briefly(model)
    return model, unreached


def opened(module: Part) -> Part:
    """The module with every weight moved a little, the same way each time: gates that start at zero are open."""
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for each in module.parameters():
            if each.is_floating_point():
                each.add_(0.05 * torch.randn(each.shape, generator=generator).to(each))
    return module


def other_ids(ids: Tensor, model: VisionLanguageModel) -> Tensor:
    """Other ids than these, none of them `<image>`."""
    tokenizer = model.language_model.tokenizer
    changed = (ids + 7) % tokenizer.size
    return torch.where(changed == tokenizer.image, (ids + 8) % tokenizer.size, changed)


def gap(first: Tensor, second: Tensor) -> float:
    """The largest absolute difference; infinite where one is no number."""
    difference = (first.detach().float() - second.detach().float()).abs()
    return float(difference.nan_to_num(nan=float("inf")).max()) if difference.numel() else 0.0
