"""The vision tower of CLIP in plain PyTorch, with its own preprocessing and its own checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy
import torch
from PIL import Image
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from workbench import (
    Attention,
    Checkpoint,
    Encoder,
    Tiles,
    TransformersPart,
    UserError,
    VisionShape,
    checkpoint_files,
    hookimpl,
    load_into,
)

from ._clip_checkpoint import Sizes, read_tower, to_hugging_face

MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


class MLP(nn.Module):
    """Two linear layers around CLIP's activation: x sigmoid(1.702 x), or GELU in some later checkpoints."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.up = nn.Linear(sizes.hidden_size, sizes.intermediate_size)
        self.down = nn.Linear(sizes.intermediate_size, sizes.hidden_size)
        self.quick = sizes.hidden_act == "quick_gelu"

    def forward(self, hidden: Tensor) -> Tensor:
        """hidden [P,N,Dv] -> [P,N,Dv]."""
        hidden = self.up(hidden)
        # x sigmoid(1.702 x) as one kernel, whose backward pass is one as well.
        return self.down(functional.silu(1.702 * hidden) / 1.702 if self.quick else functional.gelu(hidden))


class Block(nn.Module):
    """Self-attention and MLP, each behind a LayerNorm and around a residual."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.attention_norm = nn.LayerNorm(sizes.hidden_size, sizes.layer_norm_eps)
        self.attention = Attention(sizes.hidden_size, sizes.num_attention_heads)
        self.mlp_norm = nn.LayerNorm(sizes.hidden_size, sizes.layer_norm_eps)
        self.mlp = MLP(sizes)

    def forward(self, hidden: Tensor) -> Tensor:
        """hidden [P,N,Dv] -> [P,N,Dv]."""
        hidden = hidden + self.attention(self.attention_norm(hidden))
        return hidden + self.mlp(self.mlp_norm(hidden))


class CLIP(Encoder):
    """CLIP vision tower (Radford et al. 2021, https://arxiv.org/abs/2103.00020): class token, pre-LN, QuickGELU.

    Without a checkpoint it starts small, to be taught by a contrastive phase. `layer` -2 gives the tokens before the
    last block, as LLaVA (https://arxiv.org/abs/2304.08485, section 4.1); blocks behind `layer` work for `pool` alone.
    """

    def __init__(
        self,
        *,
        checkpoint: Annotated[
            Checkpoint | None,
            Field(
                description="Hugging Face folder, hub id or file with OpenAI's names; null: the sizes below, untrained"
            ),
        ] = None,
        image_size: Annotated[
            PositiveInt, Field(description="side of the square that images are scaled and cropped to, in pixels")
        ] = 64,
        patch_size: Annotated[PositiveInt, Field(description="side of a patch, in pixels; divides image_size")] = 16,
        width: Annotated[PositiveInt, Field(description="width of the hidden states")] = 128,
        depth: Annotated[PositiveInt, Field(description="number of transformer blocks")] = 4,
        heads: Annotated[PositiveInt, Field(description="attention heads of a block")] = 4,
        layer: Annotated[int, Field(description="hidden state after so many blocks, or -1, -2 ... from the end")] = -2,
        class_token: Annotated[bool, Field(description="keep the class token in front of the patches")] = False,
        tiles: Tiles = 0,
    ):
        super().__init__()
        self.tiles = tiles
        if checkpoint is None:
            sizes = Sizes(
                image_size=image_size,
                patch_size=patch_size,
                hidden_size=width,
                num_hidden_layers=depth,
                num_attention_heads=heads,
                intermediate_size=4 * width,
            )
            self._build(sizes, layer, class_token)
            return
        sizes, weights = read_tower(checkpoint)
        with torch.device("meta"):  # every weight is read: none has to be drawn
            self._build(sizes, layer, class_token)
        load_into(self.to_empty(device=torch.get_default_device()), weights, checkpoint)

    @classmethod
    def files(cls, options: Mapping[str, Any]) -> Sequence[Path]:
        """The files of the checkpoint; none where the tower starts untrained."""
        return checkpoint_files(options["checkpoint"])

    def transform(self, image: Image.Image) -> Tensor:
        """Shortest edge to `image_size` (bicubic), centre crop, CLIP's mean and deviation -> [3,H,W]."""
        image = image.convert("RGB")
        size = self.image_size
        width, height = image.size
        short = min(width, height)
        if short != size:
            image = image.resize((int(size * width / short), int(size * height / short)), Image.Resampling.BICUBIC)
            width, height = image.size
        left, top = (width - size) // 2, (height - size) // 2
        if (width, height) != (size, size):
            image = image.crop((left, top, left + size, top + size))
        pixels = torch.from_numpy(numpy.array(image, dtype=numpy.float32)).permute(2, 0, 1)
        mean, deviation = (torch.tensor(each)[:, None, None] for each in (MEAN, DEVIATION))
        return (pixels / 255 - mean) / deviation

    def forward(self, images: Tensor) -> Tensor:
        """images [P,3,H,W] -> tokens [P,N,Dv] of the chosen layer."""
        hidden = self._through(images, self.used)
        return hidden if self.class_token else hidden[:, 1:]

    def pool(self, images: Tensor) -> Tensor:
        """images [P,3,H,W] -> the class token after the last block and norm [P,Dv]."""
        return self.norm_after(self._through(images, len(self.blocks))[:, 0])

    def for_transformers(self) -> TransformersPart:
        """A CLIPVisionModel, its chosen layer, and CLIP's preprocessing."""
        if self.tiles:
            raise UserError("it makes tiles, which LLaVA there does not know")
        return TransformersPart(
            config={"model_type": "clip_vision_model", **self.sizes.model_dump()},
            weights=to_hugging_face(self.state_dict()),
            settings={
                "vision_feature_layer": self.used,
                "vision_feature_select_strategy": "full" if self.class_token else "default",
            },
            files={
                "preprocessor_config.json": {
                    "image_processor_type": "CLIPImageProcessor",
                    "size": {"shortest_edge": self.image_size},
                    "crop_size": {"height": self.image_size, "width": self.image_size},
                    "image_mean": MEAN,
                    "image_std": DEVIATION,
                    "resample": int(Image.Resampling.BICUBIC),
                }
            },
        )

    def _build(self, sizes: Sizes, layer: int, class_token: bool) -> None:
        if sizes.image_size % sizes.patch_size:
            raise UserError(f"patch_size {sizes.patch_size} does not divide image_size {sizes.image_size}")
        self.sizes = sizes
        self.image_size = sizes.image_size
        depth = sizes.num_hidden_layers
        self.used = depth + 1 + layer if layer < 0 else layer  # how many blocks `forward` runs
        if not 0 <= self.used <= depth:
            raise UserError(
                f"layer {layer} is not among the hidden states 0 to {depth} (or -{depth + 1} to -1) of {depth} blocks"
            )
        self.class_token = class_token
        patches = (sizes.image_size // sizes.patch_size) ** 2
        self.shape = VisionShape(sizes.hidden_size, patches + class_token)
        self.class_embedding = nn.Parameter(torch.empty(sizes.hidden_size).normal_(std=0.02))
        self.patches = nn.Conv2d(3, sizes.hidden_size, sizes.patch_size, stride=sizes.patch_size, bias=False)
        self.positions = nn.Parameter(torch.empty(patches + 1, sizes.hidden_size).normal_(std=0.02))
        self.norm_before = nn.LayerNorm(sizes.hidden_size, sizes.layer_norm_eps)
        self.blocks = nn.ModuleList(Block(sizes) for _ in range(depth))
        self.norm_after = nn.LayerNorm(sizes.hidden_size, sizes.layer_norm_eps)

    def _through(self, images: Tensor, count: int) -> Tensor:
        """The hidden state after `count` blocks [P,1+N,Dv]."""
        patches = self.patches(images).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(images), 1, -1)
        hidden = self.norm_before(torch.cat([first, patches], dim=1) + self.positions)
        for block in self.blocks[:count]:
            hidden = block(hidden)
        return hidden


@hookimpl
def register_encoders(register):
    """CLIP's vision tower, pretrained or small and new."""
    register("clip", CLIP)
