"""torchao: what its own `quantize_` makes of the same layers."""

from __future__ import annotations

import copy
import pickle
import sys
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from tests.devices.test_capabilities import LESSER, on
from tests.plugins.test_peft import adapter, shake
from tests.small import load, run_here, small_registry
from tests.tiny import builtin_registry
from tests.training.test_quantized_phases import TEXT
from workbench.conformance import check
from workbench.devices.capabilities import multiplies_int8
from workbench.errors import UserError
from workbench.model.build import CompositionError, count_bytes
from workbench.runs.compatibility import Compatibility

ao: Any = pytest.importorskip("torchao.quantization", reason="comes with pip install workbench[torchao]")

ON_A_CPU = ["int8_weight_only", *(["int8_dynamic"] if multiplies_int8() else []), "int4_weight_only", "fp8_weight_only"]


def configs() -> dict[str, Any]:
    from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig  # pyright: ignore[reportMissingImports]

    return {
        "int8_weight_only": ao.Int8WeightOnlyConfig(),
        "int8_dynamic": ao.Int8DynamicActivationInt8WeightConfig(),
        "int4_weight_only": PrototypeInt4WeightOnlyConfig(group_size=32),
        "fp8_weight_only": ao.Float8WeightOnlyConfig(),
    }


def quantized(model: nn.Module, scheme: str, **options: Any) -> nn.Module:
    builtin_registry().create("quantizer", "torchao", scheme=scheme, **options).quantize(model)
    return model


def layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(128, 96), nn.Linear(96, 48, bias=False))


def rows(width: int = 128) -> Tensor:
    return torch.randn(2, 5, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("scheme", ON_A_CPU)
@torch.no_grad()
def test_it_computes_what_torchaos_own_layers_compute(scheme):
    theirs = layers()
    ao.quantize_(theirs, configs()[scheme])
    ours = quantized(layers(), scheme, group_size=32)
    assert torch.equal(ours(rows()), theirs(rows()))
    exact = layers()(rows())
    assert 0 < (ours(rows()) - exact).norm() < (0.2 if "int4" in scheme else 0.04) * exact.norm()


@pytest.mark.parametrize("scheme", ON_A_CPU)
@torch.no_grad()
def test_the_weight_read_as_numbers_is_near_the_one_it_was_made_of(scheme):
    layer: Any = quantized(layers(), scheme, group_size=32).get_submodule("0")
    weight = layers().get_parameter("0.weight")
    assert layer.weight.shape == weight.shape
    assert (layer.weight - weight).norm() < (0.2 if "int4" in scheme else 0.04) * weight.norm()


@pytest.mark.parametrize("scheme", ON_A_CPU)
def test_gpt2s_layer_is_quantized_as_the_plain_one(scheme):
    turned = nn.Sequential(Conv1D(96, 128))
    plain = nn.Sequential(layers()[0])
    with torch.no_grad():
        turned.get_parameter("0.weight").copy_(plain.get_parameter("0.weight").T)
        turned.get_parameter("0.bias").copy_(plain.get_parameter("0.bias"))
        assert torch.equal(quantized(turned, scheme)(rows()), quantized(plain, scheme)(rows()))


@pytest.mark.parametrize("scheme", ON_A_CPU)
@torch.no_grad()
def test_bytes_are_counted_and_copies_pickles_and_files_keep_every_bit(scheme, tmp_path):
    model = quantized(layers(), scheme, group_size=32)
    weights = 128 * 96 + 96 * 48
    if scheme == "int4_weight_only":
        expected = weights // 2 + 2 * 4 * weights // 32  # scale and zero of every 32
    else:
        expected = weights + (96 + 48) * (4 if "fp8" in scheme else 5)  # a scale, and of int8 its zero
    assert count_bytes(model) == expected + 4 * 96
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    other = quantized(nn.Sequential(nn.Linear(128, 96), nn.Linear(96, 48, bias=False)), scheme, group_size=32)
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), other):
        assert torch.equal(twin(rows()), model(rows()))


@pytest.mark.parametrize("scheme", ON_A_CPU)
def test_on_the_meta_device_it_has_the_same_shapes(scheme):
    with torch.device("meta"):
        meta = quantized(layers(), scheme, group_size=32)
    real = quantized(layers(), scheme, group_size=32)
    shapes = [{name: (each.shape, each.dtype) for name, each in model.named_buffers()} for model in (meta, real)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("scheme", ON_A_CPU)
@torch.no_grad()
def test_under_autocast_it_gives_what_a_plain_layer_gives(scheme):
    plain, model = layers()[0](rows()), quantized(layers(), scheme, group_size=32).get_submodule("0")
    with torch.autocast("cpu", torch.bfloat16):
        found = model(rows())
    assert found.dtype == torch.bfloat16
    assert (found - plain).norm() < (0.2 if "int4" in scheme else 0.04) * plain.norm()


@pytest.mark.parametrize("scheme", ["int8_weight_only", "fp8_weight_only"])
def test_the_gradient_is_that_of_the_dequantized_weight_and_an_adapter_trains_beside_it(scheme):
    model = quantized(layers(), scheme).requires_grad_(False)
    layer: Any = model.get_submodule("0")
    given, pull = rows().requires_grad_(True), torch.randn(2, 5, 96)
    (layer(given) * pull).sum().backward()
    assert given.grad is not None
    torch.testing.assert_close(given.grad, pull @ layer.weight, atol=1e-3, rtol=1e-3)
    trained = adapter("lora", rank=4, targets=["*"]).attach(model)
    shake(trained)
    model(rows()).square().mean().backward()
    assert all(each.grad is not None and each.grad.any() for each in trained)


def test_int8_sums_that_would_overflow_on_the_processor_are_refused():
    program = """
from torch import nn
from workbench.registry import load_registry
load_registry().create("quantizer", "torchao", scheme="int8_dynamic").quantize(nn.Sequential(nn.Linear(64, 64)))
"""
    told = on(LESSER["AVX2"], program)
    assert told.returncode == 1
    assert "int8_dynamic needs a processor that multiplies int8 by int8 (VNNI), or a GPU: here" in told.stderr


@pytest.mark.parametrize("scheme", [each for each in ("int8_dynamic", "int4_weight_only") if each in ON_A_CPU])
def test_a_phase_cannot_be_quantized_by_what_passes_no_gradient(scheme, tmp_path):
    quantizer = f"{{name: torchao, scheme: {scheme}, include: ['language_model.layers.*mlp.up']"
    text = TEXT.replace("{name: int8, include: ['language_model.*']", quantizer)
    with pytest.raises(CompositionError, match="no gradient passes through its layers"):
        Compatibility(small_registry()).sizes_of(load(tmp_path, text=text).trials)


def test_an_adapter_trains_on_it_in_an_experiment(tmp_path):
    text = TEXT.replace("{name: int8, include", "{name: torchao, include")
    assert not run_here(load(tmp_path, text=text), tmp_path / "results").failed


@pytest.mark.parametrize("scheme", [each for each in ("int8_dynamic", "fp8_weight_only") if each in ON_A_CPU])
def test_other_schemes_keep_every_rule(scheme):
    assert_kept({"scheme": scheme})


def test_int4_keeps_every_rule():
    assert_kept({"scheme": "int4_weight_only", "group_size": 32, "include": ["language_model.layers.*"]})


def assert_kept(options: dict[str, Any]) -> None:
    findings = list(check(builtin_registry(), "quantizer", "torchao", **options))
    assert [f"{finding.title}: {finding.explanation}" for finding in findings if not finding.passed] == []


@pytest.mark.parametrize(
    ("sizes", "told"),
    [((48, 32), r"0 \(48 inputs, 32 outputs\)"), ((64, 24), r"0 \(64 inputs, 24 outputs\)")],
)
def test_a_layer_that_int4_cannot_pack_is_named(sizes, told):
    with pytest.raises(UserError, match=rf"multiple of the group size 64.*{told}.*exclude: \['0'\]"):
        quantized(nn.Sequential(nn.Linear(*sizes)), "int4_weight_only")


def test_fp8_of_activations_is_refused_on_a_cpu():
    with pytest.raises(UserError, match=r"needs a GPU that multiplies fp8.*take fp8_weight_only"):
        quantized(layers(), "fp8_dynamic")


def test_without_torchao_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchao", None)
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(UserError, match=r"pip install workbench\[torchao\]"):
        quantized(layers(), "int8_weight_only")
