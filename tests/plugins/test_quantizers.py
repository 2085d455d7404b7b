"""INT8 weights, and none."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.tiny import FUSIONS, QUESTIONS, builtin_registry, collator, images, texts, tiny_model
from workbench.checkpoints.tokenizer import Corpus
from workbench.checkpoints.weights import load_into, read_weights
from workbench.contracts.quantizer import Quantizer
from workbench.devices.capabilities import multiplies
from workbench.errors import UserError
from workbench.layers.mlp import MLP
from workbench.model.build import count_bytes


def quantizer(name: str = "int8", **options) -> Quantizer:
    return builtin_registry().create("quantizer", name, **options)


class Parts(nn.Module):
    """One layer of each kind that is covered, and what is not."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)
        self.embedding = nn.Embedding(10, 8)
        self.mlp = MLP(8, 32)
        self.norm = nn.LayerNorm(8)
        self.positions = nn.Parameter(torch.randn(10, 8))


def part(model: nn.Module, name: str) -> Any:
    return model.get_submodule(name)


def hidden() -> Tensor:
    return torch.randn(5, 8, generator=torch.Generator().manual_seed(1))


def test_none_changes_nothing():
    model = Parts()
    before = {name: each.clone() for name, each in model.state_dict().items()}
    chosen = quantizer("none")
    chosen.quantize(model)
    assert chosen.bits == 32
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())


@pytest.mark.parametrize("name", ["patches", "embedding", "mlp.up", "mlp.down"])
def test_int8_weights_are_the_rounded_quotients_of_weight_and_scale(name: str):
    model = Parts()
    weight = model.get_parameter(f"{name}.weight").detach().numpy()
    quantizer().quantize(model)
    rows = weight.reshape(len(weight), -1)
    exact = torch.from_numpy(np.abs(rows).max(1) / np.float32(127))
    scale = exact.to(torch.bfloat16).float().numpy()  # a bf16 number, the nearest
    expected = np.clip(np.rint(rows / scale[:, None]), -127, 127).astype(np.int8).reshape(weight.shape)
    layer = part(model, name)
    assert layer.weight_int8.dtype == torch.int8
    assert np.array_equal(layer.weight_int8.numpy(), expected)
    assert np.array_equal(layer.scale.float().numpy(), scale)
    assert np.abs(layer.weight_int8.numpy().reshape(len(weight), -1)).max(1).min() == 127


@pytest.mark.parametrize("name", ["patches", "embedding", "mlp.up", "mlp.down"])
def test_the_dequantized_weight_is_within_half_a_scale(name: str):
    model = Parts()
    weight = model.get_parameter(f"{name}.weight").detach().double()
    quantizer().quantize(model)
    layer = part(model, name)
    error = (layer.weight.double() - weight).abs().flatten(1)
    assert (error <= layer.scale.double()[:, None] * 0.5 * (1 + 1e-5)).all()
    assert error.max() > 0


def test_layers_compute_what_the_dequantized_weight_computes():
    model = Parts()
    plain = copy.deepcopy(model)
    quantizer().quantize(model)
    with torch.no_grad():
        for name in ("patches", "embedding", "mlp.up", "mlp.down"):
            plain.get_parameter(f"{name}.weight").copy_(part(model, name).weight)
    ids, pixels = torch.tensor([[3, 1], [9, 3]]), torch.randn(2, 4, 7, 7)
    assert torch.allclose(model.mlp(hidden()), plain.mlp(hidden()), atol=0.03)
    assert torch.equal(model.embedding(ids), plain.embedding(ids))
    assert torch.equal(model.patches(pixels), plain.patches(pixels))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("width", "rows"), [(32, 1), (32, 16), (32, 17), (32, 100), (10, 3), (13, 40)])
def test_every_number_of_rows_and_width_gives_the_product_within_what_bf16_rounds(
    width: int, rows: int, bias: bool, dtype: torch.dtype
):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(width, 24, bias=bias).to(dtype))
    quantizer().quantize(model)
    layer, given = part(model, "0"), torch.randn(2, rows, width, dtype=dtype)[:, ::2]  # rows that lie apart
    with torch.no_grad():
        found = layer(given)
    assert_product(layer, given, found)


@pytest.mark.parametrize("rows", [3, 40])
@torch.no_grad()
def test_rows_whose_numbers_lie_apart_are_taken_too(rows: int):
    model = nn.Sequential(nn.Linear(32, 24))
    quantizer().quantize(model)
    layer, given = part(model, "0"), torch.randn(1, 32, rows).transpose(1, 2)
    assert_product(layer, given, layer(given))


@torch.no_grad()
def test_many_rows_are_multiplied_in_what_the_processor_multiplies_whatever_autocast_says():
    model = nn.Sequential(nn.Linear(32, 24, bias=False))
    quantizer().quantize(model)
    layer, given = part(model, "0"), torch.randn(100, 32)
    kind = torch.bfloat16 if multiplies("cpu", torch.bfloat16) else torch.float32
    product = nn.functional.linear(given.to(kind), layer.dequantized(kind))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(given), product.bfloat16())


@pytest.mark.parametrize("bias", [False, True])
@torch.no_grad()
def test_a_head_that_is_multiplied_in_parts_gives_the_product_too(bias: bool):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 5000, bias=bias))
    quantizer().quantize(model)
    layer, given = part(model, "0"), torch.randn(2, 20, 32)
    assert_product(layer, given, layer(given))


def assert_product(layer: Any, given: torch.Tensor, found: torch.Tensor) -> None:
    """`found` is what an INT8 layer makes of `given`, within what bf16 rounds."""
    expected = given.double() @ (layer.weight_int8.double() * layer.scale.double()[:, None]).T
    expected = expected if layer.bias is None else expected + layer.bias.double()
    assert found.dtype == given.dtype
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 0.01 * expected.abs().max()


def test_a_gradient_passes_through_and_is_that_of_the_dequantized_weight():
    model = nn.Sequential(nn.Linear(32, 8))
    quantizer().quantize(model)
    given = torch.randn(3, 32, requires_grad=True)
    model(given).sum().backward()
    assert given.grad is not None
    assert torch.allclose(given.grad, part(model, "0").weight.sum(0).expand(3, -1), atol=1e-6)


def test_embeddings_and_the_heads_tied_to_them_can_be_left():
    model = Parts()
    model.mlp.down = nn.Linear(8, 10, bias=False)
    model.mlp.down.weight = model.embedding.weight
    quantizer(embeddings=False).quantize(model)
    assert type(model.embedding) is nn.Embedding
    assert model.mlp.down.weight is model.embedding.weight
    assert part(model, "mlp.up").weight_int8.dtype == torch.int8


def test_a_saved_model_is_rebuilt_to_the_bit_and_its_file_is_as_large_as_its_bytes(tmp_path: Path):
    model, fresh = Parts(), Parts()
    nn.init.zeros_(fresh.mlp.up.weight)
    quantizer().quantize(model)
    quantizer().quantize(fresh)
    save_file(model.state_dict(), tmp_path / "int8.safetensors")
    weights = read_weights(tmp_path / "int8.safetensors")
    assert weights["mlp.up.weight_int8"].dtype == torch.int8
    load_into(fresh, weights, "the file")
    assert torch.equal(fresh.mlp(hidden()), model.mlp(hidden()))
    names = 200 * len(weights)  # the header's share
    assert count_bytes(model) <= (tmp_path / "int8.safetensors").stat().st_size <= count_bytes(model) + names


def test_a_row_of_zeros_stays_zero():
    model = Parts()
    nn.init.zeros_(model.mlp.up.weight)
    quantizer().quantize(model)
    assert torch.equal(model.mlp.up.weight, torch.zeros(32, 8))


def test_vectors_and_loose_parameters_stay_as_they_are():
    model = Parts()
    quantizer().quantize(model)
    assert isinstance(model.norm, nn.LayerNorm)
    assert {name for name, _ in model.named_parameters()} == {
        "patches.bias",
        "mlp.up.bias",
        "mlp.down.bias",
        "norm.weight",
        "norm.bias",
        "positions",
    }


def test_include_and_exclude_choose_layers_by_name():
    model = Parts()
    quantizer(include=("mlp.*", "embedding"), exclude=("*.down",)).quantize(model)
    changed = {name.removesuffix(".weight_int8") for name, _ in model.named_buffers() if name.endswith("weight_int8")}
    assert changed == {"mlp.up", "embedding"}


@pytest.mark.parametrize("options", [{"include": ("nowhere.*",)}, {"exclude": ("*",)}])
def test_choosing_nothing_names_what_there_is(options: dict):
    with pytest.raises(UserError, match=r"finds no layer.*patches, embedding, mlp\.up, mlp\.down"):
        quantizer(**options).quantize(Parts())


def test_a_weight_that_is_not_a_number_is_named():
    model = Parts()
    nn.init.constant_(model.mlp.down.weight, float("nan"))
    with pytest.raises(UserError, match=r"mlp\.down\.weight holds NaN"):
        quantizer().quantize(model)


def test_layers_with_a_forward_of_their_own_are_left():
    class Doubling(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return 2 * super().forward(input)

    model = nn.ModuleDict({"doubling": Doubling(8, 8), "plain": nn.Linear(8, 8)})
    quantizer().quantize(model)
    assert type(model["doubling"]) is Doubling
    assert type(model["plain"]) is not nn.Linear


def test_weights_that_were_tied_stay_tied():
    model = Parts()
    model.mlp.down = nn.Linear(8, 10, bias=False)
    model.mlp.down.weight = model.embedding.weight
    quantizer().quantize(model)
    assert model.mlp.down.weight_int8 is model.embedding.weight_int8
    assert copy.deepcopy(model).mlp.down.weight_int8 is not model.embedding.weight_int8


def test_quantized_models_can_be_copied_pickled_and_loaded():
    model = Parts()
    quantizer().quantize(model)
    expected = model.mlp(hidden())
    loaded = Parts()
    nn.init.zeros_(loaded.mlp.up.weight)
    quantizer().quantize(loaded)
    loaded.load_state_dict(model.state_dict())
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), loaded):
        assert torch.equal(twin.mlp(hidden()), expected)
        assert twin.mlp.up.weight_int8.dtype == torch.int8


def test_under_autocast_layers_give_what_plain_ones_give():
    model = Parts()
    plain = copy.deepcopy(model)
    quantizer().quantize(model)
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = model.mlp(hidden()), plain.mlp(hidden())
    assert found.dtype == expected.dtype == torch.bfloat16
    assert torch.allclose(found, expected, atol=0.03)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_whole_model_with_a_tied_head_loses_nearly_nothing(fusion: str):
    model = tiny_model(fusion).eval()
    batch = collator(model, "<image>{question}\n")(images(len(QUESTIONS)), QUESTIONS)
    with torch.no_grad():
        before = model.logits(batch)
        quantizer().quantize(model)
        after = model.logits(batch)
    assert not torch.equal(after, before)
    assert (after - before).norm() < 0.02 * before.norm()


def test_at_the_width_of_the_experiments_the_bytes_are_0_31_of_fp32_or_less():
    model = builtin_registry().create("language_model", "gpt", Corpus(texts), width=128, depth=3)
    before = count_bytes(model)
    assert before == 4 * sum(each.numel() for each in model.parameters())
    quantizer().quantize(model)
    tensors = {id(each): each for each in model.state_dict(keep_vars=True).values()}.values()  # tied ones once
    matrices = sum(each.numel() for each in tensors if each.dtype == torch.int8)
    rest = sum(each.nbytes for each in tensors if each.dtype != torch.int8)
    assert count_bytes(model) == matrices + rest
    assert count_bytes(model) <= 0.31 * before


def test_a_merged_adapter_is_quantized_with_its_layer():
    adapter = builtin_registry().create("adapter", "lora")
    model = tiny_model("cross_attention")
    for parameter in adapter.attach(model):
        nn.init.normal_(parameter, std=0.1)
    adapter.merge(model)
    layer = part(model, "language_model.layers.0.attention.qkv")
    weight = layer.get_parameter("weight").detach()
    quantizer().quantize(model)
    after = part(model, "language_model.layers.0.attention.qkv")
    assert torch.allclose(after.weight, weight, atol=float(after.scale.max()))
