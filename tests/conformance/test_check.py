"""Every built-in plugin keeps every rule of its kind."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.conformance.tried import subject_of
from tests.tiny import builtin_registry
from workbench.conformance import check
from workbench.conformance.check import RULES, _fitting  # pyright: ignore[reportPrivateUsage]
from workbench.conformance.examine import examine
from workbench.contracts.encoder import VisionShape
from workbench.contracts.fusion import Fusion
from workbench.contracts.language_model import DecoderShape
from workbench.errors import UserError
from workbench.hookspecs import KINDS
from workbench.registry import Plugin


def needs(plugin: Plugin) -> Sequence[pytest.MarkDecorator]:
    """Skips a plugin whose packages are not installed."""
    packages: Sequence[str] = getattr(plugin.factory, "packages", ())
    missing = [each for each in packages if not list(importlib.metadata.distributions(name=each))]
    return (
        [pytest.mark.skip(f"{plugin.name} needs {', '.join(missing)}: pip install workbench[...]")] if missing else []
    )


# They want packages that nothing else here needs and take many seconds to start: `workbench check` tries them. What is
# on other machines, `make test-clusters` tries.
OTHER_TOOLS = ("mlflow", "wandb", "ray", "slurm")
BUILT_IN = [
    pytest.param(plugin.kind, plugin.name, {}, marks=needs(plugin), id=f"{plugin.kind}-{plugin.name}")
    for plugin in builtin_registry().plugins()
    if not any(option.required for option in plugin.options.values())  # what needs files has tests of its own
    and plugin.name not in OTHER_TOOLS
]
OPTIONS = [
    ("encoder", "vit", {"stem_depth": 2, "patch_size": 8, "width": 32, "depth": 1}),
    ("encoder", "clip", {"class_token": True, "layer": -1, "width": 32, "depth": 2}),
    ("connector", "mlp", {"hidden": 5}),
    ("connector", "resampler", {"queries": 3, "depth": 1, "heads": 2}),
    ("connector", "pixel_shuffle", {"factor": 1}),
    ("connector", "qformer", {"queries": 3, "width": 24, "depth": 3, "every": 3}),
    ("fusion", "cross_attention", {"every": 2, "heads": 2}),
    ("language_model", "gpt", {"layer_norm": True, "width": 32, "depth": 2}),
    ("language_model", "llama", {"key_value_heads": 2, "tied": False, "width": 32, "depth": 2, "mlp_width": 48}),
    ("adapter", "lora", {"rank": 2, "dropout": 0.1, "targets": ["language_model.*", "connector.*"]}),
    ("adapter", "full", {"targets": ["fusion.*"]}),
    ("quantizer", "int8", {"include": ["language_model.*"], "exclude": ["*mlp*"]}),
    ("launcher", "local", {"workers": 1, "memory_gb": 1.0}),
    ("dataset", "easy_vqa", {"shift": 4, "flip": True, "background": 10.0}),
]


@pytest.mark.parametrize(("kind", "name", "options"), BUILT_IN + OPTIONS)
def test_every_built_in_plugin_keeps_every_rule(kind, name, options):
    results = list(check(builtin_registry(), kind, name, **options))
    assert len(results) == len(RULES[kind])
    assert [f"{result.title}: {result.explanation}" for result in results if not result.passed] == []


def test_a_fusion_is_tried_beside_a_decoder_whose_width_its_heads_divide():
    assert next(check(builtin_registry(), "fusion", "cross_attention", heads=6)).passed


def test_every_kind_has_rules():
    assert set(RULES) == set(KINDS)


def test_wrong_options_are_the_callers_mistake():
    with pytest.raises(UserError, match="does not fit gated.heads"):
        check(builtin_registry(), "fusion", "gated", heads=0)


class WantsTwelve(Fusion):
    """Says in torch's own way, with an AssertionError, what its heads want of a width."""

    def __init__(self, vision: VisionShape, decoder: DecoderShape):
        super().__init__()
        self.attention = nn.MultiheadAttention(decoder.width, 12, batch_first=True)
        self.gate = nn.Parameter(torch.zeros(1))
        self.mean = nn.Linear(vision.width, decoder.width)

    def prepare(self, vision: Tensor, mask: Tensor | None) -> Any:
        return self.mean(vision)

    def fuse_attention(self, index: int, hidden: Tensor, vision: Any) -> Tensor:
        return hidden + self.gate * self.attention(hidden, vision, vision)[0]


class WantsHeadsOf64(WantsTwelve):
    """Fits a decoder of width 768 alone."""

    def __init__(self, vision: VisionShape, decoder: DecoderShape):
        if decoder.width != 12 * 64:
            raise ValueError("heads of 64 numbers, please")
        super().__init__(vision, decoder)


class FitsNothing(WantsTwelve):
    """Whatever the width is."""

    def __init__(self, vision: VisionShape, decoder: DecoderShape):
        raise ValueError("never")


@pytest.mark.parametrize(("fusion", "wide"), [(WantsTwelve, 96), (WantsHeadsOf64, 768), (FitsNothing, 64)])
def test_a_width_that_fits_is_found_however_a_plugin_refuses_the_others(fusion, wide):
    assert _fitting(subject_of("fusion", fusion)).width == wide


def test_what_fits_no_width_is_told():
    first = next(examine(_fitting(subject_of("fusion", FitsNothing)), RULES["fusion"]))
    assert (first.passed, "ValueError: never" in first.explanation) == (False, True)
