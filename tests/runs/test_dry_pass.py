"""What would compute something wrong is refused by the plan, with the number; what was tried is remembered."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import transformers

from tests.pretrained import SIZES, reference, save
from tests.small import load, small_registry
from workbench.conformance.remembered_verdicts import CHECKS, Verdict, read_verdicts
from workbench.model.build import CompositionError
from workbench.runs.compatibility import Compatibility
from workbench.runs.dry_pass import DryPasses

DECODERS = {  # each is as transformers makes it, and runs here without a word
    "positions that begin at 2": (transformers.RobertaForCausalLM, transformers.RobertaConfig, {"is_decoder": True}),
    "attention in chunks": (
        transformers.Llama4ForCausalLM,
        transformers.Llama4TextConfig,
        {"intermediate_size_mlp": 48, "num_key_value_heads": 2, "attention_chunk_size": 16, "head_dim": 8},
    ),
    "a state space beside attention": (
        transformers.FalconH1ForCausalLM,
        transformers.FalconH1Config,
        {
            "mamba_d_ssm": 32,
            "mamba_n_heads": 4,
            "mamba_d_head": 8,
            "mamba_d_state": 8,
            "num_key_value_heads": 2,
            "mamba_chunk_size": 8,
            "lm_head_multiplier": 0.1,
        },
    ),
    "a mask of its own": (transformers.DogeForCausalLM, transformers.DogeConfig, {"num_key_value_heads": 4}),
}


def refusal(folder: Path, *overrides: str) -> str:
    experiment = load(folder, *overrides)
    with pytest.raises(CompositionError) as error:
        Compatibility(small_registry()).sizes_of(experiment.trials)
    return str(error.value)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("decoders")
    made = {"Llama": save(reference("Llama"), root / "llama")}
    for name, (kind, config, own) in DECODERS.items():
        torch.manual_seed(0)
        made[name] = save(kind(config(**SIZES, **own)).eval(), root / name.replace(" ", "-"))
    narrow = {"word_embed_proj_dim": 16, "ffn_dim": 48, "do_layer_norm_before": False, "max_position_embeddings": 64}
    sizes = {name: value for name, value in SIZES.items() if name not in ("intermediate_size", "initializer_range")}
    made["narrow"] = save(transformers.OPTForCausalLM(transformers.OPTConfig(**sizes, **narrow)), root / "narrow")
    return made


def decoder(folder: Path) -> str:
    return f"base.language_model={{name: huggingface, checkpoint: {folder}}}"


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_whose_numbers_are_not_its_own_librarys_is_refused(name, tmp_path, checkpoints):
    told = refusal(tmp_path, decoder(checkpoints[name]))
    assert told.startswith("language_model 'huggingface' cannot be used: ")
    assert "off those of its own library" in told or " apart: questions of a row lie one behind the other" in told
    assert told.endswith("[trial '0']")


def test_a_decoder_with_narrow_embeddings_takes_fusions_of_its_input_alone(tmp_path, checkpoints):
    chosen = decoder(checkpoints["narrow"])
    assert Compatibility(small_registry()).sizes_of(load(tmp_path, chosen).trials)
    told = refusal(tmp_path, chosen, "base.fusion=cross_attention")
    assert told.startswith("fusion 'cross_attention' with language_model 'huggingface' cannot be used: it raised")
    assert "16" in told
    assert "32" in told


@pytest.mark.parametrize("fusion", ["concat_projection", "gated"])
def test_a_decoder_that_is_right_is_taken(fusion, tmp_path, checkpoints):
    passes = DryPasses(small_registry(), tmp_path / CHECKS)
    [trial] = load(tmp_path, decoder(checkpoints["Llama"]), f"base.fusion={fusion}").trials
    passes.check(trial)
    assert list(read_verdicts(tmp_path / CHECKS).values()) == [Verdict()] * 2
    assert not passes.untried


@pytest.mark.parametrize(
    ("override", "told"),
    [
        (
            "base.encoder=drawing",
            "encoder 'drawing' cannot be used: the same images get other tokens when they are shown",
        ),
        (
            "base.encoder=longer",
            "encoder 'longer' cannot be used: forward gives (3, 5, 24) for 3 images, but shape says",
        ),
        ("base.language_model=counting", "language_model 'counting' cannot be used: the same tokens in another order"),
        ("base.language_model=forgetful", "language_model 'forgetful' cannot be used: the same text gets other hidden"),
    ],
)
def test_a_part_whose_likeness_is_wrong_is_refused(override, told, tmp_path):
    assert refusal(tmp_path, override).startswith(told)


def test_a_fusion_that_looks_ahead_is_refused_with_a_decoder_of_another_library(tmp_path, checkpoints):
    told = refusal(tmp_path, decoder(checkpoints["Llama"]), "base.fusion=peeking")
    assert told.startswith("fusion 'peeking' with language_model 'huggingface' cannot be used: ")


def test_what_was_tried_is_not_tried_again(tmp_path):
    [trial] = load(tmp_path, "base.encoder=drawing").trials
    plugin = small_registry().plugin("encoder", "drawing")
    builds = sys.modules[plugin.factory.__module__].BUILT
    for tried in (True, False):
        builds.clear()
        with pytest.raises(CompositionError, match="other tokens when they are shown again"):
            DryPasses(small_registry(), tmp_path / CHECKS).check(trial)
        assert bool(builds) is tried
    (tmp_path / CHECKS).write_text("{")  # a disk that was full
    with pytest.raises(CompositionError, match="other tokens when they are shown again"):
        DryPasses(small_registry(), tmp_path / CHECKS).check(trial)
    assert builds


def test_a_fusion_that_wants_more_blocks_than_a_likeness_has_is_not_refused(tmp_path, checkpoints):
    passes = DryPasses(small_registry(), tmp_path / CHECKS)
    passes.check(load(tmp_path, decoder(checkpoints["Llama"]), "base.fusion=third_block").trials[0])
    [told] = passes.untried
    assert told.startswith(
        "fusion 'third_block' with language_model 'huggingface' was not tried before the run: it cannot"
    )
    assert "index 2 is out of range" in told


def test_parts_of_the_workbench_itself_cost_no_time(tmp_path):
    passes = DryPasses(small_registry(), tmp_path / CHECKS)
    passes.check(load(tmp_path).trials[0])
    assert not (tmp_path / CHECKS).exists()
