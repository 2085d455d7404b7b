"""What a plan takes elsewhere: each number against one that is put together by hand from the counted FLOPs."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.small import load, small_registry
from workbench.devices.data_sheets import DATA_SHEETS
from workbench.errors import UserError
from workbench.model import image_features
from workbench.runs.assumptions import read_assumptions
from workbench.runs.costs import FLOAT, Costs
from workbench.runs.flops import FlopCounts
from workbench.runs.planner import Planner
from workbench.runs.projection import Projection
from workbench.runs.trial_data import TrialData

FROZEN = "base.phases=[{name: tune, train: [connector, fusion, language_model], epochs: 3, batch: 4, precision: fp32}]"
QUANTIZERS = "grid.quantizer=[none, int8]"
EXACT = ("device=h100", "mfu=0.5")


def projection(folder: Path, *overrides: str, room: int = 0, assumed: tuple[str, ...] = EXACT) -> Projection:
    planner = Planner(load(folder, *overrides), small_registry(), folder / "results", feature_bytes=room)
    plan = planner.plan()
    assumptions = read_assumptions(assumed)
    assert assumptions is not None
    return Projection(plan, planner, Costs(plan, planner.store), assumptions)


def test_shared_stages_count_once_and_each_trial_alone_pays_for_all_of_them(tmp_path):
    found = projection(tmp_path, QUANTIZERS)
    shared, alone = found.shared(), found.alone()
    assert {name: count for name, (count, _) in shared.stages.items()} == {"tune": 1, "evaluate": 2}
    assert {name: count for name, (count, _) in alone.stages.items()} == {"tune": 2, "evaluate": 2}
    assert alone.stages["tune"][1].flops == 2 * shared.stages["tune"][1].flops
    assert alone.stages["evaluate"] == shared.stages["evaluate"]
    registry = small_registry()
    (trial, _) = load(tmp_path, QUANTIZERS).trials
    counted = FlopCounts(registry, TrialData(registry)).of(trial)
    assert shared.stages["tune"][1].flops == counted.training
    assert shared.stages["evaluate"][1].flops == 2 * 24 * 3 * counted.answer, "24 questions; `prior` asks no model"


def test_hours_are_flops_by_the_share_of_the_peak_in_the_precision_of_the_stage(tmp_path):
    found = projection(tmp_path, "base.phases.0.precision=bf16").shared()
    tune, evaluate = found.stages["tune"][1], found.stages["evaluate"][1]
    peak = DATA_SHEETS["h100"].peak
    assert tune.gpu_hours == pytest.approx(tune.flops / (0.5 * peak["bf16"]) / 3600)
    assert evaluate.gpu_hours == pytest.approx(evaluate.flops / (0.5 * peak["fp32"]) / 3600)


def test_what_a_device_has_no_products_for_is_not_known(tmp_path):
    found = projection(tmp_path, "base.phases.0.precision=bf16", assumed=("device=v100",))
    assert math.isnan(found.shared().stages["tune"][1].gpu_hours)
    assert math.isnan(found.shared().whole.gpu_hours)
    assert any("no products in bf16" in line for line in found.assumptions.lines(found.precisions()))


def test_features_take_the_encoders_passes_from_the_stages_that_read_them(tmp_path, monkeypatch):
    without, kept = projection(tmp_path, FROZEN), projection(tmp_path, FROZEN, room=10**9)
    (trial,) = load(tmp_path, FROZEN).trials
    an_image = without.of_an_image(trial)
    tune, same = without.shared().stages["tune"][1], kept.shared().stages["tune"][1]
    assert tune.flops - same.flops == pytest.approx(16 * an_image), "their tokens stay in memory"
    assert kept.shared().stages["features"][1].flops == pytest.approx(16 * an_image)
    assert kept.alone().stages["tune"][1].flops == tune.flops
    monkeypatch.setattr(image_features, "MEMORY_BUDGET", 0)
    repeated = projection(tmp_path, FROZEN).shared().stages["tune"][1]
    assert repeated.flops - same.flops == pytest.approx(3 * 16 * an_image), "3 epochs of 16 images"


def test_what_is_kept_and_moved_is_the_stage_before_and_what_is_left(tmp_path):
    found = projection(tmp_path)
    size = next(iter(found.plan.sizes.values()))
    weights = FLOAT * size.parameters
    tune, evaluate = (found.shared().stages[name][1] for name in ("tune", "evaluate"))
    assert (tune.kept, tune.moved) == (weights, weights)
    assert (evaluate.kept, evaluate.moved) == (0, weights)
    assert found.most_memory() == weights + 3 * FLOAT * size.most_trainable


def test_a_phase_keeps_nothing_of_what_only_later_ones_train(tmp_path):
    align = "{name: align, train: [connector], steps: 1, batch: 4}"
    tune = "{name: tune, train: [connector, language_model], steps: 1, batch: 4}"
    found = projection(tmp_path, f"base.phases=[{align}, {tune}]")
    size = next(iter(found.plan.sizes.values()))
    assert size.most_until(0) == size.by_phase[0] < size.most_until(1) == size.most_trainable


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (["gpus=4"], "name a device too"),
        (["device=h10"], "no data sheet of that device. Did you mean 'h100'?"),
        (["device=h100", "mfu=1.5"], "--assume mfu=1.5: write a number above 0 and at most 1"),
        (["device=h100", "mfu=nan"], "write a number above 0"),
        (["device=h100", "price=free"], "--assume price=free: write a number above 0"),
        (["device=h100", "gpus=0"], "write a whole number above 0"),
        (["device=h100", "prize=3"], "Did you mean 'price'?"),
        (["device"], "write NAME=VALUE"),
        (["device=h100", "device=a100"], "'device' is given twice"),
    ],
)
def test_what_cannot_be_assumed_is_the_users_mistake(written, told):
    with pytest.raises(UserError) as raised:
        read_assumptions(written)
    assert told in str(raised.value)


def test_every_assumption_is_named_and_what_is_not_given_is_called_unknown():
    assumptions = read_assumptions(["device=a100"])
    assert assumptions is not None
    told = "\n".join(assumptions.lines(["bf16"]))
    for each in ("312 TFLOP/s dense in bf16", DATA_SHEETS["a100"].source, "MFU): 0.3", "money is not known", "GPUs: 1"):
        assert each in told
    given = read_assumptions(["device=a100", "price=2", "bandwidth=100", "mfu=0.4", "gpus=8"])
    assert given is not None
    assert given.bandwidth == 12.5e9
    assert "arxiv" not in "\n".join(given.lines(["bf16"]))
