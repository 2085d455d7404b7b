"""Generation with the KV cache against running everything again for each token, per fusion.

python benchmarks/generation.py
"""

from __future__ import annotations

from functools import partial

import torch
from side_by_side import compare, print_machine
from torch import Tensor, nn

from workbench.batches import Batch, Collator
from workbench.contracts import Corpus, Encoder, Example, VisionShape
from workbench.generate import generate
from workbench.model import VisionLanguageModel
from workbench.registry import load_registry

NEW_TOKENS = 64
TEXT = "what is in the picture and where does it stand?"


class Patches(Encoder):
    """49 tokens of a picture, as CLIP ViT-B/32 gives; the encoder itself is not what is measured here."""

    def __init__(self):
        super().__init__()
        self.shape = VisionShape(64, 49)
        self.image_size = 56
        self.patches = nn.Conv2d(3, 64, 8, 8)

    def forward(self, images: Tensor) -> Tensor:
        return self.patches(images).flatten(2).transpose(1, 2)


def main() -> None:
    """Compare for each fusion."""
    torch.set_num_threads(1)
    print_machine(1)
    registry = load_registry()
    for entry in registry.entries("fusion"):
        encoder = Patches()
        decoder = registry.create("language_model", "gpt", Corpus(lambda: [TEXT]), width=256, depth=6, heads=8)
        connector = registry.create("connector", "linear", encoder.shape, 256)
        fusion = registry.create("fusion", entry.name, connector.shape, decoder.shape)
        model = VisionLanguageModel(encoder, connector, fusion, decoder).eval()
        images = torch.randn(1, 3, 56, 56)
        collate = Collator(decoder.tokenizer, "<image>{question}\n", fusion.reads_text)
        batch = collate(images, [[Example("0", "0", TEXT, ("x",))]], answered=False)
        never = decoder.tokenizer.padding  # so that no answer ends early
        decoder.tokenizer.end = never
        with torch.inference_mode():
            vision = model.see(images)
            compare(
                f"{entry.name}: {NEW_TOKENS} new tokens, {parameters(model):.1f} M parameters, batch 1",
                {
                    "without a cache": partial(without_cache, model, vision, batch),
                    "with the KV cache": partial(generate, model, vision, batch, NEW_TOKENS),
                },
                repeats=5,
            )


def without_cache(model: VisionLanguageModel, vision: Tensor, batch: Batch) -> None:
    """Append the most likely token and run the whole sequence again."""
    ids, positions = batch.ids, batch.positions
    for _ in range(NEW_TOKENS):
        segments = torch.cat([batch.segments, torch.ones(1, ids.shape[1] - batch.ids.shape[1], dtype=torch.long)], 1)
        prompt = torch.zeros_like(ids, dtype=torch.bool)
        prompt[:, : batch.ids.shape[1]] = True
        longer = Batch(batch.images, ids, positions, segments, ids, prompt, batch.picture)
        token = model.language_model.head(model.hidden(vision, longer)[:, -1]).argmax(-1, keepdim=True)
        ids, positions = torch.cat([ids, token], 1), torch.cat([positions, positions[:, -1:] + 1], 1)


def parameters(model: nn.Module) -> float:
    return sum(each.numel() for each in model.parameters()) / 1e6


if __name__ == "__main__":
    main()
