"""Phases and prompts as they are written: which take place, at which rates, and what is refused."""

from __future__ import annotations

import re

import pytest

from tests.experiment_files import GOOD, GRID, check_refused, load, with_grid
from workbench.config.experiment import ExperimentError

LAST = "name: tune\n      train: [encoder, fusion]\n      epochs: 2"
# What is broken: text of the good file, what stands there instead (`#!` marks the line the message must name),
# the key the message must name, and a part of its advice.
BROKEN_PHASES = {
    "rate is not a number": ("rate: 1e-3", "rate: .nan #!", "base.phases.tune.rate", "a finite number, not nan"),
    "rate is infinite": ("rate: 1e-3", "rate: .inf #!", "base.phases.tune.rate", "a finite number, not inf"),
    "rate is negative": ("rate: 1e-3", "rate: -1e-3 #!", "base.phases.tune.rate", "greater than 0, not -0.001"),
    "rate is a word": ("rate: 1e-3", "rate: fast #!", "base.phases.tune.rate", "a number or a mapping"),
    "rate of an unknown part": (
        "rate: 1e-3",
        "rate: {encoder: 1e-3, fusoin: 1e-3} #!",
        "base.phases.tune.rate.fusoin",
        "Did you mean 'fusion'?",
    ),
    "rate of a part that does not train": (
        "rate: 1e-3",
        "rate: {encoder: 1e-3, fusion: 1e-3, connector: 1e-3} #!",
        "base.phases.tune.rate.connector",
        "does not train, so it has no rate. The phase trains: encoder, fusion",
    ),
    "no rate for a part that trains": (
        "rate: 1e-3",
        "rate: {encoder: 1e-3} #!",
        "base.phases.tune.rate",
        "no rate for 'fusion'",
    ),
    "epochs are negative": ("epochs: 2", "epochs: -2 #!", "base.phases.tune.epochs", "greater than 0, not -2"),
    "epochs are a text": ("epochs: 2", "epochs: two #!", "base.phases.tune.epochs", "a number, not the text 'two'"),
    "steps are a fraction": ("steps: 5", "steps: 5.5 #!", "base.phases.align.steps", "a whole number, not 5.5"),
    "epochs and steps": (
        "- name: tune",
        "- name: tune #!\n      steps: 3",
        "base.phases.tune",
        "either 'epochs' or 'steps'",
    ),
    "neither epochs nor steps": (
        "name: align\n      train: [connector]\n      steps: 5",
        "name: align #!\n      train: [connector]",
        "base.phases.align",
        "either 'epochs' or",
    ),
    "parts that train are missing": (
        "name: align\n      train: [connector]",
        "name: align #!",
        "base.phases.align",
        "Write 'train: ...'",
    ),
    "batch is zero": ("epochs: 2", "epochs: 2\n      batch: 0 #!", "base.phases.tune.batch", "greater than 0, not 0"),
    "warm-up is more than all": (
        "epochs: 2",
        "epochs: 2\n      warmup: 5 #!",
        "base.phases.tune.warmup",
        "at most 1, not 5",
    ),
    "unknown precision": (
        "epochs: 2",
        "epochs: 2\n      precision: fp8 #!",
        "base.phases.tune.precision",
        "one of: auto, fp32, bf16, fp16",
    ),
    "all images are held out": (
        "epochs: 2",
        "epochs: 2\n      held_out: 1 #!",
        "base.phases.tune.held_out",
        "less than 1, not 1",
    ),
    "compile is a word": (
        "epochs: 2",
        "epochs: 2\n      compile: inductor #!",
        "base.phases.tune.compile",
        "this must be true or false, not the text 'inductor'",
    ),
    "patience without a validation": (
        LAST,
        LAST.replace("tune", "tune #!") + "\n      patience: 3",
        "base.phases.tune",
        "'patience' needs a validation: write 'held_out: 0.1' or another share",
    ),
    "patience without an interval": (
        LAST,
        LAST.replace("tune", "tune #!") + "\n      held_out: 0.1\n      patience: 3",
        "base.phases.tune",
        "'patience' needs 'validate_every': the steps between validations",
    ),
    "metrics without a validation": (
        LAST,
        LAST.replace("tune", "tune #!") + "\n      validate_with: [right]",
        "base.phases.tune",
        "'validate_with' needs a validation: write 'held_out: 0.1' or another share",
    ),
    "a validation with a metric that the experiment has not": (
        LAST,
        LAST + "\n      held_out: 0.1\n      validate_with: [rigth] #!",
        "base.phases.tune.validate_with",
        "the experiment has no metric 'rigth'. Did you mean 'right'? Its metrics: right",
    ),
    "answers of a contrast": (
        "train: [encoder, fusion]\n      epochs: 2",
        "train: [encoder]\n      epochs: 2\n      objective: contrastive\n      held_out: 0.1\n"
        "      validate_with: [right]",
        "base.phases.tune",
        "leave out 'validate_with'",
    ),
    "the best of none": (
        LAST,
        LAST.replace("tune", "tune #!") + "\n      held_out: 0.1\n      finish_with: best",
        "base.phases.tune",
        "'finish_with: best' needs 'keep_best: 1' or more",
    ),
    "more pieces than images": (
        LAST,
        LAST.replace("tune", "tune #!") + "\n      batch: 4\n      accumulate: 5",
        "base.phases.tune",
        "a batch of 4 cannot be cut into 5 pieces: lower 'accumulate'",
    ),
    "unknown objective": (
        "epochs: 2",
        "epochs: 2\n      objective: answer #!",
        "base.phases.tune.objective",
        "'answers'?",
    ),
    "contrastive phase of other parts": (
        "- name: tune",
        "- name: tune #!\n      objective: contrastive",
        "base.phases.tune",
        "write 'train: [encoder]'",
    ),
    "unknown part trains": (
        "[encoder, fusion]",
        "[encoder, fuson] #!",
        "base.phases.tune.train.1",
        "Did you mean 'fusion'?",
    ),
    "part that trains is a word": ("[connector]", "connector #!", "base.phases.align.train", "write [connector]"),
    "nothing trains": ("[connector]", "[] #!", "base.phases.align.train", "this must not be empty"),
    "two phases of one name": ("name: align", "name: tune", "base.phases.tune.name", "two phases are called 'tune'"),
    "phase with a dot in its name": ("name: align", "name: a.b #!", "base.phases.a.b.name", "Use letters, digits"),
    "only for an unknown kind": (
        "steps: 5",
        "steps: 5\n      only: {encodr: eye} #!",
        "base.phases.align.only.encodr",
        "'encoder'?",
    ),
    "only for an unknown plugin": (
        "steps: 5",
        "steps: 5\n      only: {encoder: eey} #!",
        "base.phases.align.only.encoder",
        "'eye'?",
    ),
}

BROKEN_PROMPTS = {
    "prompt without the question": (GRID, "prompt: '<image>' #!\n", "prompt", "as <image>{question}"),
    "prompt with an unknown field": (GRID, "prompt: '{question} {answr}' #!\n", "prompt", "'{answr}' is not filled in"),
    "prompt is a number": (GRID, "prompt: 3 #!\n", "prompt", "this must be a text"),
}


@pytest.mark.parametrize("broken", BROKEN_PHASES)
def test_a_broken_phase_is_refused_with_its_line_its_key_and_advice(tmp_path, broken):
    check_refused(tmp_path, *BROKEN_PHASES[broken])


@pytest.mark.parametrize("broken", BROKEN_PROMPTS)
def test_a_broken_prompt_is_refused_with_its_line_its_key_and_advice(tmp_path, broken):
    check_refused(tmp_path, *BROKEN_PROMPTS[broken])


def test_a_phase_is_left_out_of_trials_it_is_not_for(tmp_path):
    text = with_grid("grid:\n  encoder: [eye, lens]\n").replace("steps: 5", "steps: 5\n      only: {encoder: lens}")
    eye, lens = load(tmp_path, text).trials
    assert [phase.name for phase in eye.phases] == ["tune"]
    assert [phase.name for phase in lens.phases] == ["align", "tune"]


def test_a_phase_can_be_for_several_components(tmp_path):
    text = GOOD.replace("steps: 5", "steps: 5\n      only: {encoder: [eye, lens], quantizer: [exact]}")
    exact, rough = load(tmp_path, text).trials
    assert (len(exact.phases), len(rough.phases)) == (2, 1)


def test_an_axis_leaves_a_phase_out(tmp_path):
    text = with_grid("grid:\n  phases.align.run: [true, false]\n")
    both, one = load(tmp_path, text).trials
    assert [phase.name for phase in both.phases] == ["align", "tune"]
    assert [phase.name for phase in one.phases] == ["tune"]
    assert (both.axes["phases.align.run"], one.axes["phases.align.run"]) == ("true", "false")
    assert one.phases[0] == both.phases[1]


def test_a_part_has_its_rate_where_an_axis_lets_it_train(tmp_path):
    text = with_grid("grid:\n  phases.tune.train: [[encoder], [encoder, fusion]]\n")
    text = text.replace("rate: 1e-3", "rate: {encoder: 1e-3, fusion: 1e-4}")
    alone, together = load(tmp_path, text).trials
    assert (alone.phases[1].rate, together.phases[1].rate) == ({"encoder": 1e-3}, {"encoder": 1e-3, "fusion": 1e-4})
    by_itself = text.replace(", [encoder, fusion]]", "]").replace(", fusion: 1e-4}", "}")
    assert load(tmp_path, by_itself).trials[0].id == alone.id


def test_a_part_that_trains_nowhere_on_an_axis_has_no_rate(tmp_path):
    text = with_grid("grid:\n  phases.tune.train: [[encoder], [encoder, fusion]]\n")
    rates = "rate: {encoder: 1e-3, fusion: 1e-4, connector: 1e-4}"
    with pytest.raises(ExperimentError, match="'connector' does not train, so it has no rate"):
        load(tmp_path, text.replace("rate: 1e-3", rates))
    with pytest.raises(ExperimentError, match="there is no rate for 'fusion'"):
        load(tmp_path, text.replace("rate: 1e-3", "rate: {encoder: 1e-3}"))


def test_no_phases_at_all_must_be_said_and_is_then_allowed(tmp_path):
    without = re.sub(r"  phases:\n(    .*\n)+", "", GOOD)
    with pytest.raises(ExperimentError, match=r"holds.yaml:2: base: 'phases' is missing.*'phases: \[\]'"):
        load(tmp_path, without)
    assert load(tmp_path, without.replace("grid:", "  phases: []\ngrid:")).trials[0].phases == ()
