"""A training that is interrupted, wherever, and started again ends with the bits of one that is not."""

from __future__ import annotations

import copy
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import ImageOps

from benchmarks.kills import EXPERIMENT, Killed, compare, kill_often
from tests.small import build, load, run_here, small_registry
from tests.training.phases import data_for, phase_of
from workbench.config.phase import Phase
from workbench.contracts.example import Prediction
from workbench.model.build import attach_adapter
from workbench.model.vision_language_model import VisionLanguageModel
from workbench.runs.scheduler import RunOptions
from workbench.storage.artifacts import ArtifactStore
from workbench.storage.atomic import StorageError
from workbench.training import resume
from workbench.training.curve import Step
from workbench.training.held_out_answers import ScoredQuestions
from workbench.training.loop import Trained, train
from workbench.training.ranks import ALONE, Ranks
from workbench.training.resume import Snapshot, Snapshots

STEPS = 6


WATCHED = {"held_out": 0.3, "validate_every": 2, "keep_best": 2, "finish_with": "best"}


PHASES: dict[str, dict[str, Any]] = {
    "everything trains": {},
    "few questions": {"questions": 1, "batch": 5},
    "dropout in LoRA": {"train": ("adapter",)},
    "a frozen encoder": {"train": ("connector", "language_model"), "batch": 5},
    "a frozen encoder that sees some of the images": {"train": ("connector", "language_model"), "batch": 2},
    "augmented": {},
    "text alone": {"batch": 3},
    "text alone and a frozen encoder": {"train": ("connector", "language_model"), "batch": 2},
    "fp16": {"precision": "fp16"},
    "bf16 in micro-batches": {"precision": "bf16", "accumulate": 3, "batch": 8},
    "validated": WATCHED,
    "asked on the way": {**WATCHED, "validate_with": ("vqa_accuracy",)},
    "patient": {"held_out": 0.3, "validate_every": 1, "patience": 2, "rate": 1.0, "warmup": 0.0},
    "contrastive": {"objective": "contrastive", "tasks": ("captions",), "train": ("encoder",), "accumulate": 2},
}


class Interrupted(Exception):
    """Stands for whatever ends a process."""


class Augmenting:
    """The squares, changed by every generator that a plugin could draw from."""

    augments = True

    def __init__(self) -> None:
        self.dataset = small_registry().create("dataset", "squares")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.dataset, name)

    def augment(self, image: Any, generator: random.Random) -> Any:
        drawn = (generator.random(), random.random(), numpy.random.random())
        return ImageOps.expand(image, 1, tuple(int(255 * each) for each in drawn))


class WithText(Augmenting):
    """Squares, most of whose questions are text alone: many a batch has no image."""

    augments = False

    def examples(self, split: str, task: str) -> list[Any]:
        found = self.dataset.examples(split, task)
        return [each if place % 4 == 0 else replace(each, image="") for place, each in enumerate(found)]


def _in_company(module: Any, arguments: Any, tokens: torch.Tensor) -> torch.Tensor:
    """The last bits of a product depend on its number of rows: here in a way that every machine shows."""
    return tokens + 0.01 * len(tokens)


def _length(prediction: Prediction) -> float:
    return len(prediction.answer) + prediction.loss


class Bench:
    """One phase, with a new model each time it is started, as in a new process."""

    def __init__(self, folder: Path, name: str):
        self.phase: Phase = phase_of(**{"steps": STEPS, "rate": 1e-2, **PHASES[name]})
        self.dataset = Augmenting() if name == "augmented" else WithText() if name.startswith("text alone") else None
        adapter = "base.adapter={name: lora, rank: 2, dropout: 0.5}"
        self.trial = load(folder, adapter).trials[0]
        self.model = build(self.trial)
        self.model.encoder.register_forward_hook(_in_company)

    def train(
        self, snapshots: Snapshots | None, stop: int | None = None, ranks: Ranks = ALONE
    ) -> tuple[VisionLanguageModel, Trained]:
        """Train, and break off after step `stop`."""
        model, adapted = copy.deepcopy(self.model), []
        if "adapter" in self.phase.train:
            _, adapted = attach_adapter(self.trial, small_registry(), model)

        def on_step(step: Step) -> None:
            if step.step == stop:
                raise Interrupted

        torch.rand(random.randrange(99))  # whatever was drawn before must not matter
        data = data_for(model, self.dataset)
        asked = self.questions()
        return model, train(model, adapted, self.phase, data, 3, on_step, snapshots, questions=asked, ranks=ranks)

    def questions(self) -> ScoredQuestions | None:
        """What a validation asks where the phase says so: scored by how long the answers are."""
        evaluation = self.trial.evaluation
        lengths = ScoredQuestions(
            self.trial.prompt, evaluation, lambda found: {"vqa_accuracy": sum(map(_length, found))}
        )
        return lengths if self.phase.validate_with else None


def plain(trained: Trained) -> list[Step]:
    """The curve without its seconds."""
    return [Step(**{**vars(step), "seconds": 0.0}) for step in trained.curve]


def assert_same(first: tuple[VisionLanguageModel, Trained], second: tuple[VisionLanguageModel, Trained]) -> None:
    weights = second[0].state_dict()
    for name, weight in first[0].state_dict().items():
        assert torch.equal(weight, weights[name]), name
    assert plain(first[1]) == plain(second[1])
    assert (first[1].examples, first[1].tokens) == (second[1].examples, second[1].tokens)
    assert [(each.step, each.validation_loss) for each in first[1].kept] == [
        (each.step, each.validation_loss) for each in second[1].kept
    ]
    for one, other in zip(first[1].kept, second[1].kept, strict=True):
        assert all(torch.equal(weight, other.weights[name]) for name, weight in one.weights.items())


@pytest.mark.parametrize("name", PHASES)
def test_a_phase_interrupted_after_any_step_ends_with_the_same_bits(tmp_path, name):
    bench = Bench(tmp_path, name)
    whole = bench.train(None)
    assert whole[1].steps < STEPS if name == "patient" else whole[1].steps == STEPS
    for stop in range(1, whole[1].steps + 1):
        snapshots = Snapshots(tmp_path / f"{stop}", every=0)
        with pytest.raises(Interrupted):
            bench.train(snapshots, stop)
        assert_same(bench.train(Snapshots(tmp_path / f"{stop}", every=1e9)), whole)


def test_a_phase_interrupted_again_and_again_ends_with_the_same_bits(tmp_path):
    bench = Bench(tmp_path, "validated")
    for stop in range(2, STEPS + 1):
        with pytest.raises(Interrupted):
            bench.train(Snapshots(tmp_path / "all", every=0), stop)
    assert_same(bench.train(Snapshots(tmp_path / "all", every=0)), bench.train(None))


def test_a_phase_that_was_finished_is_not_trained_again(tmp_path):
    bench = Bench(tmp_path, "validated")
    whole = bench.train(Snapshots(tmp_path / "all", every=0))
    assert_same(bench.train(Snapshots(tmp_path / "all", every=0), stop=STEPS), whole)


def test_snapshots_come_no_sooner_than_asked_and_at_the_end(tmp_path):
    bench = Bench(tmp_path, "everything trains")
    bench.train(Snapshots(tmp_path / "rare", every=1e9))
    assert steps_in(tmp_path / "rare") == [STEPS]
    bench.train(Snapshots(tmp_path / "often", every=0))
    assert steps_in(tmp_path / "often") == [STEPS - 1, STEPS], "the newest two"


def steps_in(folder: Path) -> list[int]:
    return sorted(int(file.name.partition("-")[0]) for file in folder.iterdir())


def test_a_snapshot_holds_what_changes_and_not_what_is_frozen(tmp_path):
    bench = Bench(tmp_path, "a frozen encoder")
    bench.train(Snapshots(tmp_path / "all", every=0))
    found = Snapshots(tmp_path / "all", every=0).newest()
    assert found is not None
    parts = {name.split(".")[1] for name in found.tensors if name.startswith("weights.")}
    assert parts == {"connector", "language_model"}


DAMAGES = {
    "cut": lambda content: content[: len(content) // 2],
    "emptied": lambda content: b"",
    "one bit": lambda content: content[:-100] + bytes([content[-100] ^ 4]) + content[-99:],
    "one bit of the header": lambda content: content[:200] + bytes([content[200] ^ 1]) + content[201:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_snapshot_is_passed_by_and_told(tmp_path, damage):
    bench, folder = Bench(tmp_path, "everything trains"), tmp_path / "all"
    with pytest.raises(Interrupted):
        bench.train(Snapshots(folder, every=0), stop=5)
    newest = sorted(folder.iterdir())[-1]
    newest.write_bytes(DAMAGES[damage](newest.read_bytes()))
    snapshots = Snapshots(folder, every=0)
    found = snapshots.newest()
    assert found is not None
    assert found.step == 3
    [note] = snapshots.notes
    assert str(newest) in note
    assert "damaged" in note
    assert_same(bench.train(Snapshots(folder, every=0)), bench.train(None))


def test_without_a_good_snapshot_training_starts_from_the_beginning(tmp_path):
    bench, folder = Bench(tmp_path, "everything trains"), tmp_path / "all"
    with pytest.raises(Interrupted):
        bench.train(Snapshots(folder, every=0), stop=5)
    for file in folder.iterdir():
        file.write_bytes(b"nothing")
    snapshots = Snapshots(folder, every=0)
    assert_same(bench.train(snapshots), bench.train(None))
    assert len(snapshots.notes) == 2


def test_a_write_that_fails_leaves_the_snapshot_before_it(tmp_path, monkeypatch):
    snapshots = Snapshots(tmp_path / "all", every=0)
    snapshots.write(Snapshot(1, {"a": torch.ones(3)}, {"b": 0.1 + 0.2}))
    with monkeypatch.context() as changed, pytest.raises(StorageError, match="the disk is full"):
        changed.setattr("os.fsync", _full)
        snapshots.write(Snapshot(2, {"a": torch.zeros(3)}, {}))
    found = snapshots.newest()
    assert found is not None
    assert (found.step, found.values) == (1, {"b": 0.1 + 0.2})
    assert torch.equal(found.tensors["a"], torch.ones(3))
    assert len(list((tmp_path / "all").iterdir())) == 1


class Gone(Exception):
    """Stands for a claim that was lost."""


def test_what_forbids_a_snapshot_leaves_those_that_are_there(tmp_path):
    """They are another worker's now, which goes on from them."""

    def check() -> None:
        raise Gone

    Snapshots(tmp_path / "all", every=0).write(Snapshot(1, {"a": torch.ones(3)}, {}))
    before = [(file.name, file.read_bytes()) for file in (tmp_path / "all").iterdir()]
    with pytest.raises(Gone):
        Snapshots(tmp_path / "all", every=0, check=check).write(Snapshot(2, {"a": torch.zeros(3)}, {}))
    assert [(file.name, file.read_bytes()) for file in (tmp_path / "all").iterdir()] == before


@pytest.mark.parametrize("further", [0, 1, 2, 3])
def test_a_worker_that_lives_on_may_replace_snapshots_while_its_heir_reads_them(tmp_path, monkeypatch, further):
    """The newest file vanishes between the look at the folder and the reading, and so on, as the other one trains."""
    zombie, heir = (Snapshots(tmp_path / "all", every=0) for _ in range(2))
    for step in (1, 2):
        zombie.write(Snapshot(step, {"a": torch.full((3,), float(step))}, {}))
    read, steps = resume._read, iter(range(3, 3 + 2 * further))

    def late(file: Path) -> Snapshot | None:
        for _ in range(2):
            if step := next(steps, None):
                zombie.write(Snapshot(step, {"a": torch.full((3,), float(step))}, {}))
        return read(file)

    monkeypatch.setattr(resume, "_read", late)
    found = heir.newest()
    assert found is not None
    assert torch.equal(found.tensors["a"], torch.full((3,), float(found.step)))
    assert found.step == 2 + 2 * further
    assert heir.notes == [], "nothing was damaged"


def test_snapshots_that_all_go_while_they_are_read_are_none(tmp_path, monkeypatch):
    """The other worker was done with the phase: its store has removed them."""
    snapshots = Snapshots(tmp_path / "all", every=0)
    snapshots.write(Snapshot(1, {"a": torch.ones(3)}, {}))
    read = resume._read

    def late(file: Path) -> Snapshot | None:
        shutil.rmtree(tmp_path / "all")
        return read(file)

    monkeypatch.setattr(resume, "_read", late)
    assert snapshots.newest() is None
    assert snapshots.notes == []


def _full(handle: int) -> None:
    raise OSError(28, "No space left on device")


def test_the_store_removes_the_snapshots_of_a_stage_that_is_kept(tmp_path):
    store = ArtifactStore(tmp_path)
    Snapshots(store.partial("abc"), every=0).write(Snapshot(1, {}, {}))
    assert not store.has("abc")
    store.write("abc", {}, None, {}, [], {})
    assert not store.partial("abc").exists()
    assert store.has("abc")


def test_a_run_killed_at_random_moments_ends_with_the_same_bits(tmp_path):
    """Real processes, all of them killed; with another hash seed than ours, which must not matter either."""
    (tmp_path / "whole").mkdir()
    experiment = load(tmp_path / "whole", "name=kills", text=EXPERIMENT)
    assert run_here(experiment, tmp_path / "whole/results", RunOptions(snapshot_seconds=0)).done
    killed: Killed = kill_often(tmp_path / "killed", kills=2, chance=random.Random(0), hash_seed=2)
    assert killed.kills == 2
    assert compare(tmp_path / "whole", tmp_path / "killed") == []


def test_a_snapshot_gives_each_part_its_own_state_back():
    one = ({"1.weight": torch.ones(1)}, {"best": 0.5})
    other = ({"weight": torch.zeros(2)}, {})
    snapshot = Snapshot.of(7, {"best": one, "best10": other})
    assert (snapshot.step, snapshot.part("best"), snapshot.part("best10")) == (7, one, other)
