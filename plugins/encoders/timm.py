"""Pretrained vision transformers of timm: ViT, DeiT, DINOv2, SigLIP, EVA ..."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from PIL import Image
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from workbench import Checkpoint, Encoder, Tiles, UserError, VisionShape, checkpoint_files, checkpoint_folder, hookimpl

from ._blocks import blocks_before

NEEDED = ("blocks", "norm", "cls_token", "num_prefix_tokens", "patch_embed", "embed_dim")


class TimmTower(Encoder):
    """A vision transformer of timm (https://github.com/huggingface/pytorch-image-models), with timm's preprocessing.

    A hub id is, for example, timm/vit_small_patch14_dinov2.lvd142m. What comes behind `layer` is left out, and so are
    registers. In another `image_size` than the tower was trained on, its positions are interpolated. With `tiles` the
    whole image is squeezed, not cut.
    """

    packages = ("timm", "torchvision")

    def __init__(
        self,
        *,
        checkpoint: Annotated[
            Checkpoint,
            Field(description="folder with config.json and model.safetensors as timm saves them, or a hub id"),
        ],
        layer: Annotated[
            int | None,
            Field(description="hidden state after so many blocks, or -1 ... from the end; null: the last, normalised"),
        ] = None,
        class_token: Annotated[bool, Field(description="keep the class token in front of the patches")] = False,
        image_size: Annotated[
            PositiveInt | None, Field(description="side of the square image, in pixels; null: as the tower was trained")
        ] = None,
        tiles: Tiles = 0,
    ):
        super().__init__()
        timm = _timm()
        self.tower = _read_tower(timm, checkpoint, image_size)
        size = {} if image_size is None else {"input_size": (3, image_size, image_size)}
        told = timm.data.resolve_model_data_config(self.tower, args=size)
        if tiles:  # they are squares: no edge may be cut
            told |= {"crop_pct": 1.0, "crop_mode": "squash"}
        self.prepare = timm.data.create_transform(**told, is_training=False)
        self.image_size, self.tiles = told["input_size"][-1], tiles
        has_class_token = self.tower.cls_token is not None
        if class_token and not has_class_token:
            raise UserError(f"{checkpoint} has no class token: leave class_token out")
        self.class_token = class_token
        rows, columns = self.tower.patch_embed.grid_size
        self.shape = VisionShape(self.tower.embed_dim, rows * columns + class_token)
        if layer is not None:
            del self.tower.blocks[blocks_before(layer, len(self.tower.blocks)) :]
            self.tower.norm = nn.Identity()

    @classmethod
    def files(cls, options: Mapping[str, Any]) -> Sequence[Path]:
        """The files of the checkpoint, config.json among them."""
        return checkpoint_files(options["checkpoint"])

    def transform(self, image: Image.Image) -> Tensor:
        """As timm evaluates the tower -> [3,H,W]."""
        return self.prepare(image.convert("RGB"))

    def forward(self, images: Tensor) -> Tensor:
        """images [P,3,H,W] -> tokens [P,N,Dv]."""
        hidden = self.tower.forward_features(images)  # [P,prefix+patches,Dv]
        patches = hidden[:, self.tower.num_prefix_tokens :]
        return torch.cat([hidden[:, :1], patches], dim=1) if self.class_token else patches


def _timm() -> Any:
    try:
        import timm
        import timm.data  # pyright: ignore[reportMissingImports]
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision that was built for another torch
        raise UserError(
            "the encoder 'timm' needs timm, and a torchvision built for the torch that is installed:"
            f" pip install workbench[timm] ({error})"
        ) from error
    return timm


def _read_tower(timm: Any, checkpoint: str, image_size: int | None) -> Any:
    """The tower without what only its classes need; on the meta device no weight is read."""
    folder = checkpoint_folder(checkpoint)
    sizes = {} if image_size is None else {"img_size": image_size}
    try:
        tower = timm.create_model(
            f"local-dir:{folder}", pretrained=torch.get_default_device().type != "meta", num_classes=0, **sizes
        )
    except Exception as error:  # timm raises many kinds for a folder that it cannot read, or a size that does not fit
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"timm makes no model of {checkpoint}: {reason or type(error).__name__}") from error
    if any(not hasattr(tower, name) for name in NEEDED):
        raise UserError(f"{checkpoint} is a {type(tower).__name__}, which is no vision transformer of equal blocks")
    tower.reset_classifier(0, "")
    tower.fc_norm = nn.Identity()
    return tower


@hookimpl
def register_encoders(register):
    """Every vision transformer of timm."""
    register("timm", TimmTower)
