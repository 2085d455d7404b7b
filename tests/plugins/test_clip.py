"""The CLIP tower and its preprocessing, held against transformers with random weights at the real shapes."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPVisionConfig, CLIPVisionModel

from tests.tiny import builtin_registry
from workbench import UserError, VisionShape
from workbench.registry import resolve_options

TINY = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 96,
}
OPENAI_NAMES = {
    "embeddings.class_embedding": "class_embedding",
    "embeddings.patch_embedding": "conv1",
    "embeddings.position_embedding.weight": "positional_embedding",
    "pre_layrnorm": "ln_pre",
    "post_layernorm": "ln_post",
    "encoder.layers": "transformer.resblocks",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn": "attn",
    "fc1": "c_fc",
    "fc2": "c_proj",
}


def clip(**options: Any) -> Any:
    """The built-in encoder, its options checked as those of an experiment file are."""
    plugin = builtin_registry().plugin("encoder", "clip")
    return plugin.factory(**resolve_options(plugin, options))


def reference(**sizes: Any) -> CLIPVisionModel:
    """transformers' tower, no parameter left at a value (0 or 1) that would hide a mistake; weights exact in bf16."""
    with torch.device("meta"):
        model = CLIPVisionModel(CLIPVisionConfig(**sizes))
    model.to_empty(device="cpu")
    spread = 1.7 * sizes["hidden_size"] ** -0.5
    largest = max(parameter.numel() for parameter in model.parameters())
    chance = torch.rand(largest + 1000, generator=torch.Generator().manual_seed(0))
    chance = (spread * (2 * chance - 1)).bfloat16().float()
    with torch.no_grad():
        for index, (name, parameter) in enumerate(model.named_parameters()):
            start = index * 37 % 1000  # drawing 300 million numbers would take seconds
            parameter.copy_(chance[start : start + parameter.numel()].view(parameter.shape))
            if "norm" in name and name.endswith("weight"):
                parameter.copy_((1 + parameter).bfloat16())
        for name, buffer in model.named_buffers():
            assert name.endswith("position_ids")
            buffer.copy_(torch.arange(buffer.numel())[None])
    return model.eval()


def expected(model: CLIPVisionModel, images: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
    """The hidden states before and behind each block, and the pooled output."""
    with torch.no_grad():
        output = model(images, output_hidden_states=True)
    return output.hidden_states, output.pooler_output


def noise(size: int, count: int = 1) -> Tensor:
    """Images [P,3,H,W]."""
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def openai_weights(model: CLIPVisionModel) -> dict[str, Tensor]:
    """The same weights as OpenAI names and packs them."""
    found: dict[str, Tensor] = {}
    for name, weight in model.state_dict().items():
        name = name.removeprefix("vision_model.")  # transformers 4 has it, transformers 5 has not
        for theirs, openai in OPENAI_NAMES.items():
            name = name.replace(theirs, openai)
        found[f"visual.{name}"] = weight
    for block in range(model.config.num_hidden_layers):
        start = f"visual.transformer.resblocks.{block}.attn."
        for end in ("weight", "bias"):
            found[f"{start}in_proj_{end}"] = torch.cat([found.pop(f"{start}{part}_proj.{end}") for part in "qkv"])
    return found | {
        "visual.proj": torch.zeros(model.config.hidden_size, 8),
        "positional_embedding": torch.zeros(77, 16),
        "transformer.resblocks.0.ln_1.weight": torch.ones(16),
        "logit_scale": torch.tensor(4.6),
    }


@pytest.fixture(scope="module")
def tiny() -> CLIPVisionModel:
    return reference(**TINY)


@pytest.fixture(scope="module")
def tiny_folder(tiny, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    tiny.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(tiny_folder, tmp_path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "clip"))


def test_a_tower_of_the_shapes_of_ViT_B_32_is_that_of_transformers(tmp_path):
    base = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
    encoder, states = check_large(reference(image_size=224, patch_size=32, **base), tmp_path)
    assert encoder.shape == VisionShape(768, 49)
    with torch.no_grad():
        assert (encoder(noise(224)) - states[-2][:, 1:]).abs().max() < 1e-4


def test_a_tower_of_the_shapes_of_ViT_L_14_is_that_of_transformers(tmp_path):
    """Four of its 24 blocks, which are all of one shape: whole it takes 300 GFLOP."""
    large = {"hidden_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 16, "intermediate_size": 4096}
    encoder, _ = check_large(reference(image_size=224, patch_size=14, **large), tmp_path)
    assert encoder.shape == VisionShape(1024, 256)


def check_large(model: CLIPVisionModel, folder: Path) -> tuple[Any, tuple[Tensor, ...]]:
    """Save the tower, load it as ours, and compare every hidden state and the pooled output in one pass."""
    images = noise(224)
    states, pooled = expected(model, images)
    model.bfloat16().save_pretrained(folder)
    encoder = clip(checkpoint=str(folder)).eval()
    (folder / "model.safetensors").unlink()  # pytest keeps the folders of the last runs
    seen: list[Tensor] = []
    hooks = [block.register_forward_hook(lambda *call: seen.append(call[-1])) for block in encoder.blocks]
    with torch.no_grad():
        assert (encoder.pool(images) - pooled).abs().max() < 1e-4
    assert len(seen) == len(states) - 1
    for ours, theirs in zip(seen, states[1:], strict=True):
        assert (ours - theirs).abs().max() < 1e-4
    for hook in hooks:
        hook.remove()
    return encoder, states


@pytest.mark.parametrize("layer", [0, 1, 3, -1, -2, -4])
def test_layer_counts_the_hidden_states_as_transformers_does(tiny, tiny_folder, layer):
    states, _ = expected(tiny, noise(32, 2))
    encoder = clip(checkpoint=str(tiny_folder), layer=layer, class_token=True).eval()
    torch.testing.assert_close(encoder(noise(32, 2)), states[layer], atol=1e-5, rtol=0)


def test_the_class_token_is_dropped_unless_it_is_asked_for(tiny_folder):
    without, with_token = clip(checkpoint=str(tiny_folder)), clip(checkpoint=str(tiny_folder), class_token=True)
    assert (without.shape.tokens, with_token.shape.tokens, without.shape.width) == (16, 17, 64)
    tokens = with_token(noise(32))
    assert tokens.shape == (1, 17, 64)
    torch.testing.assert_close(without(noise(32)), tokens[:, 1:], atol=0, rtol=0)


def test_forward_runs_no_block_behind_the_layer_and_pool_runs_all():
    encoder = clip(image_size=16, patch_size=8, width=16, depth=4, heads=2)
    ran = []
    for index, block in enumerate(encoder.blocks):
        block.register_forward_hook(lambda *_, index=index: ran.append(index))
    encoder(noise(16))
    assert ran == [0, 1, 2]
    ran.clear()
    encoder.pool(noise(16))
    assert ran == [0, 1, 2, 3]


def test_gelu_is_taken_from_the_config(tmp_path):
    model = reference(**TINY, hidden_act="gelu")
    model.save_pretrained(tmp_path)
    states, pooled = expected(model, noise(32))
    gelu = clip(checkpoint=str(tmp_path), layer=-1, class_token=True)
    torch.testing.assert_close(gelu(noise(32)), states[-1], atol=1e-5, rtol=0)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"hidden_act": "quick_gelu"}))
    assert (clip(checkpoint=str(tmp_path)).pool(noise(32)) - pooled).abs().max() > 1e-3


def test_the_tower_of_a_whole_clip_is_found_behind_its_prefix(tmp_path):
    config = CLIPConfig(vision_config=TINY, text_config={"hidden_size": 16, "num_hidden_layers": 1, "vocab_size": 9})
    model = CLIPModel(config).eval()
    model.save_pretrained(tmp_path)
    assert "vision_model.post_layernorm.weight" in load_file(tmp_path / "model.safetensors")
    with torch.no_grad():
        pooled = model.vision_model(noise(32)).pooler_output
    torch.testing.assert_close(clip(checkpoint=str(tmp_path)).pool(noise(32)), pooled, atol=1e-5, rtol=0)


def test_shards_and_pytorch_files_give_the_same_tower(tiny, tiny_folder, tmp_path):
    whole = clip(checkpoint=str(tiny_folder)).state_dict()
    tiny.save_pretrained(tmp_path / "shards", max_shard_size="100KB")
    assert len(list((tmp_path / "shards").glob("model-*.safetensors"))) > 1
    (tmp_path / "torch").mkdir()
    shutil.copy(tiny_folder / "config.json", tmp_path / "torch")
    old = {f"vision_model.{name.removeprefix('vision_model.')}": weight for name, weight in tiny.state_dict().items()}
    old["vision_model.embeddings.position_ids"] = torch.arange(17)[None]  # as older versions of transformers wrote it
    torch.save(old, tmp_path / "torch" / "pytorch_model.bin")
    for name in ("shards", "torch"):
        torch.testing.assert_close(dict(clip(checkpoint=str(tmp_path / name)).state_dict()), dict(whole))


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_file_with_the_names_of_OpenAI_gives_the_same_tower(tmp_path, suffix):
    model = reference(**TINY | {"num_attention_heads": 1, "intermediate_size": 256})  # OpenAI's heads are 64 wide
    states, pooled = expected(model, noise(32))
    file = tmp_path / f"openai{suffix}"
    weights = {name: weight.bfloat16() for name, weight in openai_weights(model).items()}
    (save_file if suffix == ".safetensors" else torch.save)(weights, file)
    encoder = clip(checkpoint=str(file)).eval()
    assert encoder.positions.dtype == torch.float32
    torch.testing.assert_close(encoder(noise(32)), states[-2][:, 1:], atol=1e-5, rtol=0)
    torch.testing.assert_close(encoder.pool(noise(32)), pooled, atol=1e-5, rtol=0)


def test_planning_on_the_meta_device_gives_the_sizes_of_the_checkpoint(tiny, tiny_folder):
    with torch.device("meta"):
        encoder = clip(checkpoint=str(tiny_folder))
    assert all(parameter.is_meta for parameter in encoder.parameters())
    assert sum(map(torch.numel, encoder.parameters())) == sum(map(torch.numel, tiny.parameters()))


def rewrite_config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def rename_weight(folder: Path, old: str, new: str) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({name.replace(old, new): weight for name, weight in weights.items()}, folder / "model.safetensors")


SPOILED = {
    r"cannot read .*config\.json": lambda folder: (folder / "config.json").unlink(),
    r"cannot read .*config\.json.*Expecting": lambda folder: (folder / "config.json").write_text("{"),
    r"cannot read .*config\.json.*": lambda folder: (folder / "config.json").write_text("[1]"),
    r"hidden_act: Input should be": lambda folder: rewrite_config(folder, hidden_act="gelu_pytorch_tanh"),
    r"num_attention_heads: Input should be greater": lambda folder: rewrite_config(folder, num_attention_heads=0),
    r"5 heads do not divide the width 64": lambda folder: rewrite_config(folder, num_attention_heads=5),
    r"vision_config is no object": lambda folder: rewrite_config(folder, vision_config=3),
    r"holds no weights: one of model\.safetensors": lambda folder: (folder / "model.safetensors").unlink(),
    r"lacks blocks\.3": lambda folder: rewrite_config(folder, num_hidden_layers=4),
    r"does not have: blocks\.2": lambda folder: rewrite_config(folder, num_hidden_layers=2),
    r"shapes differ: positions is \(17, 64\) there and \(65, 64\) here": lambda folder: rewrite_config(
        folder, image_size=64
    ),
    r"holds no CLIP vision tower": lambda folder: rename_weight(folder, "class_embedding", "register"),
    r"lacks norm_before\.": lambda folder: rename_weight(folder, "pre_layrnorm", "another"),
    r"lacks blocks\.0\.attention\.qkv\.weight": lambda folder: rename_weight(folder, "0.self_attn.k_proj", "another"),
}


@pytest.mark.parametrize("message", SPOILED)
def test_a_folder_that_cannot_be_loaded_is_told_apart(folder, message):
    SPOILED[message](folder)
    with pytest.raises(UserError, match=message):
        clip(checkpoint=str(folder))


def test_a_file_that_is_no_tower_of_OpenAI_is_refused(tiny, tiny_folder, tmp_path):
    with pytest.raises(UserError, match="Of a Hugging Face checkpoint give the folder"):
        clip(checkpoint=str(tiny_folder / "model.safetensors"))
    weights = {name: torch.cat([each, each])[:80] for name, each in openai_weights(tiny).items() if each.ndim}
    save_file(weights, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="80 wide, which no CLIP of OpenAI's is"):
        clip(checkpoint=str(tmp_path / "other.safetensors"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_size": 10}, "patch_size 10 does not divide image_size 64"),
        ({"heads": 3}, "3 heads do not divide the width 128"),
        ({"layer": 5}, "layer 5 is not among the hidden states 0 to 4"),
        ({"layer": -6}, "layer -6 is not among"),
        ({"checkpoint": 3}, "3 does not fit clip.checkpoint"),
        ({"depth": 0}, "greater than 0"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        clip(**options)


@pytest.mark.parametrize("size", [(224, 224), (64, 64), (300, 500), (501, 333), (225, 224), (37, 640)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_preprocessing_is_that_of_CLIPImageProcessor(size, mode):
    generator = numpy.random.default_rng(0)
    pixels = generator.integers(0, 256, (*size[::-1], 4), dtype=numpy.uint8)
    image = Image.fromarray(pixels).convert(mode)
    # transformers 5 has one processor with torchvision and one without; transformers 4 only the latter
    processor = getattr(transformers, "CLIPImageProcessorPil", None) or transformers.CLIPImageProcessor
    theirs = processor()(image, return_tensors="np")["pixel_values"][0]
    ours = clip(image_size=224, patch_size=112, width=8, depth=1, heads=1).transform(image)
    assert ours.shape == (3, 224, 224) and ours.dtype == torch.float32
    numpy.testing.assert_allclose(ours.numpy(), theirs, atol=1e-5)


def test_from_scratch_pool_trains_every_parameter_and_forward_all_but_the_last_block():
    encoder = clip(image_size=16, patch_size=8, width=16, depth=3, heads=2)
    encoder(noise(16)).square().mean().backward()
    idle = {name for name, parameter in encoder.named_parameters() if parameter.grad is None}
    assert idle == {name for name, _ in encoder.named_parameters() if name.startswith(("blocks.2.", "norm_after."))}
    encoder.zero_grad()
    (encoder.pool(noise(16)) * torch.arange(16.0)).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())


def test_copies_and_pickles_work_for_themselves(tiny_folder):
    encoder = clip(checkpoint=str(tiny_folder))
    before = encoder(noise(32))
    for twin in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        torch.testing.assert_close(twin(noise(32)), before, atol=0, rtol=0)
        with torch.no_grad():
            twin.positions.zero_()
    torch.testing.assert_close(encoder(noise(32)), before, atol=0, rtol=0)
