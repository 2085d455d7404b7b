"""The keys of an experiment file: which there are, and what is wrong with one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from tests.experiment_files import GOOD, GRID, check_refused, fake_registry, load
from workbench.config.comparison_settings import ComparisonSettings
from workbench.config.experiment import ExperimentError, load_experiment
from workbench.config.experiment_file import ExperimentFile
from workbench.config.phase import Evaluation, Phase

DOCS = Path(__file__).parents[2] / "docs" / "experiments.md"

# What is broken: text of the good file, what stands there instead (`#!` marks the line the message must name),
# the key the message must name, and a part of its advice.
BROKEN_KEYS = {
    "unknown top-level key": ("metrics:", "metric: [right] #!\nmetrics:", "metric", "Did you mean 'metrics'?"),
    "component at the top level": ("base:", "fusion: glue #!\nbase:", "fusion", "Indent it under 'base:'"),
    "phases at the top level": ("base:", "phases: [] #!\nbase:", "phases", "Indent it under 'base:'"),
    "top-level key inside base": (
        "base:\n",
        "base:\n  prompt: '{question}' #!\n",
        "base.prompt",
        "Move it out of base",
    ),
    "unknown key in base": ("base:\n", "base:\n  fusoin: glue #!\n", "base.fusoin", "Did you mean 'fusion'?"),
    "key given twice": ("base:\n", "base:\n  fusion: glue\n", "base.fusion", "in lines 3 and 7. Keep one"),
    "unknown key in a phase": (
        "epochs: 2",
        "epoch: 2 #!\n      steps: 1",
        "base.phases.tune.epoch",
        "Did you mean 'epochs'?",
    ),
    "unknown key in evaluation": (GRID, "evaluation:\n  limits: 3 #!\n", "evaluation.limits", "Did you mean 'limit'?"),
    "asked about what was trained on": (
        GRID,
        "evaluation:\n  split: train #!\n",
        "evaluation.split",
        "Write 'split: held_out': training images that no phase trains on",
    ),
    "an axis asks about what was trained on": (
        GRID,
        "grid:\n  evaluation.split: [test, train] #!\n",
        "grid.evaluation.split",
        "Write 'split: held_out'",
    ),
    "nothing held out to ask": (
        GRID,
        "evaluation: {held_out: 0} #!\n",
        "evaluation",
        "write 'held_out: 0.1', or another share",
    ),
    "everything held out": (GRID, "evaluation: {held_out: 1} #!\n", "evaluation.held_out", "less than 1"),
    "base is missing": (GOOD, "metrics: [right] #!\n", "", "'base' is missing. Write 'base: ...'"),
    "metrics are missing": (
        GOOD,
        "#!\n" + GOOD.replace("metrics: [right]\n", ""),
        "",
        "'metrics' is missing. Write 'metrics: ...'",
    ),
    "base is a list": (GOOD, "base: [glue] #!\nmetrics: [right]\n", "base", "a mapping, as {key: value}"),
    "name with a separator": ("question:", "name: ../other #!\nquestion:", "name", "Give another 'name': letters"),
    "name is a number": ("question:", "name: 2026 #!\nquestion:", "name", "this must be a text, not 2026"),
    "name that is taken": ("question:", "name: artifacts #!\nquestion:", "name", "taken by the workbench"),
    "name is empty": ("question:", "name: ''  #!\nquestion:", "name", "Give another 'name'"),
    "question is a list": ("Which glue holds best?", "[a, b] #!", "question", "this must be a text"),
}


@pytest.mark.parametrize("broken", BROKEN_KEYS)
def test_a_broken_key_is_refused_with_its_line_its_key_and_advice(tmp_path, broken):
    check_refused(tmp_path, *BROKEN_KEYS[broken])


def test_a_file_whose_name_cannot_name_results_needs_a_name_of_its_own(tmp_path):
    path = tmp_path / ".hidden.yaml"
    path.write_text(GOOD)
    with pytest.raises(ExperimentError, match=r".hidden.yaml:1: name: '.hidden' cannot name the results folder"):
        load_experiment(path, fake_registry())
    assert load_experiment(path, fake_registry(), ["name=seen"]).name == "seen"


def test_the_name_of_an_experiment_is_that_of_its_file_unless_it_gives_one(tmp_path):
    assert load(tmp_path, GOOD).name == "holds"
    named = load(tmp_path, "name: other\n" + GOOD)
    assert named.name == "other"
    assert named.trials[0].experiment == "other"


def table_of(model: type[BaseModel]) -> list[tuple[str, str]]:
    """Keys with their defaults, as the tables of the page must give them."""
    rows = []
    for name, field in model.model_fields.items():
        default = "required" if field.default is PydanticUndefined else f"`{json.dumps(field.default)}`"
        rows.append((f"`{name}`", default))
    return rows


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        *(("The keys of a file", ExperimentFile), ("Phases", Phase), ("Evaluation", Evaluation)),
        ("How the report compares: `statistics`", ComparisonSettings),
    ],
)
def test_the_page_on_experiments_lists_every_key_with_its_default(heading, model):
    section = DOCS.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("| `")]
    assert [(row[0], row[2]) for row in rows] == table_of(model)
