"""Vision transformers of timm, held against its own hidden states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image

from tests.tiny import builtin_registry
from workbench import UserError
from workbench.conformance import check
from workbench.registry import resolve_options

try:
    import timm  # pyright: ignore[reportMissingImports]
    from timm.models import save_for_hf  # pyright: ignore[reportMissingImports]
except (ImportError, RuntimeError) as error:
    pytest.skip(f"needs timm and a torchvision built for this torch: {error}", allow_module_level=True)

SIZES: dict[str, Any] = {"img_size": 24, "patch_size": 4, "embed_dim": 32, "depth": 3, "num_heads": 4}
TOWERS: dict[str, dict[str, Any]] = {
    "ViT": {},
    "registers": {"reg_tokens": 2, "global_pool": "avg", "fc_norm": True},
    "no class token": {"class_token": False, "global_pool": "map"},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("towers")
    for name, options in TOWERS.items():
        torch.manual_seed(0)
        model = timm.create_model("vit_tiny_patch16_224", num_classes=5, **SIZES, **options)
        with torch.no_grad():
            for parameter in model.parameters():  # tokens and positions that start at zero hide mistakes
                parameter.add_(0.1 * torch.randn(parameter.shape))
        model.pretrained_cfg["input_size"] = (3, 24, 24)
        save_for_hf(model, root / name, model_args={**SIZES, **options}, safe_serialization=True)
    return {name: root / name for name in TOWERS}


def tower(folder: Path, **options: Any) -> Any:
    plugin = builtin_registry().plugin("encoder", "timm")
    return plugin.factory(**resolve_options(plugin, {"checkpoint": str(folder), **options})).eval()


@pytest.mark.parametrize("name", TOWERS)
@pytest.mark.parametrize("layer", [None, -2, 1])
@torch.no_grad()
def test_tokens_are_the_hidden_states_of_timm(name, layer, folders):
    images = torch.randn(2, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    model = timm.create_model(f"local-dir:{folders[name]}", pretrained=True).eval()
    block = {None: 2, -2: 1, 1: 0}[layer]
    [found] = model.forward_intermediates(
        images,
        indices=[block],
        norm=layer is None,
        output_fmt="NLC",
        return_prefix_tokens=True,
        intermediates_only=True,
    )
    wanted, before = found if isinstance(found, tuple) else (found, None)
    ours = tower(folders[name], layer=layer)
    torch.testing.assert_close(ours(images), wanted)
    assert (ours.shape.tokens, ours.shape.width) == (36, 32)
    if before is not None:
        both = tower(folders[name], layer=layer, class_token=True)(images)
        torch.testing.assert_close(both, torch.cat([before[:, :1], wanted], dim=1))


@pytest.mark.parametrize("name", TOWERS)
def test_every_tower_keeps_every_rule(name, folders):
    findings = list(check(builtin_registry(), "encoder", "timm", checkpoint=str(folders[name]), layer=-2))
    assert [f"{finding.title}: {finding.explanation}" for finding in findings if not finding.passed] == []


@torch.no_grad()
def test_images_may_be_larger_than_those_it_was_trained_on(folders):
    assert tower(folders["ViT"], image_size=32)(torch.randn(1, 3, 32, 32)).shape == (1, 64, 32)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ViT", {"layer": 4}, "layer 4 is not among the hidden states 0 to 3"),
        ("no class token", {"class_token": True}, "has no class token"),
    ],
)
def test_what_a_tower_cannot_do_is_told(name, options, message, folders):
    with pytest.raises(UserError, match=message):
        tower(folders[name], **options)


@torch.no_grad()
def test_large_images_are_seen_in_tiles_whose_edges_are_not_cut(folders):
    numbers = numpy.random.default_rng(0).integers(0, 256, (24, 72, 3), dtype=numpy.uint8)
    wide = Image.fromarray(numbers)
    ours = tower(folders["ViT"], tiles=4)
    views = ours.views(wide)
    assert views.shape == (4, 3, 24, 24)
    prepared = ours.transform(wide.crop((24, 0, 48, 24)))
    torch.testing.assert_close(views[2], prepared)
    mean, std = (torch.tensor(ours.tower.pretrained_cfg[name]) for name in ("mean", "std"))
    pixels = torch.from_numpy(numbers[:, 24:48]) / 255
    torch.testing.assert_close(prepared, ((pixels - mean) / std).permute(2, 0, 1))


def test_a_folder_that_timm_did_not_save_is_told(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="timm makes no model of"):
        tower(tmp_path)
