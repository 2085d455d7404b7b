"""Images are prepared as transformers' own class for a checkpoint prepares them, whatever its file leaves unsaid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
import transformers
from PIL import Image

from workbench.checkpoints.image_processor import read_preprocessing
from workbench.checkpoints.weights import CheckpointError

SIZE = 24
USUAL = {"do_normalize": True, "do_resize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
SQUARE, LARGER = {"height": SIZE, "width": SIZE}, {"height": 28, "width": 28}
# What names a class in a file, and what the file says of sizes: as those of older and newer checkpoints on the hub.
FILES: dict[str, tuple[str, dict[str, Any]]] = {
    "a ViT of 2021": ("vit", {"size": SIZE}),
    "a ViT": ("vit", {"feature_extractor_type": "ViTFeatureExtractor", "size": SIZE}),
    "a Swin": ("swin", {"image_processor_type": "ViTImageProcessor", "size": SQUARE, "resample": 3}),
    "a BEiT": ("beit", {"feature_extractor_type": "BeitFeatureExtractor", "size": SIZE, "crop_size": SIZE}),
    "a DeiT": (
        "deit",
        {"feature_extractor_type": "DeiTFeatureExtractor", "size": 28, "crop_size": SIZE, "do_center_crop": True},
    ),
    "a new DeiT": (
        "deit",
        {"image_processor_type": "DeiTImageProcessor", "size": LARGER, "crop_size": SQUARE, "do_center_crop": True},
    ),
    "a CLIP": (
        "clip",
        {"feature_extractor_type": "CLIPFeatureExtractor", "size": 28, "crop_size": SIZE, "do_center_crop": True},
    ),
    "a DINOv2 that does not say that it crops": (
        "dinov2",
        {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 28}, "crop_size": SQUARE},
    ),
    "a SigLIP that names no filter": ("siglip", {"image_processor_type": "SiglipImageProcessor", "size": SQUARE}),
    "a ConvNeXt": (
        "convnext",
        {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": SIZE}, "crop_pct": 0.875},
    ),
    "a SAM": (
        "sam",
        {
            "image_processor_type": "SamImageProcessor",
            "size": {"longest_edge": SIZE},
            "pad_size": SQUARE,
            "do_pad": True,
        },
    ),
}


def folder_of(told: dict[str, Any], kind: str, folder: Path) -> Path:
    (folder / "preprocessor_config.json").write_text(json.dumps(USUAL | told))
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    return folder


def image(width: int, height: int) -> Image.Image:
    pixels = numpy.random.default_rng(2).integers(0, 256, (height, width, 3), dtype=numpy.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("size", [(40, 31), (17, 90), (24, 24)])
def test_a_file_is_read_as_transformers_reads_it(name, size, tmp_path):
    kind, told = FILES[name]
    folder_of(told, kind, tmp_path)
    processor: Any = transformers.AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    wanted = torch.as_tensor(numpy.asarray(processor(image(*size))["pixel_values"][0]))
    torch.testing.assert_close(read_preprocessing(tmp_path, SIZE)(image(*size)), wanted, atol=1e-5, rtol=1e-5)


def test_of_images_that_are_cut_by_a_rule_of_their_own_it_is_told(tmp_path):
    folder_of({"image_processor_type": "LevitImageProcessor", "size": SIZE}, "levit", tmp_path)
    with pytest.raises(CheckpointError, match="means LevitImageProcessor.* of its own that is not followed here"):
        read_preprocessing(tmp_path, SIZE)


def test_a_large_convnext_sees_whole_images(tmp_path):
    told = {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 384}}
    folder_of(told, "convnext", tmp_path)
    found = read_preprocessing(tmp_path, SIZE)
    assert (found.size, found.edge, found.squeezed) == (384, 384, True)


def test_what_is_cut_off_stays_the_same_share_of_an_image_of_another_size(tmp_path):
    kind, told = FILES["a new DeiT"]
    found = read_preprocessing(folder_of(told, kind, tmp_path), SIZE)
    assert (found.resized(48).edge, found.resized(48).size) == (56, 48)
    assert (found.whole().edge, found.whole().size) == (SIZE, SIZE)
