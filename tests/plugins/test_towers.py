"""Vision towers of transformers, held against its own hidden states and its own preprocessing."""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
import transformers
from PIL import Image
from torch import Tensor

from tests.tiny import builtin_registry
from workbench import UserError, read_preprocessing
from workbench.conformance import check
from workbench.registry import resolve_options
from workbench.runs.meta_device import without_numbers

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "image_size": 24,
    "patch_size": 4,
}
SQUARE = {"size": {"height": 24, "width": 24}, "resample": 3, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
CROPPED = {
    "size": {"shortest_edge": 28},
    "do_center_crop": True,
    "crop_size": {"height": 24, "width": 24},
    "resample": 3,
    "image_mean": [0.48, 0.46, 0.41],
    "image_std": [0.27, 0.26, 0.28],
}
TOWERS: dict[str, tuple[Callable[[], Any], dict[str, Any], int]] = {  # model, preprocessing, tokens before the patches
    "SigLIP": (lambda: transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**SIZES)), SQUARE, 0),
    "whole SigLIP": (
        lambda: transformers.SiglipModel(
            transformers.SiglipConfig(vision_config=SIZES, text_config={**TEXT, "max_position_embeddings": 8})
        ),
        SQUARE,
        0,
    ),
    "SigLIP 2": (
        lambda: transformers.Siglip2VisionModel(
            transformers.Siglip2VisionConfig(**{**SIZES, "image_size": None}, num_patches=36)
        ),
        SQUARE,
        0,
    ),
    "DINOv2": (lambda: transformers.Dinov2Model(transformers.Dinov2Config(**SIZES, mlp_ratio=2)), CROPPED, 1),
    "DINOv2 with registers": (
        lambda: transformers.Dinov2WithRegistersModel(
            transformers.Dinov2WithRegistersConfig(**SIZES, mlp_ratio=2, num_register_tokens=2)
        ),
        CROPPED,
        3,
    ),
    "ViT": (lambda: transformers.ViTForImageClassification(transformers.ViTConfig(**SIZES)), SQUARE, 1),
    "DeiT": (lambda: transformers.DeiTForImageClassificationWithTeacher(transformers.DeiTConfig(**SIZES)), SQUARE, 2),
    "ViT-MAE": (lambda: transformers.ViTMAEModel(transformers.ViTMAEConfig(**SIZES)), SQUARE, 1),
    "Pixtral": (lambda: transformers.PixtralVisionModel(transformers.PixtralVisionConfig(**SIZES)), SQUARE, 0),
    "Pixio": (lambda: transformers.PixioModel(transformers.PixioConfig(**SIZES, mlp_ratio=2)), SQUARE, 8),
    "AIMv2": (lambda: transformers.Aimv2VisionModel(transformers.Aimv2VisionConfig(**SIZES)), SQUARE, 0),
    "CLIP": (
        lambda: transformers.CLIPModel(
            transformers.CLIPConfig(vision_config=SIZES, text_config={**TEXT, "max_position_embeddings": 8})
        ),
        CROPPED,
        1,
    ),
}
STAGES: dict[str, tuple[Callable[[], Any], int, int]] = {  # model, side of the square of its tokens, their width
    "SAM": (
        lambda: transformers.SamVisionModel(
            transformers.SamVisionConfig(**{**SIZES, "image_size": 32}, output_channels=24, window_size=4)
        ),
        8,
        24,
    ),
    "Swin": (
        lambda: transformers.SwinModel(
            transformers.SwinConfig(
                image_size=32, patch_size=4, embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=4
            )
        ),
        4,
        32,
    ),
    "ConvNeXt": (
        lambda: transformers.ConvNextModel(
            transformers.ConvNextConfig(image_size=32, num_stages=2, hidden_sizes=[16, 32], depths=[1, 1])
        ),
        4,
        32,
    ),
}
TEXT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 20}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("towers")
    return {name: save(name, root / name.replace(" ", "-")) for name in TOWERS}


def save(name: str, folder: Path) -> Path:
    make, prepare, _ = TOWERS[name]
    torch.manual_seed(0)
    model = make()
    _shake(model)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(prepare))
    return folder


def _shake(model: Any) -> None:
    """Tokens and positions that start at zero hide mistakes."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


def tower(folder: Path | str, **options: Any) -> Any:
    plugin = builtin_registry().plugin("encoder", "huggingface")
    return plugin.factory(**resolve_options(plugin, {"checkpoint": str(folder), **options})).eval()


def reference(name: str, folder: Path) -> Any:
    config = transformers.AutoConfig.from_pretrained(folder)
    return transformers.AutoModel.from_pretrained(folder, config=getattr(config, "vision_config", config)).eval()


def told(name: str, folder: Path, images: Tensor, layer: int | None) -> Tensor:
    """What transformers gives, without the tokens before the patches."""
    model, before = reference(name, folder), TOWERS[name][2]
    given: dict[str, Any] = {"pixel_values": images}
    if name == "SigLIP 2":
        from transformers.models.siglip2.image_processing_pil_siglip2 import convert_image_to_patches

        patches = [torch.from_numpy(convert_image_to_patches(image.numpy(), 4)) for image in images]
        mask, shapes = torch.ones(len(images), 36, dtype=torch.long), torch.full((len(images), 2), 6)
        given = {"pixel_values": torch.stack(patches), "pixel_attention_mask": mask, "spatial_shapes": shapes}
    if name == "ViT-MAE":  # which sees some patches alone, in an order of its own, unless it is told
        model.config.mask_ratio = 0.0
        given["noise"] = torch.arange(36).expand(len(images), -1)
    if name == "Pixtral":  # which makes one sequence of all images
        return torch.cat(
            [_hidden(model(pixel_values=image[None], output_hidden_states=True), layer) for image in images]
        )
    return _hidden(model(**given, output_hidden_states=True), layer)[:, before:]


def _hidden(output: Any, layer: int | None) -> Tensor:
    return output.last_hidden_state if layer is None else output.hidden_states[layer]


@pytest.mark.parametrize("name", TOWERS)
@pytest.mark.parametrize("layer", [None, -2, 1])
@torch.no_grad()
def test_tokens_are_the_hidden_states_of_transformers(name, layer, folders):
    images = torch.randn(2, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    ours = tower(folders[name], layer=layer)
    torch.testing.assert_close(ours(images), told(name, folders[name], images, layer), atol=1e-5, rtol=1e-5)
    assert (ours.shape.tokens, ours.shape.width) == (36, 32)


@pytest.mark.parametrize("name", STAGES)
def test_a_tower_of_stages_gives_the_map_of_its_last_one(name, tmp_path):
    make, side, width = STAGES[name]
    torch.manual_seed(0)
    model = make().eval()
    _shake(model)
    model.save_pretrained(tmp_path)
    size = model.config.image_size
    prepare = {**SQUARE, "size": {"height": size, "width": size}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(prepare))
    ours = tower(tmp_path)
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        wanted = model(images).last_hidden_state
    wanted = wanted.flatten(2).transpose(1, 2) if wanted.ndim == 4 else wanted
    torch.testing.assert_close(ours(images), wanted, atol=1e-5, rtol=1e-5)
    assert (ours.shape.tokens, ours.shape.width) == (side**2, width)
    findings = list(check(builtin_registry(), "encoder", "huggingface", checkpoint=str(tmp_path)))
    assert [f"{finding.title}: {finding.explanation}" for finding in findings if not finding.passed] == []
    with pytest.raises(UserError, match="of another width or number: leave out layer"):
        tower(tmp_path, layer=-1)


# What options do is done to the tokens of any tower: here of one with no token before the patches, and one with three.
OPTIONS = [
    (name, options)
    for name in ("SigLIP", "DINOv2 with registers")
    for options in ({"layer": -2, "pool": 2}, {"tiles": 3})
]


@pytest.mark.parametrize(("name", "options"), [*((name, {}) for name in TOWERS), *OPTIONS])
def test_every_tower_keeps_every_rule(name, options, folders):
    findings = list(check(builtin_registry(), "encoder", "huggingface", checkpoint=str(folders[name]), **options))
    assert [f"{finding.title}: {finding.explanation}" for finding in findings if not finding.passed] == []


@torch.no_grad()
def test_the_class_token_is_kept_when_asked_for_and_patches_are_averaged_in_squares(folders):
    images = torch.randn(2, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    patches = tower(folders["DINOv2"], layer=-2)(images)
    both = tower(folders["DINOv2"], layer=-2, class_token=True, pool=3)(images)
    hidden = reference("DINOv2", folders["DINOv2"])(images, output_hidden_states=True).hidden_states[-2]
    torch.testing.assert_close(both[:, 0], hidden[:, 0], atol=1e-5, rtol=1e-5)
    averaged = patches.view(2, 2, 3, 2, 3, 32).mean((2, 4)).flatten(1, 2)
    torch.testing.assert_close(both[:, 1:], averaged, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["SigLIP", "DINOv2", "ViT", "SigLIP 2"])
@torch.no_grad()
def test_images_may_be_larger_than_those_it_was_trained_on(name, folders):
    ours = tower(folders[name], image_size=32)
    assert ours.transform(Image.new("RGB", (50, 40), (200, 10, 10))).shape == (3, 32, 32)
    assert ours(torch.randn(1, 3, 32, 32)).shape == (1, 64, 32)


@pytest.mark.parametrize("layer", [None, -2])
@pytest.mark.parametrize("name", ["DINOv2", "DINOv2 with registers", "ViT", "CLIP", "SigLIP"])
@pytest.mark.parametrize("size", [16, 32])
@torch.no_grad()
def test_preprocessing_of_another_size_than_the_config_s_is_followed_as_transformers_does(name, size, layer, tmp_path):
    """DINOv2 was trained on 518 pixels, and its preprocessing on the hub makes 224."""
    save(name, tmp_path)
    file = tmp_path / "preprocessor_config.json"
    told = json.loads(file.read_text())
    kind = {"ViT": "ViTImageProcessor", "CLIP": "CLIPImageProcessor", "SigLIP": "SiglipImageProcessor"}
    told["image_processor_type"] = kind.get(name, "BitImageProcessor")
    square = {"height": size, "width": size}
    told |= {"size": {"shortest_edge": size + 3}, "crop_size": square} if "crop_size" in told else {"size": square}
    file.write_text(json.dumps(told))
    image = Image.effect_mandelbrot((40, 31), (-2, -1, 1, 1), 50).convert("RGB")
    processor: Any = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    given = processor(images=image, return_tensors="pt")["pixel_values"]
    ours, model = tower(tmp_path, layer=layer), reference(name, tmp_path)
    torch.testing.assert_close(ours.transform(image), given[0], atol=1e-5, rtol=1e-5)
    interpolates = "interpolate_pos_encoding" in inspect.signature(type(model).forward).parameters
    named = {"interpolate_pos_encoding": True} if interpolates else {}
    output = model(pixel_values=given, output_hidden_states=True, **named)
    wanted = _hidden(output, layer)[:, TOWERS[name][2] :]
    torch.testing.assert_close(ours(given), wanted, atol=1e-5, rtol=1e-5)
    assert ours.shape.tokens == (size // 4) ** 2


PROCESSORS = {"SigLIP": "siglip.image_processing_pil_siglip.SiglipImageProcessorPil"}
PROCESSORS |= {"DINOv2": "bit.image_processing_pil_bit.BitImageProcessorPil"}
PROCESSORS |= {"ViT": "vit.image_processing_pil_vit.ViTImageProcessorPil"}
PROCESSORS |= {"CLIP": "clip.image_processing_pil_clip.CLIPImageProcessorPil"}


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("size", [(40, 31), (24, 24), (17, 90), (24, 60)])
def test_images_are_prepared_as_transformers_prepares_them(name, size, folders):
    module, _, kind = PROCESSORS[name].rpartition(".")
    processor = getattr(importlib.import_module(f"transformers.models.{module}"), kind)(**TOWERS[name][1])
    pixels = numpy.random.default_rng(2).integers(0, 256, (size[1], size[0], 3), dtype=numpy.uint8)
    image = Image.fromarray(pixels)
    wanted = torch.as_tensor(numpy.asarray(processor(image)["pixel_values"][0]))
    torch.testing.assert_close(tower(folders[name]).transform(image), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", PROCESSORS)
def test_tiles_lose_no_edge_however_images_are_cut_otherwise(name, folders):
    ours = tower(folders[name], tiles=2)
    pixels = numpy.random.default_rng(2).integers(0, 256, (24, 48, 3), dtype=numpy.uint8)
    views = ours.views(Image.fromarray(pixels))
    mean, deviation = (torch.tensor(each)[:, None] for each in (ours.prepare.mean, ours.prepare.deviation))
    for tile, half in zip(views[1:], (pixels[:, :24], pixels[:, 24:]), strict=True):
        wanted = torch.tensor(half.reshape(-1, 3).T.astype(numpy.float32)) * ours.prepare.factor
        torch.testing.assert_close(tile.flatten(1), (wanted - mean) / deviation, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": 4}, "layer 4 is not among the hidden states 0 to 3"),
        ({"layer": -5}, "layer -5 is not among"),
        ({"class_token": True}, "has no class token"),
        ({"pool": 4}, "no whole number of squares of 4 by 4 patches"),
        ({"image_size": 26}, "images of 26 pixels make no whole number"),
    ],
)
def test_what_a_tower_cannot_do_is_told(options, message, folders):
    with pytest.raises(UserError, match=message):
        tower(folders["SigLIP"], **options)


def test_a_folder_without_preprocessing_is_told(tmp_path):
    with pytest.raises(UserError, match="preprocessor_config.json"):
        read_preprocessing(tmp_path, 24)
    (tmp_path / "preprocessor_config.json").write_text('{"do_resize": true}')
    with pytest.raises(UserError, match="does not say how images are prepared: KeyError"):
        read_preprocessing(tmp_path, 24)
    (tmp_path / "preprocessor_config.json").write_text('{"size": {"height": 3, "width": 4}}')
    with pytest.raises(UserError, match="does not make squares"):
        read_preprocessing(tmp_path, 24)


def test_without_timm_the_extra_is_named(monkeypatch, folders):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match=r"pip install workbench\[timm\]"):
        builtin_registry().create("encoder", "timm", checkpoint=str(folders["ViT"]))


@torch.no_grad()
def test_a_table_that_a_family_keeps_is_not_made_without_numbers(tmp_path):
    torch.manual_seed(0)
    kept = transformers.BeitModel(transformers.BeitConfig(**SIZES, use_relative_position_bias=True)).eval()
    kept.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(SQUARE))
    with without_numbers():  # as a plan does
        tower(tmp_path)
    images = torch.randn(2, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(tower(tmp_path)(images), kept(images).last_hidden_state[:, 1:])
