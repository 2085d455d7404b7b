"""Adapters of peft in place, and LoRA files that peft and this project read from each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from tests.plugins.test_huggingface import logits, model_with, some_ids
from tests.pretrained import VOCABULARY, reference, save
from tests.tiny import builtin_registry
from workbench import UserError
from workbench.conformance import check

PROJECTIONS = "language_model.*self_attn.?_proj"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save(reference("Llama"), tmp_path_factory.mktemp("llama"))


def adapter(name: str, **options: Any) -> Any:
    return builtin_registry().create("adapter", name, **options)


def shake(trained: list[torch.nn.Parameter]) -> None:
    """As if it had learned something."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in trained:
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))


def apart(first: Tensor, second: Tensor) -> float:
    """How far two tensors are from each other, as a share of the second."""
    return float(((first - second).norm() / second.norm()).detach())


def text_logits(model: Any) -> Tensor:
    return logits(model.eval().language_model, some_ids())[..., :VOCABULARY]


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("lora", {"r": 4}),
        ("lora", {"r": 4, "use_dora": True}),
        ("ia3", {}),
        ("vera", {"r": 4}),
        ("loha", {"r": 4}),
        ("lokr", {"r": 4}),
        ("oft", {"oft_block_size": 4}),
        ("fourierft", {"n_frequency": 20, "scaling": 30.0}),
    ],
)
def test_methods_of_peft_keep_every_rule(method, settings):
    options = {"method": method, "settings": settings, "targets": ["language_model.layers.*attention.output"]}
    findings = list(check(builtin_registry(), "adapter", "peft", **options))
    assert [f"{finding.title}: {finding.explanation}" for finding in findings if not finding.passed] == []


@pytest.mark.parametrize("name", ["lora", "peft"])
@torch.no_grad()
def test_what_is_saved_is_read_by_peft_on_the_decoder_alone(name, folder, tmp_path):
    options = {"rank": 4, "alpha": 8.0} if name == "lora" else {"settings": {"r": 4, "lora_alpha": 8}}
    model = model_with("gated", folder)
    chosen = adapter(name, targets=[PROJECTIONS], **options)
    shake(chosen.attach(model))
    chosen.save(model, tmp_path / "adapter")
    theirs = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), str(tmp_path / "adapter"))
    told = theirs.eval()(some_ids()).logits
    torch.testing.assert_close(text_logits(model), told, atol=2e-5, rtol=1e-4)
    assert not torch.allclose(text_logits(model_with("gated", folder)), told, atol=1e-2)


@pytest.mark.parametrize("name", ["lora", "peft"])
@torch.no_grad()
def test_what_peft_saved_is_what_an_adapter_begins_with(name, folder, tmp_path):
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    theirs: Any = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(folder), config)
    shake([each for each in theirs.parameters() if each.requires_grad])
    theirs.save_pretrained(tmp_path / "adapter")
    told = theirs.eval()(some_ids()).logits
    targets = ["language_model.*q_proj", "language_model.*v_proj"]
    options = {"rank": 4, "alpha": 8.0, "targets": targets} if name == "lora" else {}
    model = model_with("gated", folder)
    trained = adapter(name, start=tmp_path / "adapter", **options).attach(model)
    assert len(trained) == 12
    torch.testing.assert_close(text_logits(model), told, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 8, "alpha": 8.0}, "rank 4 and alpha 8"),
        ({"rank": 4, "alpha": 8.0, "targets": ["language_model.*q_proj"]}, "name other layers"),
    ],
)
def test_lora_files_that_do_not_fit_are_told(options, message, folder, tmp_path):
    model = model_with("gated", folder)
    first = adapter("lora", rank=4, alpha=8.0, targets=[PROJECTIONS])
    first.attach(model)
    first.save(model, tmp_path / "adapter")
    with pytest.raises(UserError, match=message):
        adapter("lora", start=tmp_path / "adapter", **options).attach(model_with("gated", folder))
    with pytest.raises(UserError, match="holds no adapter of peft"):
        adapter("lora", start=tmp_path, **options).attach(model_with("gated", folder))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "loro"}, "peft has no method 'loro'. It has: "),
        ({"settings": {"rank": 4}}, "does not take these settings of 'lora': .*rank"),
        ({"targets": ["encoder.nothing"]}, "no linear layer matches"),
        ({"method": "prompt_tuning"}, "peft"),
    ],
)
def test_what_peft_cannot_do_is_told(options, message, folder):
    with pytest.raises(UserError, match=message):
        adapter("peft", **options).attach(model_with("gated", folder))


def test_lora_beside_weights_in_bf16_is_kept_in_fp32(folder):
    model = model_with("gated", folder, dtype="bf16")
    trained = adapter("lora", rank=4).attach(model)
    assert {each.dtype for each in trained} == {torch.float32}
    before = text_logits(model)
    chosen = adapter("lora", rank=4)
    shake(trained)
    after = text_logits(model)
    chosen.merge(model)
    assert apart(before, after) > 0.2
    assert apart(text_logits(model), after) < 0.05


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("vera", {"r": 4}),
        ("vera", {"r": 4, "save_projection": False}),
        ("pvera", {"r": 4}),
        ("randlora", {"r": 4}),
        ("tinylora", {"r": 2}),
        ("unilora", {}),
        ("vblora", {"num_vectors": 16, "vector_length": 8}),
        ("frod", {}),
        ("lora", {"r": 4, "init_lora_weights": "pissa_niter_4"}),
        ("lora", {"r": 4, "lora_alpha": 3, "init_lora_weights": "pissa_niter_2", "use_rslora": True}),
    ],
)
@torch.no_grad()
def test_matrices_in_common_and_what_began_by_chance_are_read_as_they_were_saved(method, settings, folder, tmp_path):
    model = model_with("gated", folder)
    chosen = adapter("peft", method=method, settings=settings, targets=["language_model.*[qv]_proj"])
    shake(chosen.attach(model))
    told = text_logits(model)
    assert apart(told, text_logits(model_with("gated", folder))) > 0.1
    chosen.save(model, tmp_path / "adapter")
    base: Any = AutoModelForCausalLM.from_pretrained(folder)
    theirs: Any = peft.PeftModel.from_pretrained(base, str(tmp_path / "adapter"))
    torch.testing.assert_close(theirs.eval()(some_ids()).logits, told, atol=2e-5, rtol=1e-4)
    again = model_with("gated", folder)
    torch.manual_seed(9)
    assert adapter("peft", start=tmp_path / "adapter").attach(again)
    torch.testing.assert_close(text_logits(again), told, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("lora", {"use_dora": True, "init_lora_weights": "pissa_niter_4"}, "begins by chance"),
        ("trainable_tokens", {"token_indices": 3}, "does not work on such layers"),
    ],
)
def test_what_could_not_be_saved_or_run_is_told_first(method, settings, message, folder):
    chosen = adapter("peft", method=method, settings=settings, targets=["language_model.*q_proj"])
    with pytest.raises(UserError, match=message):
        chosen.attach(model_with("gated", folder))


def test_a_method_that_looks_at_numbers_of_weights_cannot_be_planned(folder):
    model = model_with("gated", folder).to("meta")
    with pytest.raises(UserError, match="'shira' on this model: it looks at the numbers of weights"):
        adapter("peft", method="shira", settings={"r": 2}, targets=["language_model.*q_proj"]).attach(model)
