"""What is held out reaches no training: not an image, not a word about one, in no phase and no mixture of data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.own_plugins import squares
from tests.small import PLUGINS, SMALL, load, records, run_inside, small_registry, write
from workbench.config.experiment import Experiment, load_experiment
from workbench.evaluation.out_of_distribution import training_keys
from workbench.inference.load_trial import trial_of
from workbench.model.build import CompositionError, build_dataset, corpus_of
from workbench.registry import load_registry
from workbench.runs import feature_stage, stage_work
from workbench.runs.planner import Planner
from workbench.runs.stages import chain
from workbench.storage.splits import HELD_OUT
from workbench.training.training_set import training_examples

DEFAULT = SMALL.replace("split: test, ", "")
# Every way to train: contrast on captions, several tasks, a validation of the phase's own, a share of the data, and
# an encoder that stays as it is, whose features are kept.
PHASES = """\
  phases:
    - {name: contrast, objective: contrastive, tasks: [captions], train: [encoder], epochs: 3, batch: 4,
       precision: fp32}
    - {name: align, tasks: [captions, questions], train: [connector, fusion], epochs: 3, batch: 4, precision: fp32,
       held_out: 0.2, validate_every: 2, keep_best: 1}
    - {name: tune, train: [connector, fusion, language_model], epochs: 3, batch: 4, precision: fp32, data_share: 0.6}
"""
WAYS = DEFAULT.partition("  phases:")[0] + PHASES + "metrics:" + DEFAULT.partition("metrics:")[2]
DATA = {
    "one": "{name: squares, images: 40}",
    "augmented": "{name: flipped_squares, images: 40}",
    # The same images in both parts, of which each gives others to train on.
    "mixture": "{name: mixture, images: 30, parts:"
    " {few: {name: squares, images: 25}, many: {name: squares, images: 40}}}",
    "mixture of mixtures": "{name: mixture, parts: {one: {name: squares, images: 30}, two: {name: mixture,"
    " parts: {in: {name: squares, images: 40}}}}}",
}


class Seen:
    """The images that squares were asked for, by what was going on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.by_stage: dict[str, set[str]] = {"train": set(), "features": set(), "": set()}
        self.stage = ""
        own = squares.Squares.image
        plugin = small_registry().plugin("dataset", "squares").factory

        def image(dataset: squares.Squares, key: str):
            self.by_stage[self.stage].add(key)
            return own(dataset, key)

        monkeypatch.setattr(plugin, "image", image)
        for module, name, stage in ((stage_work, "train_phase", "train"), (feature_stage, "encode_all", "features")):
            self._watch(monkeypatch, module, name, stage)

    def _watch(self, monkeypatch: pytest.MonkeyPatch, module, name: str, stage: str) -> None:
        does = getattr(module, name)

        def watched(*arguments):
            with self.during(stage):
                return does(*arguments)

        monkeypatch.setattr(module, name, watched)

    @contextmanager
    def during(self, stage: str) -> Iterator[None]:
        self.stage = stage
        yield
        self.stage = ""


def names(keys) -> set[str]:
    return {key.rpartition("/")[2] for key in keys}


def held_out(experiment: Experiment) -> set[str]:
    """The numbers of the squares that the trials ask about."""
    dataset = build_dataset(experiment.trials[0], small_registry())
    return names(key for task in dataset.tasks() for each in dataset.examples(HELD_OUT, task) for key in each.images)


@pytest.mark.parametrize("data", DATA)
def test_no_held_out_image_reaches_the_training_of_any_phase(tmp_path, monkeypatch, data):
    experiment = load(tmp_path, f"base.dataset={DATA[data]}", text=WAYS)
    seen, out = Seen(monkeypatch), held_out(experiment)
    outcome = run_inside(experiment, tmp_path / "results")
    assert not outcome.failed
    assert len(out) >= 2
    trained = names(seen.by_stage["train"])
    assert len(trained) > 10, "the spy sees what trains"
    assert not trained & out
    assert names(seen.by_stage[""]) >= out, "and what is evaluated"


@pytest.mark.parametrize("data", DATA)
def test_no_word_about_a_held_out_image_is_in_a_tokenizer_or_a_reference_set(tmp_path, data):
    experiment = load(tmp_path, f"base.dataset={DATA[data]}", text=WAYS)
    trial, out = experiment.trials[0], held_out(experiment)
    dataset = build_dataset(trial, small_registry())
    told = [each for task in dataset.tasks() for each in dataset.examples("train", task)]
    assert told and len(out) >= 2
    assert not names(training_keys(dataset)) & out
    assert not names(key for each in told for key in each.images) & out
    words = sum(1 for _ in corpus_of(trial, dataset).texts())
    assert words == 2 * len(told), "the corpus is made of these: a question and an answer each"


def test_it_is_the_same_images_for_every_seed_and_trial(tmp_path):
    grid = "grid: {phases.tune.data_share: [0.5, 1.0], fusion: [gated, concat_projection]}\nseeds: [0, 1]\n"
    experiment = load(tmp_path, text=DEFAULT + grid)
    datasets = [build_dataset(trial, small_registry()) for trial in experiment.trials]
    asked = {tuple(dataset.examples(HELD_OUT, "questions")) for dataset in datasets}
    assert len(datasets) == 8
    assert len(asked) == 1


def test_weights_of_a_mixture_change_what_trains_and_not_what_is_held_out(tmp_path):
    parts = "{name: mixture, parts: {a: {name: squares, images: 40}, b: {name: squares, images: 30}}"
    found = []
    for more in ("", ", weights: {a: 1, b: 3}", ", images: 10"):
        dataset = build_dataset(
            load(tmp_path, f"base.dataset={parts}{more}}}", text=DEFAULT).trials[0], small_registry()
        )
        found.append((set(training_examples(dataset, ["questions"])), tuple(dataset.examples(HELD_OUT, "questions"))))
    trains, asks = zip(*found, strict=True)
    assert len(set(map(frozenset, trains))) == 3
    assert len(trains[2]) == 10, "a mixture gives what it is asked for, of what is left"
    assert len(set(asks)) == 1


def test_a_mixture_of_a_stranger_that_hands_no_split_on_has_images_held_out_all_the_same(tmp_path):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins/album.py").write_text(
        "from dataclasses import replace\nfrom workbench import Dataset, hookimpl\n"
        "class Album(Dataset):\n"
        "    def __init__(self, *, parts: dict[str, Dataset]):\n        self.parts = parts\n"
        "    def examples(self, split, task):\n"
        "        return [replace(each, id=f'{name}:{each.id}', image=f'{name}:{each.image}')"
        " for name, part in self.parts.items() for each in part.examples(split, task)]\n"
        "    def image(self, key):\n"
        "        name, _, own = key.partition(':')\n        return self.parts[name].image(own)\n"
        "    def fingerprint(self):\n        return 'album'\n"
        "@hookimpl\ndef register_datasets(register):\n    register('album', Album)\n"
    )
    registry = load_registry([tmp_path / "plugins", PLUGINS])
    data = "base.dataset={name: album, parts: {a: {name: squares, images: 40}, b: {name: squares, images: 40}}}"
    dataset = build_dataset(load_experiment(write(tmp_path, DEFAULT), registry, [data]).trials[0], registry)
    held, trains = (names(each.image for each in dataset.examples(split, "questions")) for split in (HELD_OUT, "train"))
    assert len(held) >= 2
    assert not held & trains


def test_asking_test_trains_on_everything_and_a_share_that_is_written_is_held_out_there_too(tmp_path):
    keys = {}
    for split, more in (("held_out", ""), ("test", ""), ("test", ", held_out: 0.1"), ("test", ", held_out: 0.3")):
        experiment = load(tmp_path, f"evaluation={{split: {split}{more}}}", f"base.dataset={DATA['one']}")
        dataset = build_dataset(experiment.trials[0], small_registry())
        stages = chain(experiment.trials[0], small_registry(), lambda trial: "data")
        keys[split + more] = [len(training_examples(dataset, ["questions"])), *(stage.key for stage in stages)]
    images, training, evaluation = zip(*keys.values(), strict=True)
    assert images[1] == 40
    assert images[0] == images[2] > images[3]
    assert training[0] == training[2], "the final question is asked of the same weights"
    assert len(set(training)) == 3
    assert len(set(evaluation)) == 4


def test_records_say_what_is_held_out_and_those_that_do_not_are_of_before(tmp_path):
    spec = load(tmp_path, text=DEFAULT).trials[0].spec()["evaluation"]
    assert (spec["split"], spec["held_out"]) == ("held_out", 0.1)
    before = load(tmp_path).trials[0].spec()["evaluation"]
    assert before["split"] == "test"
    assert "held_out" not in before


def test_a_finished_trial_is_built_again_with_what_was_held_out_of_it(tmp_path):
    experiment = load(tmp_path, f"base.dataset={DATA['mixture']}", text=DEFAULT)
    run_inside(experiment, tmp_path / "results")
    [record] = records(tmp_path)
    trial = trial_of(record["spec"], small_registry(), tmp_path)
    assert trial.id == experiment.trials[0].id
    first, again = (build_dataset(each, small_registry()) for each in (experiment.trials[0], trial))
    assert first.examples("train", "questions") == again.examples("train", "questions")


def test_data_without_training_images_says_what_to_write(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "test.csv").write_text("image,question,answers\na.png,what?,red\nb.png,what?,blue\n")
    data = "base.dataset={name: folder, tables: {test: test.csv}, images: images}"
    experiment = load(tmp_path, data, "base.phases=[]", text=DEFAULT)
    with pytest.raises(
        CompositionError, match=r"no training images to hold any out of. Write evaluation: .split: test"
    ):
        Planner(experiment, small_registry(), tmp_path / "results").plan()


def test_a_task_of_a_mixture_that_trains_nothing_says_what_to_write(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "test.csv").write_text("image,question,answers\na.png,what?,red\nb.png,what?,blue\n")
    pure = "{name: folder, tables: {test: test.csv}, images: images}"
    data = f"base.dataset={{name: mixture, parts: {{train: {{name: squares, images: 40}}, pure: {pure}}}}}"
    experiment = load(tmp_path, data, "evaluation.task=pure.questions", text=DEFAULT)
    with pytest.raises(CompositionError, match=r"task 'pure.questions' has no training images.*split: test"):
        Planner(experiment, small_registry(), tmp_path / "results").plan()


def test_a_phases_own_validation_is_taken_from_what_is_left(tmp_path):
    phase = "base.phases=[{name: tune, train: [connector], epochs: 1, held_out: 0.5}]"
    trial = load(tmp_path, f"base.dataset={DATA['one']}", phase, text=DEFAULT).trials[0]
    dataset = build_dataset(trial, small_registry())
    left = training_examples(dataset, ["questions"], trial.phases[0].data_share)
    assert len(left) == 40 - len({each.image for each in dataset.examples(HELD_OUT, "questions")})
