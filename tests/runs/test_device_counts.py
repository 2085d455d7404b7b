"""More devices than there are is told before anything runs, where it is written."""

from __future__ import annotations

import pytest

from tests.small import PLUGINS, SMALL, CommandLine, load, write
from workbench.runs.device_counts import _waiting, check_devices

TWO = SMALL.replace("batch: 4", "batch: 4, devices: 2")
SWEPT = SMALL + "grid:\n  phases.tune.devices: [1, 2]\n"


@pytest.fixture
def one_gpu(monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)


@pytest.mark.parametrize(
    ("text", "overrides", "place"),
    [
        (TWO, (), "11: base.phases.tune.devices"),
        (SWEPT, (), "15: grid.phases.tune.devices"),
        (SMALL, ("phases.tune.devices=2",), "--set phases.tune.devices=2: "),
    ],
)
def test_more_devices_than_gpus_are_told_with_their_line(tmp_path, one_gpu, text, overrides, place):
    experiment = load(tmp_path, *overrides, text=text)
    with pytest.raises(
        Exception, match="2 devices are wanted, and this machine has 1 GPU: leave 'devices' out"
    ) as told:
        check_devices(experiment, "cuda")
    assert place in str(told.value)
    check_devices(experiment, "cpu")


def test_a_device_of_which_there_is_one_is_not_shared(tmp_path):
    with pytest.raises(Exception, match="the device mps is only one: leave 'devices' out"):
        check_devices(load(tmp_path, text=TWO), "mps")


def test_quantized_weights_are_not_shared_in_parts(tmp_path):
    narrow = TWO.replace("train: [encoder, connector, fusion, language_model]", "train: [adapter]")
    narrow = narrow.replace("adapter: full", "adapter: lora").replace("quantizer: none", "quantizer: int8")
    narrow = narrow.replace("devices: 2", "devices: 2, quantized: true")
    check_devices(load(tmp_path, text=narrow), "cpu")
    with pytest.raises(Exception, match="11: base.phases.tune.strategy: no part of a quantized weight can be shared"):
        check_devices(load(tmp_path, text=narrow.replace("devices: 2", "devices: 2, strategy: fsdp")), "cpu")


def test_processes_that_wait_for_each_other_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr("workbench.runs.device_counts.usable_cores", lambda: 1)
    (note,) = _waiting(load(tmp_path, text=TWO), "cpu")
    assert note.startswith("phase 'tune' is trained by 2 processes on 1 cores")
    assert list(_waiting(load(tmp_path, text=TWO), "cuda")) == []


def test_plan_and_run_refuse_them(tmp_path, monkeypatch, capsys, one_gpu):
    monkeypatch.setattr("workbench.runs.device_counts.find_device", lambda wanted: "cuda")
    workbench = CommandLine(tmp_path, monkeypatch, capsys)
    file = write(tmp_path, TWO)
    for told in (workbench("plan", file, "--plugins", PLUGINS), workbench.run_inside(file)):
        assert told.code == 2
        assert "small.yaml:11: base.phases.tune.devices: 2 devices are wanted" in told.errors
