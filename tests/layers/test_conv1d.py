"""GPT-2's linear layer of transformers, whose weight is [in,out]: adapted, merged, quantized, and in peft's files."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from tests.plugins.test_huggingface import model_with, some_ids
from tests.plugins.test_peft import adapter, shake, text_logits
from tests.pretrained import reference, save
from tests.tiny import builtin_registry


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save(reference("GPT2"), tmp_path_factory.mktemp("gpt2"))


def model() -> nn.Sequential:
    """A turned layer behind a plain one."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(16, 16), Conv1D(24, 16))
    nn.init.normal_(layers.get_parameter("1.weight"))
    return layers


def hidden() -> Tensor:
    return torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(1))


def trained() -> tuple[nn.Sequential, Any]:
    whole, chosen = model(), adapter("lora", rank=4, alpha=6.0, targets=("*",))
    shake(chosen.attach(whole))
    return whole, chosen


def test_lora_beside_it_gives_pefts_outputs_and_gradients():
    ours, _ = trained()
    config = peft.LoraConfig(r=4, lora_alpha=6, target_modules=["0", "1"], fan_in_fan_out=True)
    with pytest.warns(UserWarning, match="fan_in_fan_out"):  # of the plain layer, which needs none
        theirs = peft.get_peft_model(model(), config)
    named = dict(theirs.named_parameters())
    pairs = [
        (ours.get_parameter(f"{index}.lora_{side}"), named[f"base_model.model.{index}.lora_{side}.default.weight"])
        for index in (0, 1)
        for side in "AB"
    ]
    with torch.no_grad():
        for own, other in pairs:
            other.copy_(own)
    found, expected = ours(hidden()), theirs(hidden())
    torch.testing.assert_close(found, expected)
    found.square().sum().backward()
    expected.square().sum().backward()
    for own, other in pairs:
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-4, atol=1e-4)


def test_it_is_merged_into_a_layer_of_its_own_kind_and_back_to_the_bit():
    whole, chosen = trained()
    expected, before = whole(hidden()), {name: each.clone() for name, each in whole.state_dict().items()}
    chosen.merge(whole)
    assert type(whole[1]) is Conv1D
    assert {name: each.shape for name, each in whole.state_dict().items()} == {
        name: each.shape for name, each in model().state_dict().items()
    }
    torch.testing.assert_close(whole(hidden()), expected)
    for twin in (copy.deepcopy(whole), pickle.loads(pickle.dumps(whole))):
        assert torch.equal(twin(hidden()), whole(hidden()))
    chosen.unmerge(whole)
    after = whole.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], each) for name, each in before.items())


@pytest.mark.parametrize("name", ["lora", "peft"])
@torch.no_grad()
def test_what_is_saved_is_read_by_peft_on_gpt2(name, folder, tmp_path, recwarn):
    options = {"rank": 4, "alpha": 8.0} if name == "lora" else {"settings": {"r": 4, "lora_alpha": 8}}
    whole = model_with("gated", folder)
    chosen = adapter(name, **options)
    trained = chosen.attach(whole)
    assert len(trained) == 3 * 2 * 2  # blocks, c_attn and c_proj of the attention, A and B
    shake(trained)
    chosen.save(whole, tmp_path / "adapter")
    assert json.loads((tmp_path / "adapter/adapter_config.json").read_text())["fan_in_fan_out"] is True
    recwarn.clear()
    theirs = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), str(tmp_path / "adapter"))
    assert not [each for each in recwarn if "fan_in_fan_out" in str(each.message)]
    told = theirs.eval()(some_ids()).logits
    torch.testing.assert_close(text_logits(whole), told, atol=2e-5, rtol=1e-4)
    assert not torch.allclose(text_logits(model_with("gated", folder)), told, atol=1e-2)


@torch.no_grad()
def test_what_peft_saved_of_gpt2_is_what_lora_begins_with(folder, tmp_path):
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["c_attn"], fan_in_fan_out=True)
    theirs: Any = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(folder), config)
    shake([each for each in theirs.parameters() if each.requires_grad])
    theirs.save_pretrained(tmp_path / "adapter")
    told = theirs.eval()(some_ids()).logits
    whole = model_with("gated", folder)
    adapter("lora", rank=4, alpha=8.0, targets=["*.c_attn"], start=tmp_path / "adapter").attach(whole)
    torch.testing.assert_close(text_logits(whole), told, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("rows", [3, 40])
@torch.no_grad()
def test_int8_of_it_is_int8_of_the_plain_layer_with_the_weight_turned(rows):
    turned, plain = nn.Sequential(Conv1D(24, 16)), nn.Sequential(nn.Linear(16, 24))
    nn.init.normal_(turned.get_parameter("0.weight"))
    nn.init.normal_(turned.get_parameter("0.bias"))
    plain.get_parameter("0.weight").copy_(turned.get_parameter("0.weight").T)
    plain.get_parameter("0.bias").copy_(turned.get_parameter("0.bias"))
    given = torch.randn(rows, 16)
    exact = turned(given)
    for each in (turned, plain):
        builtin_registry().create("quantizer", "int8").quantize(each)
    assert turned.get_buffer("0.weight_int8").shape == (24, 16)
    assert torch.equal(turned(given), plain(given))
    assert (turned(given) - exact).abs().max() < 0.02 * exact.abs().max()


@torch.no_grad()
def test_int8_covers_every_matrix_of_gpt2(folder):
    whole = model_with("gated", folder).eval()
    before = text_logits(whole)
    builtin_registry().create("quantizer", "int8").quantize(whole)
    assert not [name for name, each in whole.named_modules() if isinstance(each, Conv1D)]
    matrices = {name for name, each in whole.language_model.named_parameters() if each.ndim > 1}
    assert matrices == set()
    moved = text_logits(whole) - before
    assert 0 < moved.norm() < 0.05 * before.norm()


def test_a_merged_adapter_on_it_is_quantized_with_its_layer():
    whole, chosen = trained()
    expected = whole(hidden())
    chosen.merge(whole)
    builtin_registry().create("quantizer", "int8").quantize(whole)
    assert (whole(hidden()) - expected).abs().max() < 0.03 * expected.abs().max()
