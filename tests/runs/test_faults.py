"""What goes wrong outside the workbench: each fault is told in words, and nothing that was finished is lost."""

from __future__ import annotations

import json
import re
import resource
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.processes import ended, start
from tests.small import PLUGINS, SMALL, CommandLine, files_of, load, records, run_here, write

GRID = SMALL + "grid:\n  quantizer: [none, {name: int8, exclude: ['encoder.*']}]\n"


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A folder in which the small experiment has run."""
    folder = tmp_path_factory.mktemp("finished")
    outcome = run_here(load(folder, text=GRID), folder / "results")
    assert len(outcome.done) == 2
    return folder


@pytest.fixture
def workbench(finished, tmp_path, monkeypatch, capsys) -> CommandLine:
    """The command line in a copy of that folder."""
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    return CommandLine(folder, monkeypatch, capsys)


def trials_of(workbench: CommandLine) -> dict[str, bytes]:
    """Every byte of the finished trials."""
    found = files_of(workbench.folder / "results/small/trials")
    assert len(found) >= 6
    return found


def made_data(root: Path) -> Path:
    """A folder with data as easy-VQA's: four images a split."""
    for split in ("train", "test"):
        (root / split / "images").mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (64, 64), (60 * number, 0, 0)).save(root / split / "images" / f"{number}.png")
        questions = [["what color is the circle?", "red", number] for number in range(4)]
        (root / split / "questions.json").write_text(json.dumps(questions))
    return root


def test_a_missing_image_is_told_before_anything_runs(workbench):
    root = made_data(workbench.folder / "data")
    (root / "test/images/2.png").unlink()
    before = trials_of(workbench)
    for command in ("plan", "run"):
        told = workbench(
            command, "small.yaml", "--plugins", PLUGINS, "--set", f"base.dataset={{name: easy_vqa, root: {root}}}"
        )
        assert told.code == 2
        assert f"asks about {root / 'test/images/2.png'}, which is missing" in told.errors
    assert trials_of(workbench) == before


def test_a_corrupt_image_fails_its_trials_with_its_name_and_keeps_the_others(workbench):
    root = made_data(workbench.folder / "data")
    image = root / "test/images/2.png"
    image.write_bytes(image.read_bytes()[:60])
    before = trials_of(workbench)
    told = workbench.run(
        workbench.folder / "small.yaml", "--set", f"grid.dataset=[squares, {{name: easy_vqa, root: {root}}}]"
    )
    assert told.code == 1
    assert "2 of 4 trials done (2 before this run)" in told.output
    failed = [record for record in records(workbench.folder) if record["status"] == "failed"]
    assert len(failed) == 2
    for record in failed:
        assert f"the image {image} cannot be read" in record["error"]["message"]
        assert record["error"]["stage"] == "features", "both trials look at the same images with the same encoder"
        assert not record["error"]["transient"], "the image stays damaged"
        assert record["error"]["traceback"] == ""
    after = trials_of(workbench)
    assert {name: content for name, content in after.items() if not name.endswith("record.json")}.items() >= {
        name: content for name, content in before.items() if not name.endswith("record.json")
    }.items()


class Shouting:
    """Unpickled, it would write a file."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return (Path.touch, (self.file,))


def truncated(folder: Path) -> Path:
    file = folder / "clip.safetensors"
    save_file({"visual.conv1.weight": torch.zeros(64, 3, 8, 8)}, file)
    file.write_bytes(file.read_bytes()[:-100])
    return file


def of_another_shape(folder: Path) -> Path:
    """A Hugging Face folder whose config says 2 blocks 64 wide, and whose weights are others."""
    config = {"image_size": 32, "patch_size": 8, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1}
    (folder / "tower").mkdir()
    (folder / "tower/config.json").write_text(json.dumps({**config, "intermediate_size": 128}))
    save_file(
        {"vision_model.embeddings.class_embedding": torch.zeros(32)},
        folder / "tower/model.safetensors",
    )
    return folder / "tower"


def pickled_code(folder: Path) -> Path:
    torch.save({"visual.proj": Shouting(folder / "shouted")}, folder / "clip.pt")
    return folder / "clip.pt"


CHECKPOINTS: dict[str, Callable[[Path], Path]] = {
    "is no file or folder here": lambda folder: folder / "nowhere" / "clip.pt",
    "is damaged": truncated,
    "does not fit: shapes differ: class_embedding is (32,) there and (64,) here": of_another_shape,
    "holds pickled code, which is not run": pickled_code,
}


@pytest.mark.parametrize("words", CHECKPOINTS)
def test_a_checkpoint_that_cannot_be_used_is_told_before_anything_runs(workbench, words):
    checkpoint = CHECKPOINTS[words](workbench.folder)
    before = files_of(workbench.folder / "results")
    for command in ("plan", "run"):
        change = f"grid.encoder=[vit, {{name: clip, checkpoint: {checkpoint}}}]"
        told = workbench(command, "small.yaml", "--plugins", PLUGINS, "--set", change)
        assert told.code == 2
        assert told.errors.startswith(f"error: --set {change}: grid.encoder.clip: encoder 'clip' cannot be used: ")
        assert str(checkpoint) in told.errors
        assert words in told.errors
        assert not told.output
    assert files_of(workbench.folder / "results") == before
    assert not (workbench.folder / "shouted").exists()


def test_names_that_the_dataset_lacks_are_told_before_anything_runs(workbench):
    before = files_of(workbench.folder / "results")
    told = workbench.run(
        workbench.folder / "small.yaml", "--set", "base.phases.tune.tasks=[caption]", "--set", "evaluation.split=tset"
    )
    assert told.code == 2
    assert "phase 'tune': the dataset 'squares' has no task 'caption'. Did you mean 'captions'?" in told.errors
    assert "evaluation: the dataset 'squares' has no split 'tset'. Did you mean 'test'?" in told.errors
    assert files_of(workbench.folder / "results") == before


def test_the_results_of_another_experiment_are_left_alone(workbench):
    (workbench.folder / "results/small").rename(workbench.folder / "results/large")
    before = files_of(workbench.folder / "results")
    told = workbench.run(workbench.folder / "small.yaml", "--set", "name=large")
    assert told.code == 2
    assert "results/large holds the results of the experiment 'small', not of 'large'" in told.errors
    assert files_of(workbench.folder / "results") == before


def test_two_experiments_of_one_name_do_not_mix(workbench):
    other = write(workbench.folder, GRID.replace("does it run?", "how long?").replace("steps: 2", "steps: 3"), "b.yaml")
    before = files_of(workbench.folder / "results")
    told = workbench.run(other, "--set", "name=small")
    assert told.code == 2
    assert "another experiment of the same name, which asks 'does it run?'" in told.errors
    assert "Give this one a 'name' of its own" in told.errors
    assert files_of(workbench.folder / "results") == before


def test_an_experiment_may_change_its_question_or_its_trials(workbench):
    file = workbench.folder / "small.yaml"
    assert workbench.run(file, "--set", "question=Is it the same?").code == 0
    assert json.loads((workbench.folder / "results/small/experiment.json").read_text())["question"] == "Is it the same?"


PLACES = {
    "a part of that path is a file": lambda folder: folder / "file" / "results",
    "there is a file of that name": lambda folder: _file(folder / "taken" / "small").parent,
    "cannot write": lambda folder: Path("/sys/results-of-the-workbench"),
}


def _file(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    return path


@pytest.mark.parametrize("words", PLACES)
def test_results_that_cannot_be_written_are_told_before_anything_runs(workbench, words):
    (workbench.folder / "file").write_text("mine")
    place = PLACES[words](workbench.folder)
    before = files_of(workbench.folder)
    told = workbench.run(workbench.folder / "small.yaml", "--results", place)
    assert told.code == 2
    assert f"cannot write {place}" in told.errors
    assert words in told.errors
    assert files_of(workbench.folder) == before


def test_a_place_for_stages_that_is_a_file_is_told_before_anything_runs(workbench):
    shutil.rmtree(workbench.folder / "results/artifacts")
    (workbench.folder / "results/artifacts").write_text("mine")
    before = files_of(workbench.folder)
    told = workbench.run(workbench.folder / "small.yaml", "--set", "base.phases.tune.steps=3")
    assert told.code == 2
    assert "results/artifacts: there is a file of that name" in told.errors
    assert files_of(workbench.folder) == before


def test_a_full_disk_is_told_and_loses_nothing(workbench):
    """No file of the child processes may be larger, so that neither weights nor predictions can be written, and the
    records of what failed can."""
    before = trials_of(workbench)
    most = min(len(content) for name, content in before.items() if name.endswith("predictions.jsonl")) * 9 // 10
    assert max(len(content) for name, content in before.items() if name.endswith("record.json")) < most
    said = run_limited(workbench, most, 1)
    for where in ("results/artifacts/", "results/small/trials/"):
        assert re.search(rf"cannot write \S*/{where}\S*: the file would be larger than the system allows here", said)
    assert_nothing_lost(workbench, before)


def test_a_disk_that_is_full_from_the_beginning_is_told_before_anything_runs(workbench):
    before, said = trials_of(workbench), run_limited(workbench, 450, 2)
    assert "cannot write results/small/experiment.yaml: the file would be larger than the system allows here" in said
    assert_nothing_lost(workbench, before)


def run_limited(workbench: CommandLine, most_bytes: int, code: int) -> str:
    """`workbench run` of more trials; its processes may write files of so many bytes. Returns what it says."""
    more = "grid.quantizer=[none, {name: int8, exclude: ['encoder.*']}, measuring]"
    words = ("--workers", "1", "--set", "seeds=[0, 1]", "--set", more)
    return ended(start(workbench.folder, *words, before=partial(limit, most_bytes)), code)


def limit(most_bytes: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))


def assert_nothing_lost(workbench: CommandLine, before: dict[str, bytes]) -> None:
    after = trials_of(workbench)
    assert {name: after[name] for name in before} == before
    assert not list((workbench.folder / "results").rglob("*.tmp"))


def test_a_damaged_record_is_made_again_and_the_others_stay(workbench):
    folder = workbench.folder / "results/small/trials"
    damaged, kept = sorted(folder.iterdir())
    (damaged / "record.json").write_bytes((damaged / "record.json").read_bytes()[:-40])
    before = files_of(kept)
    told = workbench.run(workbench.folder / "small.yaml")
    assert told.code == 0
    assert "2 of 2 trials done (1 before this run)" in told.output
    assert "tune" not in told.output, "its training is kept"
    assert files_of(kept) == before
    assert json.loads((damaged / "record.json").read_text())["status"] == "done"


def test_a_damaged_summary_is_told_and_made_again(workbench):
    file = workbench.folder / "results/small/experiment.json"
    file.write_text('{"name": "sma')
    before = trials_of(workbench)
    told = workbench.run(workbench.folder / "small.yaml")
    assert told.code == 0
    assert "experiment.json is damaged: a run writes it anew" in told.output
    assert "2 of 2 trials done (2 before this run)" in workbench.run(workbench.folder / "small.yaml").output
    assert trials_of(workbench) == before


DAMAGE = {
    "truncated": lambda content: content[:1000],
    "a bit flipped": lambda content: content[:-3] + bytes([content[-3] ^ 4]) + content[-2:],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_stage_is_made_again_and_said_so(workbench, damage):
    (weights,) = workbench.folder.glob("results/artifacts/*/weights.safetensors")
    good = weights.read_bytes()
    weights.write_bytes(DAMAGE[damage](good))
    before = trials_of(workbench)
    more = "grid.quantizer=[none, {name: int8, exclude: ['encoder.*']}, measuring]"
    planned = workbench("plan", "small.yaml", "--plugins", PLUGINS, "--set", more)
    told = workbench.run(workbench.folder / "small.yaml", "--set", more)
    assert told.code == 0, told.output
    said = planned.output if damage == "truncated" else told.output
    assert ("what it left is gone or damaged" if damage == "truncated" else "it is made again") in said
    assert "none, 0: tune" in told.output
    assert "3 of 3 trials done (2 before this run)" in told.output
    assert weights.read_bytes() == good
    after = trials_of(workbench)
    assert {name: after[name] for name in before} == before


def test_a_kept_trial_is_called_as_it_is_called_now(workbench):
    """A lone `int8` is called so whatever its options are; beside another one, the label says what differs."""
    change = "grid.quantizer=[none, {name: int8, exclude: ['encoder.*']}, {name: int8, exclude: ['fusion.*']}]"
    before = trials_of(workbench)
    old = {record["id"]: record for record in records(workbench.folder)}
    told = workbench.run(workbench.folder / "small.yaml", "--set", change)
    assert told.code == 0
    assert "3 of 3 trials done (2 before this run)" in told.output
    new = {record["id"]: record for record in records(workbench.folder)}
    labels = {id_: (old[id_]["axes"]["quantizer"], new[id_]["axes"]["quantizer"]) for id_ in old}
    assert ("none", "none") in labels.values()
    (changed,) = [id_ for id_, (then, now) in labels.items() if then != now]
    assert labels[changed][0] == "int8"
    axes = json.loads((workbench.folder / "results/small/experiment.json").read_text())["axes"]
    assert new[changed]["axes"]["quantizer"] in axes["quantizer"]
    unlabelled = {"axes": None, "sha256": None}
    assert new[changed] | unlabelled == old[changed] | unlabelled
    after = trials_of(workbench)
    assert {name for name in before if after[name] != before[name]} == {f"{changed}/record.json"}
