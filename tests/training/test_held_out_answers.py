"""Metrics in the training curve: what a model answers about held-out images on its way, and that it leaves no trace."""

from __future__ import annotations

import copy

import pytest
import torch

from tests.small import load, run_inside, small_registry
from tests.training.phases import data_for, moved, phase_of, trained
from workbench.config.phase import Evaluation
from workbench.contracts.example import Prediction
from workbench.data.image_views import gather
from workbench.errors import UserError
from workbench.model.generation import generate
from workbench.storage.records import read_curve, read_record
from workbench.storage.result_files import TRIALS
from workbench.training.held_out_answers import ScoredQuestions
from workbench.training.loop import train
from workbench.training.training_set import hold_out, training_examples

PROMPT = "<image>{question}\n"
WATCHED = {"held_out": 0.3, "validate_every": 2, "validate_with": ("vqa_accuracy",), "steps": 5}


class Scores:
    """Counts what it is asked about and remembers the answers."""

    def __init__(self):
        self.asked: list[list[Prediction]] = []

    def __call__(self, predictions) -> dict[str, float]:
        self.asked.append(list(predictions))
        return {"vqa_accuracy": len(self.asked) / 10}

    def questions(self, **settings) -> ScoredQuestions:
        evaluation = Evaluation.model_validate({"precision": "fp32", "max_new_tokens": 3, **settings})
        return ScoredQuestions(PROMPT, evaluation, self)


def test_a_validation_asks_every_question_about_the_held_out_images_and_no_other(model):
    scores = Scores()
    summary, curve = trained(model, scored=scores.questions(), **WATCHED)
    _, held = hold_out(training_examples(data_for(model).dataset, ["questions"]), 0.3, 0)
    expected = {example.id for examples in held.values() for example in examples}
    assert [{each.example.id for each in asked} for asked in scores.asked] == [expected] * 3
    assert [each.validation_metrics for each in curve] == [
        *(None, {"vqa_accuracy": 0.1}, None, {"vqa_accuracy": 0.2}, {"vqa_accuracy": 0.3})
    ]
    assert summary.curve == curve


def test_the_answers_are_those_of_the_finished_model_asked_by_itself(model):
    scores = Scores()
    trained(model, scored=scores.questions(), **WATCHED)
    last = {each.example.id: each for each in scores.asked[-1]}
    data = data_for(model)
    for found in last.values():
        seen, places = gather([found.example.images], data.images.plain)
        batch = data.collate(seen, [[found.example]], answered=False, places=places)
        with torch.no_grad():
            (((ids,),)) = generate(model, model.see(seen, batch.views), batch, 3)
        assert found.answer == model.language_model.tokenizer.decode(ids)


def test_asking_changes_no_bit_of_the_training(model):
    twin = copy.deepcopy(model)
    _, plain = trained(model, held_out=0.3, steps=5)
    _, asked = trained(twin, scored=Scores().questions(), **{**WATCHED, "validate_every": 1})
    assert [each.loss for each in plain] == [each.loss for each in asked]
    assert max(moved(model, twin).values()) == 0
    assert twin.training == model.training is False


@pytest.mark.parametrize("parts", [("connector",), ("encoder", "connector", "fusion", "language_model")])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_answers_come_through_kept_tokens_and_through_a_trained_encoder(model, parts, precision):
    scores = Scores()
    _, curve = trained(model, scored=scores.questions(), **WATCHED, train=parts, precision=precision)
    assert len(scores.asked) == 3
    assert curve[-1].validation_metrics == {"vqa_accuracy": 0.3}


def test_another_task_than_the_one_that_trains_can_be_asked(model):
    scores = Scores()
    trained(model, scored=scores.questions(task="captions"), **WATCHED)
    assert {each.example.question for each in scores.asked[0]} == {"describe"}


def test_a_phase_whose_held_out_images_nobody_asks_about_is_refused(model):
    dataset = small_registry().create("dataset", "squares")
    held = next(iter(hold_out(training_examples(dataset, ["questions"]), 0.05, 0)[1]))
    there = dataset.examples
    dataset.examples = lambda split, task: [  # captions of all images but the one that is held out
        each for each in there(split, task) if task == "questions" or each.images != held
    ]
    phase = phase_of(held_out=0.05, validate_with=("vqa_accuracy",))
    with pytest.raises(UserError, match="no image that the task 'captions' asks about"):
        scored = Scores().questions(task="captions")
        train(model, [], phase, data_for(model, dataset), 0, lambda _: None, questions=scored)


def test_the_curve_of_a_run_has_the_metric_of_its_held_out_answers(tmp_path):
    phase = "phases.tune"
    settings = [f"{phase}.held_out=0.3", f"{phase}.validate_every=1", f"{phase}.validate_with=[vqa_accuracy]"]
    experiment = load(tmp_path, *settings)
    assert not run_inside(experiment, tmp_path / "results").failed
    (folder,) = (tmp_path / "results" / "small" / TRIALS).iterdir()
    curve = read_curve(folder)
    assert [set(each) for each in curve["validation_metrics"]] == [{"vqa_accuracy"}] * 2
    assert all(0 <= each["vqa_accuracy"] <= 1 for each in curve["validation_metrics"])
    assert read_record(folder).spec["phases"][0]["validate_with"] == ["vqa_accuracy"]
    plain = load(tmp_path)
    assert "validate_with" not in plain.trials[0].spec()["phases"][0], "a trial without it keeps its id"


def test_what_is_asked_on_the_way_is_part_of_the_stage_and_only_where_it_is_asked(tmp_path):
    from workbench.runs.stages import chain

    def key(*settings: str) -> str:
        return chain(load(tmp_path, *settings).trials[0], small_registry(), lambda _: "data")[0].key

    asks = ["phases.tune.held_out=0.3", "phases.tune.validate_with=[vqa_accuracy]"]
    assert key() == key("evaluation.max_new_tokens=3")
    assert key(*asks) != key(*asks, "evaluation.max_new_tokens=3")
    assert key(*asks) == key(*asks, "metrics=[vqa_accuracy]"), "another metric is not asked for"
