"""On a GPU: the same bits each time, killed or not; the answers of the CPU; and what records say of it.

Skipped where there is none. `python -m pytest tests/devices/test_cuda.py` on a machine with one.
"""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.kills import compare, kill_often, run_whole
from tests.model.test_generation import answers_without_cache, loud_model, one_by_one
from tests.plugins.test_quantizers import assert_product
from tests.small import PLUGINS, SMALL, CommandLine, build, load, small_registry, write
from tests.tiny import DECODERS, FUSIONS, QUESTIONS, collator, images
from tests.training.phases import data_for, phase_of
from tests.training.test_resume import PHASES, STEPS, Bench, Interrupted, assert_same
from workbench.devices.device import compute_repeatably, repeatably_if_possible
from workbench.layers.prepared_linear import ready_to_answer
from workbench.model.generation import generate
from workbench.training.loop import train
from workbench.training.resume import Snapshots
from workbench.workers.failure import error_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

QUANTIZERS = {
    "int8": "int8",
    "torchao int8": "{name: torchao, scheme: int8_weight_only}",
    "torchao dynamic int8": "{name: torchao, scheme: int8_dynamic}",
    "torchao int4": "{name: torchao, scheme: int4_weight_only, include: ['language_model.layers.*']}",
    "torchao fp8": "{name: torchao, scheme: fp8_dynamic}",
    "bitsandbytes int8": "{name: bitsandbytes, scheme: int8}",
    "bitsandbytes nf4": "{name: bitsandbytes, scheme: nf4}",
}


@pytest.fixture(autouse=True)
def repeatable():
    compute_repeatably("cuda")
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_two_trainings_end_with_the_same_bits(tmp_path, fusion, precision):
    model = build(load(tmp_path, f"base.fusion={fusion}").trials[0])
    found = []
    for _ in range(2):
        twin = copy.deepcopy(model).cuda()
        phase = phase_of(steps=6, rate=1e-2, questions=2, precision=precision)
        trained = train(twin, [], phase, data_for(twin), 0, lambda step: None)
        found.append((twin, trained))
    assert_same(*found)
    assert found[0][1].curve[-1].loss < found[0][1].curve[0].loss


@pytest.mark.parametrize("name", PHASES)
def test_a_phase_interrupted_after_any_step_ends_with_the_same_bits(tmp_path, name):
    bench = Bench(tmp_path, name)
    bench.model.cuda()
    whole = bench.train(None)
    for stop in range(1, min(whole[1].steps, STEPS) + 1):
        with pytest.raises(Interrupted):
            bench.train(Snapshots(tmp_path / f"{stop}", every=0), stop)
        assert_same(bench.train(Snapshots(tmp_path / f"{stop}", every=0)), whole)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_training_is_that_of_the_cpu_within_rounding(tmp_path, fusion):
    model = build(load(tmp_path, f"base.fusion={fusion}").trials[0])
    losses = []
    for device in ("cpu", "cuda"):
        twin = copy.deepcopy(model).to(device)
        trained = train(twin, [], phase_of(steps=6, rate=1e-3), data_for(twin), 0, lambda step: None)
        losses.append([step.loss for step in trained.curve])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("fusion", FUSIONS)
@torch.no_grad()
def test_cached_generation_equals_the_full_forward_pass(fusion, decoder):
    model = loud_model(fusion, decoder)
    pixels = images(2)
    wanted = answers_without_cache(model, pixels, 5)
    model.cuda()
    prompts = collator(model, "<image>{question}\n")(pixels, QUESTIONS, answered=False).to("cuda")
    with ready_to_answer(model):
        got = generate(model, model.see(pixels.cuda()), prompts, max_new_tokens=5)
    assert one_by_one(model, got) == wanted


@pytest.mark.parametrize("name", QUANTIZERS)
@torch.no_grad()
def test_every_quantizer_answers_on_a_gpu(tmp_path, name):
    if name != "int8":
        pytest.importorskip(name.split()[0])
    sizes = "base.language_model={name: gpt, width: 64, depth: 2, heads: 2, vocabulary_size: 320}"
    trial = load(tmp_path, sizes, f"base.quantizer={QUANTIZERS[name]}").trials[0]
    model = build(trial).cuda().eval()
    hidden = torch.randn(3, 64, device="cuda")
    block = model.language_model.blocks[0]
    plain = {n: m for n, m in block.named_modules() if isinstance(m, nn.Linear) and m.in_features == 64}
    wanted = {n: m(hidden) for n, m in plain.items()}
    quantizer = trial.components["quantizer"]
    small_registry().create("quantizer", quantizer.name, **quantizer.options).quantize(model)
    for rows in (1, 3):
        for n in plain:
            made = block.get_submodule(n)(hidden[:rows])
            difference = (made - wanted[n][:rows]).norm() / wanted[n][:rows].norm()
            assert 0 < difference < (0.25 if "4" in name else 0.06), n


def test_a_run_says_which_gpu_it_used_and_its_numbers_are_repeated(tmp_path, monkeypatch, capsys):
    workbench = CommandLine(tmp_path, monkeypatch, capsys)
    file = write(tmp_path, SMALL.replace("train: [encoder, connector, ", "train: [connector, "))
    losses = []
    for results in ("first", "second"):
        axes = ("--set", "grid.fusion=[concat_projection, cross_attention]", "--set", "grid.quantizer=[none, int8]")
        told = workbench("run", file, "--plugins", PLUGINS, "--device", "cuda", "--results", results, *axes)
        assert told.code == 0, told.output + told.errors
        found = [
            json.loads(each.read_text()) for each in sorted((tmp_path / results).glob("small/trials/*/record.json"))
        ]
        assert len(found) == 4
        for record in found:
            assert record["provenance"]["gpu"] == torch.cuda.get_device_name()
            assert record["provenance"]["device"] == "cuda:0"
            assert "unrepeatable" not in record["provenance"]
            assert 0 < record["metrics"]["peak_memory_bytes"] < 1e9
        losses.append([record["metrics"]["loss"] for record in found])
    assert losses[0] == losses[1]
    told = workbench("report", file, "--plugins", PLUGINS, "--results", "first")
    assert told.code == 0, told.output + told.errors
    assert torch.cuda.get_device_name() in (tmp_path / "first" / "small" / "report" / "report.html").read_text()


def test_a_run_killed_at_random_moments_ends_with_the_same_bits(tmp_path):
    run_whole(tmp_path / "whole", 0, "cuda")
    killed = kill_often(tmp_path / "killed", 2, random.Random(0), 2, device="cuda")
    assert killed.kills == 2
    assert compare(tmp_path / "whole", tmp_path / "killed") == []


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("width", "outputs"), [(64, 48), (13, 40), (576, 1536), (1024, 7)])
@torch.no_grad()
def test_int8_gives_the_product_within_what_bf16_rounds(width, outputs, dtype, bias):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(width, outputs, bias=bias)).to("cuda", dtype)
    small_registry().create("quantizer", "int8").quantize(model)
    layer: Any = model[0]
    for rows in (1, 3, 16, 17, 64, 65, 300):
        given = torch.randn(2, rows, width, device="cuda", dtype=dtype)[:, ::2]  # rows that lie apart
        assert_product(layer, given, model(given))


def test_gradients_pass_an_int8_layer_to_its_input_and_its_bias():
    layer = nn.Linear(32, 8).cuda()
    model = nn.Sequential(layer)
    small_registry().create("quantizer", "int8").quantize(model)
    quantized: Any = model[0]
    for given in (torch.randn(3, 32, device="cuda"), torch.randn(3, 32, device="cuda", requires_grad=True)):
        quantized.zero_grad()
        model(given).sum().backward()
        gradient: Any = quantized.bias.grad
        assert torch.allclose(gradient, torch.full((8,), 3.0, device="cuda"))
        if given.requires_grad:
            assert given.grad is not None
            assert torch.allclose(given.grad, quantized.weight.sum(0).expand(3, -1), atol=1e-5)


def test_memory_that_runs_out_may_be_there_another_time():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50, dtype=torch.uint8, device="cuda")
    assert error_of(caught.value)["transient"]


def test_what_cannot_be_repeated_is_done_all_the_same_and_told(caplog):
    pixels = torch.randn(1, 2, 8, 8, device="cuda", requires_grad=True)
    told = []

    def work(unrepeatable: str | None) -> None:
        told.append(unrepeatable)
        nn.functional.adaptive_avg_pool2d(pixels, 3).sum().backward()

    repeatably_if_possible(work)
    assert told[0] is None
    assert told[1] == "adaptive_avg_pool2d_backward_cuda"
    assert "adaptive_avg_pool2d_backward_cuda differs in its last bits" in caplog.text
    assert not torch.is_deterministic_algorithms_warn_only_enabled()


def test_compiled_training_learns(tmp_path):
    model = build(load(tmp_path).trials[0]).cuda()
    phase = phase_of(steps=6, rate=1e-2, compile=True, precision="bf16")
    trained = train(model, [], phase, data_for(model), 0, lambda step: None)
    assert trained.curve[-1].loss < trained.curve[0].loss
