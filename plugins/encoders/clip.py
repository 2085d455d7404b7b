"""The vision tower of CLIP in plain PyTorch, with its own preprocessing and its own checkpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
from PIL import Image
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from workbench import Attention, Encoder, UserError, VisionShape, hookimpl, load_into, read_weights

MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Sizes:
    """What a tower is built from. `mlp` is the width between the two layers of an MLP."""

    image_size: int
    patch_size: int
    width: int
    depth: int
    heads: int
    mlp: int
    activation: str = "quick_gelu"
    epsilon: float = 1e-5


class MLP(nn.Module):
    """Two linear layers around CLIP's activation: x sigmoid(1.702 x), or GELU in some later checkpoints."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.up = nn.Linear(sizes.width, sizes.mlp)
        self.down = nn.Linear(sizes.mlp, sizes.width)
        self.quick = sizes.activation == "quick_gelu"

    def forward(self, hidden: Tensor) -> Tensor:
        """hidden [P,N,Dv] -> [P,N,Dv]."""
        hidden = self.up(hidden)
        return self.down(hidden * torch.sigmoid(1.702 * hidden) if self.quick else functional.gelu(hidden))


class Block(nn.Module):
    """Self-attention and MLP, each behind a LayerNorm and around a residual."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.attention_norm = nn.LayerNorm(sizes.width, sizes.epsilon)
        self.attention = Attention(sizes.width, sizes.heads)
        self.mlp_norm = nn.LayerNorm(sizes.width, sizes.epsilon)
        self.mlp = MLP(sizes)

    def forward(self, hidden: Tensor) -> Tensor:
        """hidden [P,N,Dv] -> [P,N,Dv]."""
        hidden = hidden + self.attention(self.attention_norm(hidden))
        return hidden + self.mlp(self.mlp_norm(hidden))


class CLIP(Encoder):
    """CLIP vision tower (Radford et al. 2021, https://arxiv.org/abs/2103.00020): class token, pre-LN, QuickGELU.

    `checkpoint` is a Hugging Face folder or hub id, or a file with OpenAI's names; sizes then come from it. Without
    one the tower starts small, to be taught by a contrastive phase. `layer` -2 gives the tokens before the last
    block, without the class token unless `class_token`, as LLaVA (https://arxiv.org/abs/2304.08485, section 4.1).
    Blocks behind `layer` work for `pool` alone.
    """

    def __init__(
        self,
        *,
        checkpoint: str | None = None,
        image_size: PositiveInt = 64,
        patch_size: PositiveInt = 16,
        width: PositiveInt = 128,
        depth: PositiveInt = 4,
        heads: PositiveInt = 4,
        layer: int = -2,
        class_token: bool = False,
    ):
        super().__init__()
        sizes = Sizes(image_size, patch_size, width, depth, heads, 4 * width)
        weights: dict[str, Tensor] = {}
        if checkpoint is not None:
            sizes, weights = read_tower(checkpoint)
        if sizes.image_size % sizes.patch_size:
            raise UserError(f"patch_size {sizes.patch_size} does not divide image_size {sizes.image_size}")
        self.image_size = sizes.image_size
        self.used = sizes.depth + 1 + layer if layer < 0 else layer  # how many blocks `forward` runs
        if not 0 <= self.used <= sizes.depth:
            raise UserError(f"layer {layer} is not among the {sizes.depth + 1} hidden states of {sizes.depth} blocks")
        self.class_token = class_token
        patches = (sizes.image_size // sizes.patch_size) ** 2
        self.shape = VisionShape(sizes.width, patches + class_token)
        self.class_embedding = nn.Parameter(0.02 * torch.randn(sizes.width))
        self.patches = nn.Conv2d(3, sizes.width, sizes.patch_size, stride=sizes.patch_size, bias=False)
        self.positions = nn.Parameter(0.02 * torch.randn(patches + 1, sizes.width))
        self.norm_before = nn.LayerNorm(sizes.width, sizes.epsilon)
        self.blocks = nn.ModuleList(Block(sizes) for _ in range(sizes.depth))
        self.norm_after = nn.LayerNorm(sizes.width, sizes.epsilon)
        if checkpoint is not None:
            load_into(self, weights, checkpoint)

    def transform(self, picture: Image.Image) -> Tensor:
        """Shortest edge to `image_size` (bicubic), centre crop, CLIP's mean and deviation -> [3,H,W]."""
        picture = picture.convert("RGB")
        size = self.image_size
        width, height = picture.size
        short = min(width, height)
        if short != size:
            picture = picture.resize((int(size * width / short), int(size * height / short)), Image.Resampling.BICUBIC)
            width, height = picture.size
        left, top = (width - size) // 2, (height - size) // 2
        if (width, height) != (size, size):
            picture = picture.crop((left, top, left + size, top + size))
        pixels = torch.from_numpy(numpy.array(picture, dtype=numpy.float32)).permute(2, 0, 1)
        mean, deviation = (torch.tensor(each)[:, None, None] for each in (MEAN, DEVIATION))
        return (pixels / 255 - mean) / deviation

    def forward(self, images: Tensor) -> Tensor:
        """images [P,3,H,W] -> tokens [P,N,Dv] of the chosen layer."""
        hidden = self._through(images, self.used)
        return hidden if self.class_token else hidden[:, 1:]

    def pool(self, images: Tensor) -> Tensor:
        """images [P,3,H,W] -> the class token after the last block and norm [P,Dv]."""
        return self.norm_after(self._through(images, len(self.blocks))[:, 0])

    def _through(self, images: Tensor, count: int) -> Tensor:
        """The hidden state after `count` blocks [P,1+N,Dv]."""
        patches = self.patches(images).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(images), 1, -1)
        hidden = self.norm_before(torch.cat([first, patches], dim=1) + self.positions)
        for block in self.blocks[:count]:
            hidden = block(hidden)
        return hidden


def read_tower(checkpoint: str) -> tuple[Sizes, dict[str, Tensor]]:
    """Sizes and weights, under our names, of a Hugging Face folder, a hub id, or a file with OpenAI's names."""
    path = Path(checkpoint)
    if path.is_file():
        return _from_openai(read_weights(path), checkpoint)
    folder = path if path.is_dir() else _download(checkpoint)
    return _from_hugging_face(folder)


def _from_hugging_face(folder: Path) -> tuple[Sizes, dict[str, Tensor]]:
    config = _read_config(folder)
    names = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
    file = next((folder / name for name in names if (folder / name).is_file()), None)
    if file is None:
        raise UserError(f"the folder {folder} holds no weights: one of {', '.join(names)} is needed")
    weights = read_weights(file)
    sizes = Sizes(
        config["image_size"],
        config["patch_size"],
        config["hidden_size"],
        config["num_hidden_layers"],
        config["num_attention_heads"],
        config["intermediate_size"],
        config.get("hidden_act", "quick_gelu"),
        config.get("layer_norm_eps", 1e-5),
    )
    prefix = "vision_model." if any(name.startswith("vision_model.") for name in weights) else ""
    own = {name.removeprefix(prefix): each for name, each in weights.items() if name.startswith(prefix)}
    return sizes, _renamed(own, sizes.depth, _HUGGING_FACE, ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"))


def _read_config(folder: Path) -> dict:
    """config.json of a vision tower, or its part of a whole CLIP's; absent sizes are those of ViT-B/32."""
    file = folder / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {file}: {error}") from error
    defaults = {
        "image_size": 224,
        "patch_size": 32,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
    }
    return defaults | config.get("vision_config", config)


# Our name -> theirs. `{}` is the number of a block.
_HUGGING_FACE = {
    "class_embedding": "embeddings.class_embedding",
    "patches.weight": "embeddings.patch_embedding.weight",
    "positions": "embeddings.position_embedding.weight",
    "norm_before": "pre_layrnorm",
    "norm_after": "post_layernorm",
    "blocks.{}.attention_norm": "encoder.layers.{}.layer_norm1",
    "blocks.{}.attention.output": "encoder.layers.{}.self_attn.out_proj",
    "blocks.{}.mlp_norm": "encoder.layers.{}.layer_norm2",
    "blocks.{}.mlp.up": "encoder.layers.{}.mlp.fc1",
    "blocks.{}.mlp.down": "encoder.layers.{}.mlp.fc2",
}
_OPENAI = {
    "class_embedding": "class_embedding",
    "patches.weight": "conv1.weight",
    "positions": "positional_embedding",
    "norm_before": "ln_pre",
    "norm_after": "ln_post",
    "blocks.{}.attention_norm": "transformer.resblocks.{}.ln_1",
    "blocks.{}.attention.output": "transformer.resblocks.{}.attn.out_proj",
    "blocks.{}.mlp_norm": "transformer.resblocks.{}.ln_2",
    "blocks.{}.mlp.up": "transformer.resblocks.{}.mlp.c_fc",
    "blocks.{}.mlp.down": "transformer.resblocks.{}.mlp.c_proj",
}


def _renamed(weights: Mapping[str, Tensor], depth: int, names: Mapping[str, str], apart: tuple[str, ...]) -> dict[str, Tensor]:
    """Weights under our names; queries, keys and values that stand apart are put together."""
    found: dict[str, Tensor] = {}
    for ours, theirs in names.items():
        for block in range(depth) if "{}" in ours else (0,):
            for end in ("",) if ours.endswith(("embedding", "weight", "positions")) else (".weight", ".bias"):
                source = weights.get(theirs.format(block) + end)
                if source is not None:
                    found[ours.format(block) + end] = source
    for block in range(depth):
        for end in (".weight", ".bias"):
            parts = [weights.get(f"encoder.layers.{block}.{name}{end}") for name in apart]
            if parts and all(part is not None for part in parts):
                found[f"blocks.{block}.attention.qkv{end}"] = torch.cat([part for part in parts if part is not None])
            packed = weights.get(f"transformer.resblocks.{block}.attn.in_proj_{end[1:]}")
            if packed is not None:
                found[f"blocks.{block}.attention.qkv{end}"] = packed
    return found


def _from_openai(weights: Mapping[str, Tensor], source: str) -> tuple[Sizes, dict[str, Tensor]]:
    """OpenAI's names, `visual.` in front or not; the sizes are read off the shapes (a head is 64 wide)."""
    own = {name.removeprefix("visual."): each.float() for name, each in weights.items() if name.startswith("visual.")}
    own = own or dict(weights)
    try:
        width, _, patch_size, _ = own["conv1.weight"].shape
        side = round((len(own["positional_embedding"]) - 1) ** 0.5)
        blocks = {name.split(".")[2] for name in own if name.startswith("transformer.resblocks.")}
        mlp = len(own["transformer.resblocks.0.mlp.c_fc.weight"])
    except (KeyError, ValueError) as error:
        raise UserError(f"{source} is no CLIP vision tower under OpenAI's names: {error} is missing") from error
    sizes = Sizes(side * patch_size, patch_size, width, len(blocks), width // 64, mlp)
    return sizes, _renamed(own, sizes.depth, _OPENAI, ())


def _download(name: str) -> Path:
    """The folder of a hub id, downloaded once by huggingface_hub."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise UserError(
            f"checkpoint '{name}' is no file or folder here; to take it from the Hugging Face hub, install the extra:"
            " pip install workbench[hf]"
        ) from error
    try:
        return Path(snapshot_download(name, allow_patterns=["config.json", "*.safetensors", "*.safetensors.index.json"]))
    except Exception as error:  # the hub's client raises many kinds; each means that there is no such checkpoint for us
        raise UserError(f"checkpoint '{name}' is no file or folder here, nor could it be had from the hub: {error}") from error


@hookimpl
def register_encoders(register):
    """The CLIP vision tower."""
    register("clip", CLIP)
