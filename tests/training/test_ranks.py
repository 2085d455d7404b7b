"""Several ranks train what one does with as many micro-batches, to the bit, interrupted or not."""

from __future__ import annotations

import random
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import ImageOps
from torch import nn

from tests.training.rank_bench import on_ranks, same
from tests.training.test_resume import PHASES, Augmenting, Bench, Interrupted, plain
from workbench.errors import UserError
from workbench.training.distributed_gradients import check_alike
from workbench.training.loop import Trained
from workbench.training.ranks import ALONE, Ranks
from workbench.training.resume import Snapshots

FEW = {"everything trains": 1, "dropout in LoRA": 1, "text alone": 1, "bf16 in micro-batches": 2}  # and their pieces
SHARED = sorted(name for name in PHASES if name != "contrastive")
STRATEGIES = ("ddp", "fsdp")
PIECES = {name: PHASES[name].get("accumulate", 1) for name in SHARED}


def outcome(model: Any, trained: Trained) -> dict[str, Any]:
    """All that must be the same, as values that a file takes."""
    lines = [[each.step, each.loss, each.rate, each.validation_loss] for each in plain(trained)]
    metrics = [dict(each.validation_metrics or {}) for each in trained.curve]
    kept = [[each.step, each.validation_loss, each.weights] for each in trained.kept]
    return {
        "weights": dict(model.state_dict()),
        "curve": lines,
        "metrics": metrics,
        "kept": kept,
        "read": [trained.examples, trained.tokens, trained.images],
    }


def bench(folder: Path, name: str, **settings: Any) -> Bench:
    made = Bench(folder, name)
    made.phase = made.phase.model_copy(update=settings)
    return made


def every_phase(ranks: Ranks, folder: Path) -> dict[str, Any]:
    """Each phase whole, and broken off after three steps and resumed."""
    found = {}
    for name, strategy in product(SHARED, STRATEGIES):
        own = folder / f"{ranks.rank}-{name}-{strategy}"
        own.mkdir()
        shared = bench(own, name, devices=ranks.count, strategy=strategy)
        found[f"{name}, {strategy}"] = outcome(*shared.train(None, ranks=ranks))
        snapshots = Snapshots(folder / f"{name}-{strategy}", 0.0)
        try:
            shared.train(snapshots, stop=3, ranks=ranks)
        except Interrupted:
            ranks.gathered(None)  # nobody goes on while another one still writes
        found[f"{name}, {strategy}, resumed"] = outcome(*shared.train(snapshots, ranks=ranks))
    return found


def few_phases(ranks: Ranks, folder: Path) -> dict[str, Any]:
    """Some of them, each way to share them, with a weight that nothing uses and one that is a single number."""
    found = {}
    for name, strategy in product(FEW, STRATEGIES):
        own = folder / f"{ranks.rank}-{name}-{strategy}"
        own.mkdir()
        settings = {"devices": ranks.count, "strategy": strategy, "accumulate": FEW[name]}
        found[f"{name}, {strategy}"] = outcome(*with_spare(own, name, **settings).train(None, ranks=ranks))
    return found


def with_spare(folder: Path, name: str, **settings: Any) -> Bench:
    made = bench(folder, name, **settings)
    connector = made.model.connector
    connector.register_parameter("spare", nn.Parameter(torch.ones(5, 3)))
    connector.register_parameter("number", nn.Parameter(torch.tensor(0.9)))
    connector.register_forward_hook(_scale)
    return made


def _scale(module: Any, _: Any, tokens: torch.Tensor) -> torch.Tensor:
    return tokens * module.number


def long_phase(ranks: Ranks, folder: Path) -> list[float]:
    """The losses of fifty steps over images that are augmented."""
    own = folder / f"{ranks.rank}"
    own.mkdir()
    made = bench(own, "everything trains", steps=50, batch=4, devices=ranks.count)
    made.model.encoder._forward_hooks.clear()  # by which its numbers depend on those of other images
    made.dataset = Shaded()
    return [step.loss for step in made.train(None, ranks=ranks)[1].curve]


class Shaded(Augmenting):
    """The squares in a frame whose shade is drawn."""

    def augment(self, image: Any, generator: random.Random) -> Any:
        return ImageOps.expand(image, 2, (generator.randrange(256),) * 3)


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> list[dict[str, Any]]:
    return on_ranks(2, tmp_path_factory.mktemp("two") / "ranks", every_phase)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", SHARED)
def test_two_ranks_end_with_the_bits_of_one_with_twice_the_micro_batches(tmp_path, two, name, strategy):
    alone = bench(tmp_path, name, accumulate=2 * PIECES[name])
    expected = outcome(*alone.train(None))
    first, second = (each[f"{name}, {strategy}"] for each in two)
    assert same(first, expected)
    assert same(second["weights"], expected["weights"])


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", SHARED)
def test_two_ranks_that_were_interrupted_end_with_the_same_bits(two, name, strategy):
    for each in two:
        assert same(each[f"{name}, {strategy}, resumed"], each[f"{name}, {strategy}"])


def test_three_ranks_end_with_the_bits_of_one_with_thrice_the_micro_batches(tmp_path):
    """Of three numbers the order matters, parts of weights differ in size, and what is not used stays as it is."""
    three = on_ranks(3, tmp_path / "ranks", few_phases)
    for name in FEW:
        own = tmp_path / name
        own.mkdir()
        expected = outcome(*with_spare(own, name, accumulate=3 * FEW[name]).train(None))
        assert torch.equal(expected["weights"]["connector.spare"], torch.ones(5, 3))
        for strategy in STRATEGIES:
            assert same(three[0][f"{name}, {strategy}"], expected), (name, strategy)


def test_two_ranks_have_the_losses_of_one_over_fifty_steps_to_rounding(tmp_path):
    first, second = on_ranks(2, tmp_path / "ranks", long_phase)
    (tmp_path / "one").mkdir()
    assert first == second
    assert first == pytest.approx(long_phase(ALONE, tmp_path / "one"), abs=1e-5)
    assert first[-1] < first[0]


def test_a_weight_that_differs_between_ranks_is_told(tmp_path):
    for said in on_ranks(2, tmp_path / "ranks", other_weights):
        assert said.startswith("norm.running_mean is another one on each device")


def other_weights(ranks: Ranks, folder: Path) -> str:
    """What is said of two weights, one of which is alike."""
    try:
        check_alike({"weight": torch.ones(2), "norm.running_mean": torch.tensor(float(ranks.rank))}, ranks)
    except UserError as error:
        return str(error)
    return ""
