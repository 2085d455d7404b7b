"""The peer: transformers' LlavaForConditionalGeneration, and the same model of ours with the same weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from workbench.checkpoints.tokenizer import Corpus
from workbench.data.collator import IGNORED, Encoded
from workbench.model.vision_language_model import VisionLanguageModel
from workbench.registry import Registry


@dataclass(frozen=True)
class Size:
    """What every peer has in common: a CLIP tower, two projecting layers, and a Llama with tied embeddings."""

    name: str
    width: int
    mlp_width: int  # of the decoder, with three matrices; the tower's, with two, is four times its width
    encoder_depth: int
    decoder_depth: int
    heads: int
    patch_size: int
    vocabulary_size: int
    image_size: int = 64

    @property
    def image_tokens(self) -> int:
        """How many the decoder gets for an image."""
        return (self.image_size // self.patch_size) ** 2


def build_llava(size: Size, image_id: int, vocabulary_size: int) -> Any:
    """Llava of that size with random weights. All blocks of the tower work, as in ours."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    vision = CLIPVisionConfig(
        hidden_size=size.width,
        intermediate_size=4 * size.width,
        num_hidden_layers=size.encoder_depth,
        num_attention_heads=size.heads,
        image_size=size.image_size,
        patch_size=size.patch_size,
    )
    text = LlamaConfig(
        vocab_size=vocabulary_size,
        hidden_size=size.width,
        intermediate_size=size.mlp_width,
        num_hidden_layers=size.decoder_depth,
        num_attention_heads=size.heads,
        max_position_embeddings=512,
        tie_word_embeddings=True,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=image_id,
        vision_feature_layer=-1,
        tie_word_embeddings=True,
    )
    return LlavaForConditionalGeneration(config).train()


def build_both(size: Size, registry: Registry, texts: Callable[[], Iterable[str]]) -> tuple[VisionLanguageModel, Any]:
    """Our model and Llava, with the same weights."""
    torch.manual_seed(0)
    decoder = registry.create(
        "language_model",
        "llama",
        Corpus(texts),
        vocabulary_size=size.vocabulary_size,
        width=size.width,
        depth=size.decoder_depth,
        heads=size.heads,
        mlp_width=size.mlp_width,
    )
    llava = build_llava(size, decoder.tokenizer.image, decoder.tokenizer.size)
    with TemporaryDirectory() as folder:
        llava.save_pretrained(folder)
        encoder = registry.create("encoder", "clip", checkpoint=folder, layer=-1)
    connector = registry.create("connector", "mlp", encoder.shape, size.width)
    fusion = registry.create("fusion", "concat_projection", connector.shape, decoder.shape)
    llava.model.multi_modal_projector.linear_1.load_state_dict(connector.mlp.up.state_dict())
    llava.model.multi_modal_projector.linear_2.load_state_dict(connector.mlp.down.state_dict())
    llava.model.language_model.load_state_dict(decoder.model.state_dict())
    return VisionLanguageModel(encoder, connector, fusion, decoder).train(), llava


def llava_batch(images: Tensor, texts: Sequence[Encoded], image_tokens: int, image_id: int) -> dict[str, Tensor]:
    """images [R,3,H,W] and a question for each -> a row each, padded at the right, labels on the answers only."""
    rows, labels = [], []
    for each in texts:
        shared = [id_ for id_ in each.shared for _ in range(image_tokens if id_ == image_id else 1)]
        prompt = [*shared, *each.prompt]
        rows.append([*prompt, *each.answer])
        labels.append([IGNORED] * len(prompt) + list(each.answer))
    longest = max(map(len, rows))
    return {
        "input_ids": torch.tensor([row + [0] * (longest - len(row)) for row in rows]),
        "attention_mask": torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows]),
        "labels": torch.tensor([row + [IGNORED] * (longest - len(row)) for row in labels]),
        "pixel_values": images,
    }
