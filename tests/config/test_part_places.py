"""What is wrong with a part of a trial is told with the line and the key where the file says that part."""

from __future__ import annotations

import pytest

from tests.small import SMALL, load, small_registry
from workbench.config.part_places import with_place
from workbench.model.build import CompositionError
from workbench.runs.planner import Planner

GRID = """\
grid:
  encoder:
    - {name: vit, image_size: 16, patch_size: 8, width: 16, depth: 1, heads: 2}
    - {name: vit, image_size: 16, patch_size: 8, width: 16, depth: 1, heads: 3}
"""


@pytest.mark.parametrize(
    ("problem", "place"),
    [
        ("fusion 'concat_projection' cannot be used: it is so", "6: base.fusion"),
        ("phase 'tune' trains nothing", "11: base.phases.tune"),
        ("evaluation: there is no split", "13: evaluation"),
        ("metric 'loss' cannot be used", "12: metrics.1"),
        ("something else", "1"),
    ],
)
def test_a_part_is_found_by_what_a_problem_begins_with(tmp_path, problem, place):
    experiment = load(tmp_path)
    assert experiment.document is not None
    assert with_place(problem, experiment.trials[0], experiment.document) == (
        f"{tmp_path / 'small.yaml'}:{place}: {problem}"
    )


def test_of_several_of_one_name_that_of_the_trial_is_named(tmp_path):
    experiment = load(tmp_path, text=SMALL + GRID)
    with pytest.raises(CompositionError) as error:
        Planner(experiment, small_registry(), tmp_path / "results").plan()
    assert str(error.value).startswith(f"{tmp_path / 'small.yaml'}:17: grid.encoder.vit: encoder 'vit' cannot be used")


def test_a_part_of_the_command_line_is_named_by_it(tmp_path):
    experiment = load(tmp_path, "base.encoder.heads=3")
    with pytest.raises(CompositionError, match="^.*: base.encoder: encoder 'vit' cannot be used"):
        Planner(experiment, small_registry(), tmp_path / "results").plan()
