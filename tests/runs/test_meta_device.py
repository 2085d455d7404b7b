"""A plan builds models without weights, and comes to an end whatever an option asks for."""

from __future__ import annotations

import signal
import time

import pytest
from torch import nn

from tests.small import load, small_registry
from workbench.model.build import CompositionError
from workbench.runs import meta_device
from workbench.runs.compatibility import Compatibility

REGISTRY = small_registry()


def told(folder, *overrides: str) -> str:
    experiment = load(folder, *overrides)
    with pytest.raises(CompositionError) as error:
        Compatibility(REGISTRY).sizes_of(experiment.trials)
    return str(error.value)


@pytest.mark.parametrize("option", ["encoder.depth", "language_model.depth", "fusion.count"])
def test_a_part_without_end_is_told_with_its_trial_and_its_options(tmp_path, monkeypatch, option):
    monkeypatch.setattr(meta_device, "MOST_PARTS", 2000)
    said = told(tmp_path, "base.fusion={name: many, count: 1}", f"base.{option}=1000000000")
    assert f"{option.partition('.')[0]} '" in said
    assert "it has more than 2,000 modules and parameters" in said
    assert f"Is one of its options too large ({option.partition('.')[2]}: 1e+09" in said
    assert "[trial 'base']" in said or "[trial '0']" in said


def test_a_part_that_computes_without_end_is_interrupted(tmp_path, monkeypatch):
    monkeypatch.setattr(meta_device, "MOST_SECONDS", 0.3)
    began = time.process_time()
    said = told(tmp_path, "base.fusion={name: busy, count: 9000000000000}")
    assert time.process_time() - began < 10
    assert "fusion 'busy' cannot be used: it is not built after 0.3 seconds of computing" in said
    assert "(count: 9e+12)" in said
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)


def test_a_depth_of_the_stem_that_no_patch_has_is_told_at_once(tmp_path):
    assert "stem_depth 4000000000000000000 halves" in told(tmp_path, "base.encoder.stem_depth=4000000000000000000")


def test_what_is_built_leaves_no_hook_and_no_timer():
    before = len(nn.modules.module._global_module_registration_hooks)
    built = meta_device.on_meta(lambda: nn.Linear(2, 2), lambda: None)
    assert built.weight.is_meta
    assert len(nn.modules.module._global_module_registration_hooks) == before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)
