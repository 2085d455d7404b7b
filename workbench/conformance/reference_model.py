"""Tiny reference parts that keep every contract: what a plugin under test is composed with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, cast

import numpy
import torch
from PIL import Image
from torch import Tensor, nn

from workbench.checkpoints.tokenizer import Corpus, tokenizer_for
from workbench.conformance.chances import start_chances
from workbench.conformance.findings import Subject
from workbench.contracts.connector import Connector
from workbench.contracts.encoder import Encoder, VisionShape
from workbench.contracts.example import Example
from workbench.contracts.fusion import Fusion
from workbench.contracts.language_model import DecoderShape, LanguageModel
from workbench.data.collator import Batch, Collator
from workbench.layers.attention import Attention
from workbench.layers.cross_attention import CrossAttention
from workbench.layers.key_value_cache import KeyValueCache
from workbench.layers.mlp import MLP
from workbench.layers.rms_norm import RMSNorm
from workbench.layers.rotary import Rotary
from workbench.model.vision_language_model import VisionLanguageModel

DEPTH, HEADS = 3, 4
PROMPTS = ("<image>{question}\n", "{question}\n", "look: <image> {question}\n")
QUESTIONS = (
    (
        Example("0/0", "0", "what is there?", ("a small red circle in the middle",), "what"),
        Example("0/1", "0", "is there a blue shape in this image?", ("no, there is not a blue one",), "yes/no"),
    ),
    (
        Example("1/0", "1", "which color does it have?", ("blue and green and teal",), "color"),
        Example("1/1", "1", "where?", ("on the left side of the image",), "where"),
    ),
)
SEVERAL = (  # the same about different numbers of images
    tuple(replace(each, more=("2", "3")) for each in QUESTIONS[0]),
    QUESTIONS[1],
)


Part = TypeVar("Part", bound=nn.Module)


class ReferenceEncoder(Encoder):
    """A linear layer over the four quadrants of an 8 x 8 image."""

    def __init__(self) -> None:
        super().__init__()
        self.image_size = 8
        self.shape = VisionShape(24, 4)
        self.patches = nn.Conv2d(3, 24, 4, 4)

    def transform(self, image: Image.Image) -> Tensor:
        """Squeezed to 8 x 8, in [-1, 1]."""
        pixels = numpy.array(image.convert("RGB").resize((8, 8)), dtype=numpy.float32)
        return torch.from_numpy(pixels).permute(2, 0, 1) / 127.5 - 1

    def forward(self, images: Tensor) -> Tensor:
        """images [P,3,8,8] -> tokens [P,4,24]."""
        return self.patches(images).flatten(2).transpose(1, 2)


class ReferenceConnector(Connector):
    """One linear layer."""

    def __init__(self, vision: VisionShape, text_width: int) -> None:
        super().__init__()
        self.shape = VisionShape(text_width, vision.tokens)
        self.projection = nn.Linear(vision.width, text_width)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [P,N,Dv] -> [P,N,D]."""
        return self.projection(tokens)


class ReferenceFusion(Fusion):
    """Cross-attention between the blocks, and the image's mean added inside them: both kinds of hook are used."""

    def __init__(self, vision: VisionShape, decoder: DecoderShape) -> None:
        super().__init__()
        self.attention = CrossAttention(decoder.width, vision.width, 1, closed=False)
        self.mean = nn.Linear(vision.width, decoder.width)

    def prepare(self, vision: Tensor, mask: Tensor | None) -> Any:
        """vision [G,M,Dv] -> keys and values, and one vector for each set of images."""
        there = torch.ones_like(vision[..., :1]) if mask is None else mask[:, 0, 0, :, None].to(vision.dtype)
        mean = self.mean((vision * there).sum(1, keepdim=True) / there.sum(1, keepdim=True))
        return {"keys and values": self.attention.keys_values(vision, mask), "mean": mean}

    def fuse_block(self, index: int, hidden: Tensor, vision: Any, prompt: Tensor | None) -> tuple[Tensor, Any]:
        """hidden [R,S,D] -> [R,S,D]."""
        return hidden + self.attention(hidden, vision["keys and values"]), vision

    def fuse_attention(self, index: int, hidden: Tensor, vision: Any) -> Tensor:
        """hidden [R,S,D] -> [R,S,D]."""
        return vision["mean"].expand_as(hidden)


class ReferenceBlock(nn.Module):
    """Self-attention and MLP."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(width)
        self.attention = Attention(width, HEADS)
        self.mlp_norm = RMSNorm(width)
        self.mlp = MLP(width, 2 * width)

    def forward(self, hidden: Tensor, mask: Tensor, rotation: Any, cache: KeyValueCache | None, index: int) -> Tensor:
        """hidden [R,S,D] -> [R,S,D]."""
        hidden = hidden + self.attention(self.attention_norm(hidden), mask, rotation, cache, index)
        return hidden + self.mlp(self.mlp_norm(hidden))


class ReferenceDecoder(LanguageModel):
    """A decoder with rotary positions."""

    def __init__(self, corpus: Corpus, width: int = 64) -> None:
        super().__init__()
        self.tokenizer = tokenizer_for(corpus, 300)
        self.shape = DecoderShape(width, DEPTH, HEADS)
        self.embedding = nn.Embedding(self.tokenizer.size, width)
        self.layers = nn.ModuleList(ReferenceBlock(width) for _ in range(DEPTH))
        self.norm = RMSNorm(width)
        self.rotary = Rotary(width // HEADS)
        self.output = nn.Linear(width, self.tokenizer.size, bias=False)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The blocks."""
        return list(self.layers)

    @property
    def attentions(self) -> Sequence[nn.Module]:
        """The self-attention of each block."""
        return [layer.attention for layer in cast(Iterable[ReferenceBlock], self.layers)]

    def embed(self, ids: Tensor) -> Tensor:
        """ids [R,T] -> [R,T,D]."""
        return self.embedding(ids)

    def forward(self, embeds: Tensor, positions: Tensor, mask: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """embeds [R,S,D], positions [R,S], mask [R,1,S,K] -> hidden [R,S,D]."""
        rotation = self.rotary(positions)
        for index, layer in enumerate(self.layers):
            embeds = layer(embeds, mask, rotation, cache, index)
        if cache is not None:
            cache.advance(embeds.shape[1])
        return self.norm(embeds)

    def head(self, hidden: Tensor) -> Tensor:
        """hidden [..., D] -> logits [..., V]."""
        return self.output(hidden)

    def new_cache(self, rows: int, capacity: int) -> KeyValueCache:
        """An empty cache."""
        return KeyValueCache(self.shape.depth, capacity)


def corpus() -> Corpus:
    """The text of the reference questions."""
    return Corpus(lambda: [text for row in QUESTIONS for each in row for text in (each.question, *each.answers)])


def compose(subject: Subject) -> VisionLanguageModel:
    """A model with the plugin under test in its place and reference parts in all others."""

    def part(kind: str, reference: Any, *positional: Any) -> Any:
        torch.manual_seed(1)
        return subject.build(*positional) if subject.entry.kind == kind else reference(*positional)

    encoder = part("encoder", ReferenceEncoder)
    language_model = part("language_model", partial(ReferenceDecoder, width=subject.width), corpus())
    connector = part("connector", ReferenceConnector, encoder.shape, language_model.shape.width)
    fusion = part("fusion", ReferenceFusion, connector.shape, language_model.shape)
    return VisionLanguageModel(encoder, connector, fusion, language_model)


def reference_model(width: int = 64) -> VisionLanguageModel:
    """A model of reference parts alone."""
    torch.manual_seed(1)
    encoder, decoder = ReferenceEncoder(), ReferenceDecoder(corpus(), width)
    connector = ReferenceConnector(encoder.shape, width)
    return VisionLanguageModel(encoder, connector, ReferenceFusion(connector.shape, decoder.shape), decoder)


def different_images(encoder: Encoder, count: int) -> Tensor:
    """Different images as the encoder takes them [P,3,H,W]."""
    chance = numpy.random.default_rng(3)
    coarse = [Image.fromarray(chance.integers(0, 256, (4, 4, 3), dtype=numpy.uint8)) for _ in range(count)]
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
    start_chances(7)
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
