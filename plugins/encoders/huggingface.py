"""Pretrained vision towers of Hugging Face transformers: SigLIP, SigLIP 2, DINOv2, ViT, CLIP ..."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from PIL import Image
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from workbench import (
    Checkpoint,
    Encoder,
    Preprocessing,
    Tiles,
    TransformersPart,
    UserError,
    VisionShape,
    checkpoint_files,
    checkpoint_folder,
    hookimpl,
    read_preprocessing,
    read_pretrained,
    small_tower,
)

from ._tower_blocks import cut, used_blocks
from ._tower_tokens import arguments, leading_tokens, measured, tokens_of

BLOCKS = 3  # of a likeness
PREPROCESSING = "preprocessor_config.json"
UNNEEDED = ("pooler.", "embeddings.mask_token")  # for classes and for the tower's own pretraining; often missing


class HuggingFaceTower(Encoder):
    """A vision tower of transformers, from a folder or hub id, with the preprocessing that comes with it.

    What comes behind `layer` is left out: LLaVA takes -2 (https://arxiv.org/abs/2304.08485, section 4.1). Registers are
    left out as well. In another `image_size` than the tower was trained on, its positions are interpolated. With
    `tiles` the whole image is squeezed, not cut.
    """

    packages = ("transformers",)

    def __init__(
        self,
        *,
        checkpoint: Annotated[
            Checkpoint, Field(description="folder or hub id of a vision tower, or of a model that has one")
        ],
        layer: Annotated[
            int | None,
            Field(description="hidden state after so many blocks, or -1 ... from the end; null: the last, normalised"),
        ] = None,
        class_token: Annotated[bool, Field(description="keep the class token in front of the patches")] = False,
        pool: Annotated[
            PositiveInt,
            Field(description="side, in patches, of the square that is averaged into one token; 1 keeps every patch"),
        ] = 1,
        image_size: Annotated[
            PositiveInt | None, Field(description="side of the image, in pixels; null: that of its preprocessing")
        ] = None,
        tiles: Tiles = 0,
    ):
        super().__init__()
        folder = checkpoint_folder(checkpoint)
        self._take_over(folder, _read_tower(folder), checkpoint, layer, class_token, pool, image_size, tiles)

    @classmethod
    def likeness(cls, options: Mapping[str, Any]) -> HuggingFaceTower:
        """The checkpoint's own tower with a few blocks alone, their weights drawn at random."""
        folder = checkpoint_folder(options["checkpoint"])
        tower = small_tower(folder, BLOCKS)
        _see_everything(tower)
        layer = options["layer"]
        made = cls.__new__(cls)
        Encoder.__init__(made)
        made._take_over(folder, tower, **{**options, "layer": None if layer is None else max(-2, min(layer, BLOCKS))})
        return made

    def _take_over(
        self,
        folder: Path,
        tower: Any,
        checkpoint: str,
        layer: int | None,
        class_token: bool,
        pool: int,
        image_size: int | None,
        tiles: int,
    ) -> None:
        """Find out what the tower gives, and cut off what is not wanted of it."""
        self.folder, self.layer, self.tiles, self.tower = folder, layer, tiles, tower
        self.patch, self.trained_size = _sizes(self.tower.config, checkpoint)
        self.prepare = self._preprocessing(image_size)
        self.image_size = self.prepare.size
        self.leading = leading_tokens(self.tower)
        self.class_token, self.pooled = class_token, pool
        if class_token and not self.leading.classes:
            raise UserError(f"{checkpoint} has no class token: leave class_token out")
        if self.image_size % self.patch:
            raise UserError(_no_squares(self.image_size, self.patch, pool))
        sizes = self.image_size, self.patch, self.trained_size, self.leading.count
        width, self.side = measured(self.tower, *sizes)
        if self.side % pool:
            raise UserError(_no_squares(self.image_size, self.image_size // self.side, pool))
        self.shape = VisionShape(width, (self.side // pool) ** 2 + class_token)
        self.used = used_blocks(self.tower, layer)
        if layer is not None:
            cut(self.tower, self.used)

    @classmethod
    def files(cls, options: Mapping[str, Any]) -> Sequence[Path]:
        """The files of the checkpoint, its preprocessing among them."""
        return checkpoint_files(options["checkpoint"])

    def transform(self, image: Image.Image) -> Tensor:
        """As `preprocessor_config.json` says -> [3,H,W]."""
        return self.prepare(image)

    def forward(self, images: Tensor) -> Tensor:
        """images [P,3,H,W] -> tokens [P,N,Dv]."""
        hidden = tokens_of(self._run(images), len(images))  # [P,leading+side^2,Dv]
        patches = hidden[:, self.leading.count :]
        if patches.shape[1] != self.side**2:
            raise UserError(f"{type(self.tower).__name__} gives {patches.shape[1]} patches in place of {self.side**2}")
        if self.pooled > 1:
            square = patches.transpose(1, 2).unflatten(2, (self.side, self.side))
            patches = functional.avg_pool2d(square, self.pooled).flatten(2).transpose(1, 2)
        return torch.cat([hidden[:, :1], patches], dim=1) if self.class_token else patches

    def pool(self, images: Tensor) -> Tensor:
        """images [P,3,H,W] -> what the tower's own pooling gives, or its class token, or the mean [P,Dv]."""
        output = self._run(images)
        pooled = getattr(output, "pooler_output", None)
        if self.layer is None and pooled is not None:
            return pooled
        hidden = tokens_of(output, len(images))
        return hidden[:, 0] if self.leading.classes else hidden.mean(1)

    def train(self, mode: bool = True) -> HuggingFaceTower:
        """Statistics over the batch stay those it was trained with: an image's tokens depend on no neighbour."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def for_transformers(self) -> TransformersPart:
        """The whole tower as its checkpoint has it, with what was trained, and the hidden state that is taken of it."""
        tower = read_pretrained("AutoModel", self.folder, part="vision_config", unneeded=UNNEEDED).eval()
        tower.load_state_dict(self.tower.state_dict(), strict=False)
        self._check_llava(tower)
        drops = self.leading.count == 1 and not self.class_token
        return TransformersPart(
            config={name: value for name, value in tower.config.to_dict().items() if not name.startswith("_")},
            weights=tower.state_dict(),
            settings={
                "vision_feature_layer": self.used,
                "vision_feature_select_strategy": "default" if drops else "full",
            },
            files={PREPROCESSING: self._told_preprocessing()},
        )

    def _preprocessing(self, image_size: int | None) -> Preprocessing:
        """What comes with the tower, in another size if one is given."""
        found = read_preprocessing(self.folder, self.trained_size)
        found = found if image_size is None else found.resized(image_size)
        return found.whole() if self.tiles else found  # tiles are squares: no edge may be cut

    def _told_preprocessing(self) -> dict[str, Any]:
        """What `preprocessor_config.json` says, in the size that images have here."""
        told = json.loads((self.folder / PREPROCESSING).read_text(encoding="utf-8"))
        if (
            self.prepare.kind and "feature_extractor_type" not in told
        ):  # beside a LLaVA's config.json, none means another
            told = {"image_processor_type": self.prepare.kind, **told}
        if self.image_size == read_preprocessing(self.folder, self.trained_size).size:
            return told
        square = {"height": self.image_size, "width": self.image_size}
        edge = self.prepare.edge
        if self.prepare.padded:
            return {**told, "size": {"longest_edge": edge}, "pad_size": square}
        if self.prepare.squeezed and edge == self.image_size:
            return {**told, "size": square, "do_center_crop": False}
        resized = {"height": edge, "width": edge} if self.prepare.squeezed else {"shortest_edge": edge}
        return {**told, "size": resized, "crop_size": square, "do_center_crop": True}

    @torch.no_grad()
    def _check_llava(self, tower: Any) -> None:
        """LLaVA shows a tower images and takes one hidden state, with all tokens or without the first."""
        if "spatial_shapes" in inspect.signature(type(tower).forward).parameters:
            raise UserError(f"LLaVA shows a tower images, and {type(tower).__name__} takes rows of patches")
        if self.leading.count > 1:
            raise UserError("LLaVA would take its registers as patches")
        if self.pooled > 1 or self.tiles:
            raise UserError("LLaVA takes every patch of one image: leave out pool, tiles")
        if self.used == 0:
            raise UserError(f"LLaVA takes the hidden state of a block, and the stages of {type(tower).__name__} differ")
        images = torch.linspace(-1, 1, 3 * self.image_size**2).view(1, 3, self.image_size, self.image_size)
        try:
            output = tower(images, output_hidden_states=True)
        except (RuntimeError, ValueError) as error:  # of other positions than patches: most families do not interpolate
            raise UserError(
                f"LLaVA shows {type(tower).__name__} images of the {self.trained_size} pixels that it was trained on"
                f" alone, and they have {self.image_size} here: set image_size: {self.trained_size}"
            ) from error
        if self.layer is None and not torch.equal(output.hidden_states[-1], output.last_hidden_state):
            raise UserError(
                "LLaVA takes a hidden state, and not what its last norm makes of it: set layer, as layer: -2"
            )
        given, first = output.hidden_states[self.used], 0 if self.class_token else self.leading.count
        if given.shape[0] != 1 or not torch.allclose(given[:, first:], self(images), rtol=1e-3, atol=1e-3):
            raise UserError(f"LLaVA would take other tokens of {type(tower).__name__} than training did")

    def _run(self, images: Tensor) -> Any:
        given, named = arguments(self.tower, images, self.patch, self.trained_size)
        return self.tower(*given, **named)


def _read_tower(folder: Path) -> Any:
    """The tower alone, also of a model that has texts as well."""
    tower = read_pretrained("AutoModel", folder, part="vision_config", unneeded=UNNEEDED)
    _see_everything(tower)
    return tower


def _see_everything(tower: Any) -> None:
    """Leave out what only pretraining needs."""
    if hasattr(tower.config, "mask_ratio"):
        tower.config.mask_ratio = 0.0  # what ViT-MAE's own pretraining hides is to be seen
    if getattr(tower, "pooler", None) is not None:
        tower.pooler = None
    for module in tower.modules():
        if "mask_token" in module._parameters:
            module.mask_token = None


def _sizes(config: Any, checkpoint: str) -> tuple[int, int]:
    """How wide a patch is, and how wide the images were that the tower was trained on."""
    patch = getattr(config, "patch_size", None)
    if isinstance(patch, (list, tuple)):
        patch = patch[0]
    if not isinstance(patch, int):
        raise UserError(f"{checkpoint} is a {config.model_type}, which makes no square patches of images")
    size = getattr(config, "image_size", None)
    if isinstance(size, (list, tuple)):
        size = size[0]
    if isinstance(size, int):
        return patch, size
    if not isinstance(getattr(config, "num_patches", None), int):
        raise UserError(f"{checkpoint} is a {config.model_type}, whose config.json names no image_size")
    return patch, patch * math.isqrt(config.num_patches)


def _no_squares(size: int, patch: int, pool: int) -> str:
    return (
        f"images of {size} pixels make no whole number of squares of {pool} by {pool} patches, each {patch} pixels"
        " wide; choose another pool or image_size"
    )


@hookimpl
def register_encoders(register):
    """Every vision transformer of transformers."""
    register("huggingface", HuggingFaceTower)
