"""Components as experiment files write them: paths beside the file, and components inside of others."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from tests.small import SMALL, build_dataset, small_registry, write
from workbench.checkpoints.hugging_face import checkpoint_folder
from workbench.config.experiment import ExperimentError, load_experiment
from workbench.errors import UserError
from workbench.options import options_of
from workbench.registry import Registry, load_registry
from workbench.runs.stages import chain

PLUGIN = """
import pickle
from dataclasses import replace
from pathlib import Path
from workbench import Dataset, Example, hookimpl

class Words(Dataset):
    def __init__(self, *, files: dict[str, Path], also: tuple[Path, ...] = ()):
        self.files, self.also = files, also

    def examples(self, split, task):
        words = self.files[split].read_text().split()
        return [Example(f"{split}/{word}", word, "which?", (word,)) for word in words]

    def fingerprint(self):
        return "words"

class Both(Dataset):
    def __init__(self, *, parts: dict[str, Dataset], size: int = 1):
        self.parts = parts

    def examples(self, split, task):
        return [each for part in self.parts.values() for each in part.examples(split, task)]

    def fingerprint(self):
        return "+".join(each.fingerprint() for each in self.parts.values())

@hookimpl
def register_datasets(register):
    register("words", Words)
    register("both", Both)
"""
WORDS = "{name: words, files: {train: data/train.txt, test: data/test.txt}, also: [one, /two]}"


def registry(folder: Path) -> Registry:
    (folder / "plugins").mkdir(exist_ok=True)
    (folder / "plugins/words.py").write_text(PLUGIN)
    return load_registry([*small_registry().folders, folder / "plugins"])


def written(folder: Path, dataset: str) -> Path:
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "data/train.txt").write_text("a b c")
    (folder / "data/test.txt").write_text("d e")
    return write(folder, SMALL.replace("dataset: squares", f"dataset: {dataset}"))


def test_paths_are_relative_to_the_experiment_file_wherever_it_is_run_from(tmp_path, monkeypatch):
    known = registry(tmp_path)
    file = written(tmp_path / "experiments", WORDS)
    monkeypatch.chdir(tmp_path)
    [trial] = load_experiment(file.relative_to(tmp_path), known).trials
    monkeypatch.chdir("/")
    assert [each.answers for each in build_dataset(trial, known).examples("test", "questions")] == [("d",), ("e",)]
    assert trial.components["dataset"].arguments()["also"] == (tmp_path / "experiments/one", Path("/two"))


def test_a_trial_is_the_same_wherever_its_experiment_file_lies(tmp_path):
    known = registry(tmp_path)
    [here] = load_experiment(written(tmp_path / "here", WORDS), known).trials
    [there] = load_experiment(written(tmp_path / "there", WORDS), known).trials
    assert here.id == there.id
    assert here.spec()["dataset"]["files"] == {"train": "data/train.txt", "test": "data/test.txt"}
    assert here.spec()["dataset"]["also"] == ["one", "/two"]


def test_a_checkpoint_is_a_place_beside_the_experiment_file_or_else_an_id_of_the_hub(tmp_path):
    (tmp_path / "weights").mkdir()
    text = SMALL.replace("encoder: {name: vit, image_size: 16, patch_size: 8, width: 16, depth: 1, heads: 2}", "#")
    for written, meant in (("weights", str(tmp_path / "weights")), ("openai/clip", "openai/clip")):
        encoder = f"encoder: {{name: clip, checkpoint: {written}}}"
        [trial] = load_experiment(write(tmp_path, text.replace("#", encoder)), small_registry()).trials
        assert trial.components["encoder"].arguments()["checkpoint"] == meant
        assert trial.spec()["encoder"]["checkpoint"] == written


@pytest.mark.parametrize("place", ["../weights/clip", "/weights/clip", "weights/clip/model", "model.gguf"])
def test_a_place_where_nothing_lies_is_not_looked_for_on_the_hub(place):
    with pytest.raises(UserError, match="no file or folder here.* relative to the experiment file"):
        checkpoint_folder(place)


def test_components_of_a_component_are_built_before_it(tmp_path):
    known = registry(tmp_path)
    file = written(tmp_path, f"{{name: both, parts: {{words: {WORDS}, colors: {{name: squares, images: 4}}}}}}")
    [trial] = load_experiment(file, known).trials
    assert len(build_dataset(trial, known).examples("test", "questions")) == 2 + 24
    assert trial.spec()["dataset"]["parts"]["colors"] == {"name": "squares", "images": 4}
    made_of = chain(trial, known, lambda _: "data")[0].made_of
    assert {"plugin:dataset both", "plugin:dataset words", "plugin:dataset squares"} <= set(made_of)


@pytest.mark.parametrize(
    ("dataset", "place", "message"),
    [
        ("{name: both, parts: {first: {name: sqares}}}", "parts.first.name", "Did you mean 'squares'"),
        ("{name: both, parts: {first: {name: squares, picures: 2}}}", "parts.first.picures", "no option 'picures'"),
        ("{name: both, parts: {first: {name: squares, images: x}}}", "parts.first.images", "does not fit"),
        ("{name: both, parts: {first: words}}", "parts.first", "needs the option 'files'"),
        ("{name: both, parts: [squares]}", "parts", "give each dataset a name of your own"),
    ],
)
def test_what_is_wrong_inside_a_component_is_told_where_it_stands(tmp_path, dataset, place, message):
    with pytest.raises(ExperimentError, match=message) as told:
        load_experiment(written(tmp_path, dataset), registry(tmp_path))
    assert f"small.yaml:3: base.dataset.{place}: " in str(told.value)


def test_an_option_of_components_says_which_kind_it_takes(tmp_path):
    options = options_of(registry(tmp_path).plugin("dataset", "both").factory)
    assert {name: option.kind for name, option in options.items()} == {"parts": "dataset", "size": None}
    assert options["parts"].type_name == "dict[str, Dataset]"


def test_components_are_equal_where_one_does_the_work_of_the_other(tmp_path):
    known = registry(tmp_path)
    [here] = load_experiment(written(tmp_path / "here", WORDS), known).trials
    [again] = load_experiment(tmp_path / "here/small.yaml", known).trials
    [there] = load_experiment(written(tmp_path / "there", WORDS), known).trials
    one, same, elsewhere = (trial.components["dataset"] for trial in (here, again, there))
    assert one is not same
    assert one == same
    assert {one: "found"}[pickle.loads(pickle.dumps(same))] == "found"
    assert one != elsewhere, "its files lie somewhere else"
    assert one != replace(one, kind="metric")
    assert one != replace(one, options={**one.options, "also": ()})
    assert here.components["encoder"] != here.components["connector"]
