"""Grids, variants and seeds: the trials they make, the labels of their values, and what is refused."""

from __future__ import annotations

import pytest

from tests.experiment_files import GOOD, GRID, check_refused, load, with_grid
from workbench.config.validation_messages import label
from workbench.config.yaml_source import parse_yaml

# What is broken: text of the good file, what stands there instead (`#!` marks the line the message must name),
# the key the message must name, and a part of its advice.
BROKEN_AXES = {
    "unknown value": ("rough]", "rogh] #!", "grid.quantizer.1", "Did you mean 'rough'?"),
    "unknown option of a value": (
        "rough]",
        "{name: rough, bit: 4}] #!",
        "grid.quantizer.rough.bit",
        "Did you mean 'bits'?",
    ),
    "value twice": ("rough]", "rough, {name: exact}] #!", "grid.quantizer.exact", "is there twice. Keep one"),
    "number twice": (
        GRID,
        "grid:\n  encoder.depth: [1, 2, 1] #!\n",
        "grid.encoder.depth.2",
        "the value 1 is there twice",
    ),
    "axis without values": (
        "[exact, rough]",
        "[] #!",
        "grid.quantizer",
        "Write 'quantizer: [first, second]', or remove it",
    ),
    "axis that is no list": ("[exact, rough]", "rough #!", "grid.quantizer", "not the text 'rough': write [rough]"),
    "axis of no kind": (GRID, "grid:\n  quantiser: [exact] #!\n", "grid.quantiser", "Did you mean 'quantizer'?"),
    "axis that says base": (GRID, "grid:\n  base.fusion: [glue] #!\n", "grid.base.fusion", "Write 'fusion'"),
    "seeds as an axis of grid": (GRID, "grid:\n  seed: [0, 1] #!\n", "grid.seed", "Write 'seeds: [0, 1, 2]'"),
    "axis of an unknown option": (
        GRID,
        "grid:\n  fusion.dept: [1] #!\n",
        "grid.fusion.dept.0",
        "Did you mean 'depth'?",
    ),
    "axis of an unknown phase": (
        GRID,
        "grid:\n  phases.tun.epochs: [1] #!\n",
        "grid.phases.tun.epochs",
        "Did you mean 'tune'?",
    ),
    "axis of an unknown setting": (GRID, "grid:\n  phases.tune.epoch: [1] #!\n", "grid.phases.tune.epoch", "'epochs'?"),
    "axis with a wrong value": (
        GRID,
        "grid:\n  phases.tune.epochs: [1, 0] #!\n",
        "grid.phases.tune.epochs.1",
        "greater than 0",
    ),
    "axis of evaluation with a wrong value": (
        GRID,
        "grid:\n  evaluation.batch: [big] #!\n",
        "grid.evaluation.batch.0",
        "a whole",
    ),
    "option that only some plugins have": (
        GRID,
        "grid:\n  fusion: [glue, tape]\n  fusion.depth: [2] #!\n",
        "grid.fusion.depth.0",
        "Exclude these trials (exclude: [{fusion: tape}]), or write the values out",
    ),
    "option set twice": (
        GRID,
        "grid:\n  fusion: [{name: glue, depth: 3}]\n  fusion.depth: [2] #!\n",
        "grid.fusion.depth.0",
        "Remove one of them",
    ),
    "grid that is far too large": (
        GRID,
        f"grid: #!\n  encoder.depth: {list(range(1, 999))}\n  encoder.width: {list(range(1, 999))}\n",
        "grid",
        "more than 100,000 trials",
    ),
    "value that is the default": (GRID, "grid: #!\n  fusion: [glue, {name: glue, depth: 1}]\n", "grid", "are the same"),
    "labels of no axis": (GRID, GRID + "labels: {quantiser: [a, b]} #!\n", "labels.quantiser", "mean 'quantizer'?"),
    "fewer labels than values": (GRID, GRID + "labels: {quantizer: [a]} #!\n", "labels.quantizer", "for 2 values"),
    "label twice": (GRID, GRID + "labels: {quantizer: [a, a]} #!\n", "labels.quantizer.1", "called 'a'. Give each"),
    "label that is a number": (GRID, GRID + "labels: {quantizer: [a, 1]} #!\n", "labels.quantizer.1", "must be a text"),
    "variant twice": (GRID, "variants: [{fusion: glue}, {fusion: glue}] #!\n", "variants", "these trials are the same"),
    "variant that sets nothing": (GRID, "variants: [{}] #!\n", "variants.0", "Write {axis: value}"),
    "axis of grid and variants": (
        GRID,
        GRID + "variants: [{quantizer: rough}] #!\n",
        "variants.0.quantizer",
        "Remove one",
    ),
    "unknown axis of a variant": (
        GRID,
        "variants: [{fusoin: glue}] #!\n",
        "variants.0.fusoin",
        "Did you mean 'fusion'?",
    ),
    "seeds are a number": (GRID, "seeds: 3 #!\n", "seeds", "this must be a list"),
    "seed twice": (GRID, "seeds: [0, 1, 0] #!\n", "seeds.2", "the value 0 is there twice. Keep one"),
    "seed is negative": (GRID, "seeds: [0, -1] #!\n", "seeds.1", "at least 0, not -1"),
    "seed is a text": (GRID, "seeds: [zero] #!\n", "seeds.0", "a whole number, not the text 'zero'"),
    "no seeds": (GRID, "seeds: [] #!\n", "seeds", "this must not be empty"),
}


@pytest.mark.parametrize("broken", BROKEN_AXES)
def test_a_broken_axis_is_refused_with_its_line_its_key_and_advice(tmp_path, broken):
    check_refused(tmp_path, *BROKEN_AXES[broken])


def axis_values(experiment, axis: str) -> list[str]:
    return [trial.axes[axis] for trial in experiment.trials]


def test_a_grid_is_the_product_of_its_axes_and_the_last_changes_fastest(tmp_path):
    experiment = load(
        tmp_path, with_grid("grid:\n  fusion: [tape, glue]\n  quantizer: [exact, rough]\n") + "seeds: [3, 1]\n"
    )
    assert experiment.axes == {"fusion": ("tape", "glue"), "quantizer": ("exact", "rough"), "seed": ("3", "1")}
    assert axis_values(experiment, "fusion") == ["tape"] * 4 + ["glue"] * 4
    assert axis_values(experiment, "quantizer") == ["exact", "exact", "rough", "rough"] * 2
    assert [trial.seed for trial in experiment.trials] == [3, 1] * 4
    assert experiment.seeds == (3, 1)


@pytest.mark.parametrize(
    ("axis", "values", "found"),
    [
        ("encoder.depth", "[1, 2]", lambda trial: trial.components["encoder"].options["depth"]),
        ("phases.tune.epochs", "[1, 2.5]", lambda trial: trial.phases[1].epochs),
        ("phases.tune.rate", "[1e-4, 0.01]", lambda trial: trial.phases[1].rate),
        ("evaluation.limit", "[3, null]", lambda trial: trial.evaluation.limit),
        ("prompt", "['{question}', '<image>{question}']", lambda trial: trial.prompt),
    ],
)
def test_any_setting_can_be_an_axis(tmp_path, axis, values, found):
    experiment = load(tmp_path, with_grid(f"grid:\n  {axis}: {values}\n"))
    written = parse_yaml(values, "values").value
    assert [found(trial) for trial in experiment.trials] == written
    assert experiment.axes[axis] == tuple(label(value) for value in written)


def test_components_of_one_name_are_told_apart_by_the_options_that_differ(tmp_path):
    grid = "grid:\n  adapter: [whole, slim, {name: slim, rank: 2, alpha: 4}, {name: slim, rank: 4, alpha: 4}]\n"
    labels = load(tmp_path, with_grid(grid)).axes["adapter"]
    assert labels == ("whole", "slim", "slim(rank=2, alpha=4)", "slim(rank=4, alpha=4)")


def test_variants_are_trials_of_their_own_and_take_from_base_what_they_leave_out(tmp_path):
    text = with_grid("variants:\n  - {fusion: tape, adapter: slim}\n  - {fusion: glue}\n")
    experiment = load(tmp_path, text)
    assert [dict(trial.axes) for trial in experiment.trials] == [
        {"fusion": "tape", "adapter": "slim", "seed": "0"},
        {"fusion": "glue", "adapter": "whole", "seed": "0"},
    ]


def test_an_option_a_variant_leaves_out_is_labelled_by_what_the_trial_has(tmp_path):
    variants = "variants:\n  - {fusion: glue, fusion.depth: 4}\n  - {fusion: glue}\n  - {fusion: tape}\n"
    experiment = load(tmp_path, with_grid(variants))
    assert axis_values(experiment, "fusion.depth") == ["4", "1", "-"]
    assert experiment.axes["fusion.depth"] == ("4", "1", "-")


def test_each_variant_is_multiplied_with_the_grid(tmp_path):
    experiment = load(tmp_path, GOOD + "variants: [{fusion: tape}, {fusion: glue}]\n")
    assert axis_values(experiment, "fusion") == ["tape", "tape", "glue", "glue"]
    assert axis_values(experiment, "quantizer") == ["exact", "rough"] * 2


def test_values_of_an_axis_can_be_called_by_labels_which_change_no_trial(tmp_path):
    text = with_grid("grid:\n  phases.tune.train: [[encoder], [encoder, fusion]]\n  quantizer: [exact, rough]\n")
    labels = "labels: {phases.tune.train: [frozen, all]}\n"
    plain, named = load(tmp_path, text), load(tmp_path, text + labels)
    assert [each.id for each in named.trials] == [each.id for each in plain.trials]
    assert named.axes == {"phases.tune.train": ("frozen", "all"), "quantizer": ("exact", "rough"), "seed": ("0",)}
    assert named.trials[2].axes == {"phases.tune.train": "all", "quantizer": "exact", "seed": "0"}
    for written in ("all", "[encoder, fusion]"):
        end = f"exclude: [{{phases.tune.train: {written}}}]\nbaseline: {{phases.tune.train: frozen}}\n"
        kept = load(tmp_path, text + labels + end)
        assert [each.axes["phases.tune.train"] for each in kept.trials] == ["frozen", "frozen"]
