"""bitsandbytes: what its own functions make of the same weights, and QLoRA."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from tests.plugins.test_peft import adapter, shake
from tests.small import PLUGINS, load, run_here
from tests.tiny import builtin_registry
from tests.training.test_quantized_phases import TEXT, plain_name
from workbench.conformance import check
from workbench.errors import UserError
from workbench.inference.load_trial import load_trial
from workbench.model.build import count_bytes

bitsandbytes: Any = pytest.importorskip("bitsandbytes", reason="comes with pip install workbench[bitsandbytes]")

FOUR_BITS = [("nf4", True), ("nf4", False), ("fp4", True), ("fp4", False)]


def quantized(model: nn.Module, **options: Any) -> nn.Module:
    builtin_registry().create("quantizer", "bitsandbytes", **options).quantize(model)
    return model


def layers(width: int = 128) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(width, 96), nn.Linear(96, 48, bias=False))


def rows(width: int = 128, count: int = 5) -> Tensor:
    return torch.randn(2, count, width, generator=torch.Generator().manual_seed(1))


def their_weight(weight: Tensor, scheme: str, double: bool) -> Tensor:
    packed, state = bitsandbytes.functional.quantize_4bit(
        weight, blocksize=64, compress_statistics=double, quant_type=scheme
    )
    return bitsandbytes.functional.dequantize_4bit(packed, state)


@pytest.mark.parametrize(("scheme", "double"), FOUR_BITS)
@pytest.mark.parametrize("width", [128, 64, 40, 14])
def test_four_bits_are_those_of_bitsandbytes_and_so_is_the_product(scheme, double, width):
    plain = layers(width)
    model = quantized(copy.deepcopy(plain), scheme=scheme, double_quantization=double)
    given = rows(width)
    for index, inputs in (("0", given), ("1", torch.randn(3, 96))):
        weight = their_weight(plain.get_parameter(f"{index}.weight").detach(), scheme, double)
        layer: Any = model.get_submodule(index)
        assert torch.equal(layer.weight, weight)
        expected = functional.linear(inputs, weight, layer.bias)
        torch.testing.assert_close(layer(inputs), expected, atol=1e-5, rtol=1e-5)


def test_four_bits_of_gpt2s_layer_are_those_of_the_weight_turned():
    turned = nn.Sequential(Conv1D(96, 64))
    nn.init.normal_(turned.get_parameter("0.weight"))
    weight = turned.get_parameter("0.weight").detach().T.contiguous()
    layer: Any = quantized(turned).get_submodule("0")
    assert torch.equal(layer.weight, their_weight(weight, "nf4", True))
    torch.testing.assert_close(layer(rows(64)), functional.linear(rows(64), layer.weight, layer.bias))


@pytest.mark.parametrize("threshold", [0.0, 2.0])
def test_int8_is_llm_int8_of_bitsandbytes(threshold):
    plain = layers()
    theirs = bitsandbytes.nn.Linear8bitLt(128, 96, has_fp16_weights=False, threshold=threshold)
    theirs.load_state_dict(plain[0].state_dict())
    theirs = theirs.to("cpu").half().eval()
    layer: Any = quantized(plain, scheme="int8", threshold=threshold).get_submodule("0")
    assert torch.equal(layer.weight_int8, theirs.weight.data)
    with torch.no_grad():
        given = 3 * rows()
        assert torch.equal(layer(given), theirs(given.half()).float())


@pytest.mark.parametrize("options", [{"scheme": "nf4"}, {"scheme": "fp4"}, {"scheme": "int8"}])
def test_the_gradient_is_that_of_the_dequantized_weight(options):
    layer: Any = quantized(layers(), **options).get_submodule("0")
    given = rows().requires_grad_(True)
    pull = torch.randn(2, 5, 96)
    (layer(given) * pull).sum().backward()
    assert given.grad is not None
    torch.testing.assert_close(given.grad, pull @ layer.weight, atol=1e-4, rtol=1e-4)


def test_what_is_multiplied_in_is_the_type_asked_for():
    given = rows()
    exact: Any = quantized(layers(), scheme="nf4").get_submodule("0")
    coarse: Any = quantized(layers(), scheme="nf4", compute="bf16").get_submodule("0")
    assert exact(given).dtype == coarse(given).dtype == torch.float32
    assert torch.equal(coarse(given), coarse(given).bfloat16().float())
    exact_of_int8: Any = quantized(layers(), scheme="int8", threshold=2.0).get_submodule("0")
    fp32: Any = quantized(layers(), scheme="nf4", compute="fp32").get_submodule("0")
    outside = fp32(given)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert exact(given).dtype == exact_of_int8(given).dtype == torch.bfloat16
        assert torch.equal(fp32(given), outside.bfloat16())


@pytest.mark.parametrize(("scheme", "double"), [*FOUR_BITS, ("int8", False)])
def test_bytes_are_counted_and_copies_pickles_and_files_keep_every_bit(scheme, double, tmp_path):
    from safetensors.torch import save_file

    model = quantized(layers(), scheme=scheme, double_quantization=double)
    weights = 128 * 96 + 96 * 48
    scales = {"int8": 4 * (96 + 48)}.get(scheme, -(-weights // 64) * (1 if double else 4))
    most = weights // (1 if scheme == "int8" else 2) + scales + 4 * 96 + 2 * 8
    assert most - 16 <= count_bytes(model) <= most
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    other = quantized(nn.Sequential(nn.Linear(128, 96), nn.Linear(96, 48, bias=False)), scheme=scheme,
                      double_quantization=double)  # fmt: skip
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), other):
        assert torch.equal(twin(rows()), model(rows()))


@pytest.mark.parametrize(("scheme", "double"), [*FOUR_BITS, ("int8", False)])
def test_on_the_meta_device_it_has_the_same_shapes(scheme, double):
    options = {"scheme": scheme, "double_quantization": double}
    with torch.device("meta"):
        meta = quantized(layers(), **options)
    real = quantized(layers(), **options)
    shapes = [{name: (each.shape, each.dtype) for name, each in model.named_buffers()} for model in (meta, real)]
    assert shapes[0] == shapes[1]


def test_four_bits_of_an_odd_number_of_inputs_are_refused_by_name():
    with pytest.raises(UserError, match=r"0 have an odd number of inputs.*exclude: \['0'\].*scheme: int8"):
        quantized(layers(13))
    quantized(layers(13), scheme="int8")


def test_a_head_that_shares_its_weight_stays():
    model = nn.ModuleDict(
        {"embedding": nn.Embedding(40, 64), "head": nn.Linear(64, 40, bias=False), "other": nn.Linear(64, 8)}
    )
    model.get_submodule("head").weight = model.get_parameter("embedding.weight")
    quantized(model)
    assert type(model["head"]) is nn.Linear
    assert type(model["other"]) is not nn.Linear


@pytest.mark.parametrize("options", [{"scheme": "int8"}, {"scheme": "fp4", "double_quantization": False}])
def test_other_schemes_keep_every_rule(options):
    findings = list(check(builtin_registry(), "quantizer", "bitsandbytes", **options))
    assert [f"{finding.title}: {finding.explanation}" for finding in findings if not finding.passed] == []


@pytest.mark.parametrize("name", ["lora", "peft"])
@pytest.mark.parametrize("scheme", ["nf4", "int8"])
def test_an_adapter_beside_it_trains_alone_and_stays_when_merged(name, scheme):
    model = quantized(layers(), scheme=scheme).requires_grad_(False)
    before = {name: each.clone() for name, each in model.named_buffers()}
    expected = model(rows())
    options = {"rank": 4} if name == "lora" else {"settings": {"r": 4}}
    chosen = adapter(name, targets=["*"], **options)
    trained = chosen.attach(model)
    assert len(trained) == 4
    torch.testing.assert_close(model.train()(rows()), expected, atol=0.05, rtol=0.05)
    shake(trained)
    model(rows()).square().mean().backward()
    assert all(each.grad is not None and each.grad.any() for each in trained)
    after = model.eval()(rows())
    assert (after - expected).norm() > 0.1 * expected.norm()
    chosen.merge(model)
    assert torch.equal(model(rows()), after)
    found = {each.removeprefix("base_layer.").replace(".base_layer", "").replace(".base", ""): tensor
             for each, tensor in model.named_buffers()}  # fmt: skip
    assert all(torch.equal(found[each], tensor) for each, tensor in before.items())


@pytest.mark.parametrize("options", ["", ", scheme: int8"])
def test_qlora_learns_and_leaves_the_narrow_weights_as_they_were(tmp_path, options):
    text = TEXT.replace("{name: int8, include", f"{{name: bitsandbytes{options}, include")
    assert not run_here(load(tmp_path, text=text), tmp_path / "results").failed
    (trial,) = (tmp_path / "results/small/trials").iterdir()
    lines = [json.loads(line) for line in (trial / "curve.jsonl").read_text().splitlines()]
    curve = [each["loss"] for each in lines if each["phase"] == "adapt"]
    assert sum(curve[-5:]) < 0.7 * sum(curve[:5])
    kept = {}
    for file in (tmp_path / "results/artifacts").glob("*/stage.json"):
        phase = json.loads(file.read_text()).get("phase")  # features have none
        if phase is None:
            continue
        kept[phase] = {plain_name(name): each for name, each in load_file(file.parent / "weights.safetensors").items()}
    narrow = [name for name in kept["adapt"] if "weight_4bit" in name or "weight_int8" in name or "absmax" in name]
    assert narrow
    assert all(torch.equal(kept["adapt"][name], kept["again"][name]) for name in narrow)
    if not options:
        plain = kept["align"]["language_model.layers.0.mlp.up.weight"]
        packed, _ = bitsandbytes.functional.quantize_4bit(
            plain, blocksize=64, compress_statistics=True, quant_type="nf4"
        )
        assert torch.equal(kept["again"]["language_model.layers.0.mlp.up.weight_4bit"], packed)
    model = load_trial(str(trial), tmp_path / "results", [PLUGINS]).model()
    assert count_bytes(model) == json.loads((trial / "record.json").read_text())["metrics"]["bytes"]


def test_without_bitsandbytes_the_extra_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(UserError, match=r"pip install workbench\[bitsandbytes\]"):
        quantized(layers())
