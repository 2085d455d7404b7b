"""A CLIP vision tower in a checkpoint: its sizes and its weights, under OpenAI's names or those of Hugging Face."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, ValidationError
from torch import Tensor

from workbench import UserError, checkpoint_folder, read_config, read_folder, read_weights

# Parts of a name in a checkpoint -> in our tower, replaced one after the other.
HUGGING_FACE = {
    "embeddings.class_embedding": "class_embedding",
    "embeddings.patch_embedding.": "patches.",
    "embeddings.position_embedding.weight": "positions",
    "pre_layrnorm.": "norm_before.",
    "post_layernorm.": "norm_after.",
    "encoder.layers.": "blocks.",
    ".layer_norm1.": ".attention_norm.",
    ".self_attn.out_proj.": ".attention.output.",
    ".self_attn.": ".attention.",
    ".layer_norm2.": ".mlp_norm.",
    ".fc1.": ".up.",
    ".fc2.": ".down.",
}
OPENAI = {
    "conv1.": "patches.",
    "positional_embedding": "positions",
    "ln_pre.": "norm_before.",
    "ln_post.": "norm_after.",
    "transformer.resblocks.": "blocks.",
    ".ln_1.": ".attention_norm.",
    ".attn.in_proj_": ".attention.qkv.",
    ".attn.out_proj.": ".attention.output.",
    ".ln_2.": ".mlp_norm.",
    ".c_fc.": ".up.",
    ".c_proj.": ".down.",
}
UNUSED = ("embeddings.position_ids", "proj")  # a count 0, 1, 2 ... and the projection into the space shared with texts


class Sizes(BaseModel):
    """What a tower is built from, named and with the defaults (ViT-B/32) of a Hugging Face `config.json`."""

    model_config = ConfigDict(frozen=True)

    image_size: PositiveInt = 224
    patch_size: PositiveInt = 32
    hidden_size: PositiveInt = 768
    num_hidden_layers: PositiveInt = 12
    num_attention_heads: PositiveInt = 12
    intermediate_size: PositiveInt = 3072
    hidden_act: Literal["quick_gelu", "gelu"] = "quick_gelu"
    layer_norm_eps: PositiveFloat = 1e-5


def read_tower(checkpoint: str) -> tuple[Sizes, dict[str, Tensor]]:
    """Sizes and weights, under our names, of a Hugging Face folder, a hub id, or a file with OpenAI's names."""
    path = Path(checkpoint)
    if path.is_file():
        return _from_openai(path)
    return _from_hugging_face(checkpoint_folder(checkpoint))


def to_hugging_face(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under our names -> under those of a CLIPVisionModel."""
    found = {}
    for own, weight in weights.items():
        name = own
        for theirs, ours in HUGGING_FACE.items():
            name = name.replace(ours, theirs)
        if ".self_attn.qkv." in name:
            for part, piece in zip("qkv", weight.chunk(3), strict=True):
                found[name.replace(".qkv.", f".{part}_proj.")] = piece
        else:
            found[name] = weight
    return found


def _from_hugging_face(folder: Path) -> tuple[Sizes, dict[str, Tensor]]:
    """The tower of a folder: alone, in a whole CLIP, or inside a vision-language model that has one."""
    sizes = _read_sizes(folder)
    weights = read_folder(folder)
    mark = "embeddings.class_embedding"
    prefix = next((name.removesuffix(mark) for name in weights if name.endswith(mark)), None)
    if prefix is None:
        raise UserError(f"{folder} holds no CLIP vision tower: no weight's name ends in '{mark}'")
    renamed = _renamed(weights, prefix, HUGGING_FACE)
    for block in range(sizes.num_hidden_layers):
        for end in (".weight", ".bias"):
            names = [f"blocks.{block}.attention.{part}_proj{end}" for part in "qkv"]
            if all(name in renamed for name in names):
                renamed[f"blocks.{block}.attention.qkv{end}"] = torch.cat([renamed.pop(name) for name in names])
    return sizes, renamed


def _read_sizes(folder: Path) -> Sizes:
    """config.json of a vision tower, or the part `vision_config` of a larger model's."""
    config = read_config(folder)
    try:
        return Sizes.model_validate(config.get("vision_config", config))
    except ValidationError as error:
        wrong = "; ".join(f"{each['loc'][-1]}: {each['msg']}" for each in error.errors() if each["loc"])
        raise UserError(
            f"{folder / 'config.json'} describes no CLIP vision tower: {wrong or 'its vision_config is no object'}"
        ) from error


def _from_openai(file: Path) -> tuple[Sizes, dict[str, Tensor]]:
    """A tower under OpenAI's names, `visual.` in front or not; its sizes are read off the shapes.

    The file does not say how many heads there are, nor the activation: they are OpenAI's, 64 wide and QuickGELU.
    """
    weights = read_weights(file)
    prefix = "visual." if any(name.startswith("visual.") for name in weights) else ""
    renamed = _renamed(weights, prefix, OPENAI)
    needed = ("patches.weight", "positions", "blocks.0.mlp.up.weight")
    if any(name not in renamed for name in needed) or renamed["patches.weight"].ndim != 4:
        raise UserError(
            f"{file} holds no CLIP vision transformer under OpenAI's names (visual.conv1.weight,"
            " visual.positional_embedding ...). Of a Hugging Face checkpoint give the folder; a ResNet is not supported"
        )
    width, _, patch_size, _ = renamed["patches.weight"].shape
    if width % 64 or width > 1024:
        raise UserError(
            f"{file} is {width} wide, which no CLIP of OpenAI's is, so its number of heads is not known."
            " Give a Hugging Face folder, whose config.json says it"
        )
    side = round((len(renamed["positions"]) - 1) ** 0.5)
    sizes = Sizes(
        image_size=side * patch_size,
        patch_size=patch_size,
        hidden_size=width,
        num_hidden_layers=len({name.split(".")[1] for name in renamed if name.startswith("blocks.")}),
        num_attention_heads=width // 64,
        intermediate_size=len(renamed["blocks.0.mlp.up.weight"]),
    )
    return sizes, renamed


def _renamed(weights: Mapping[str, Tensor], prefix: str, names: Mapping[str, str]) -> dict[str, Tensor]:
    """The weights behind `prefix` under our names; a weight that we do not know keeps its name, to be complained of."""
    found = {}
    for name, weight in weights.items():
        own = name.removeprefix(prefix)
        if not name.startswith(prefix) or own in UNUSED:
            continue
        for theirs, ours in names.items():
            own = own.replace(theirs, ours)
        found[own] = weight
    return found
