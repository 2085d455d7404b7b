"""Like is compared with like: values over the cells that all of them have, each cell counting the same."""

from __future__ import annotations

import numpy
import pandas
import pytest

from tests.statistics.made_samples import grid, sample_of
from workbench.statistics.design import Design
from workbench.statistics.effects import axis_effects
from workbench.statistics.verdicts import UNCLEAR


def test_an_unbalanced_design_compares_only_the_cells_that_all_values_have():
    """`a` was tried in the easy cell only; over its own cells it would look better than it is."""
    axes = grid(["base", "a"], cells=2).iloc[[0, 1, 2]].reset_index(drop=True)
    scores = numpy.array([[0.9] * 50, [0.5] * 50, [0.9] * 50]) + 0.01 * numpy.random.default_rng(0).normal(size=(3, 50))
    design = Design(axes, "axis", ["base", "a"])
    effects = axis_effects(design, sample_of(scores), "base", True)
    assert effects[0].mean.estimate == pytest.approx(0.9, abs=0.01)
    assert effects[1].verdict == UNCLEAR
    assert (len(design.cells), len(design.all_cells)) == (1, 2)


def test_every_cell_counts_the_same_however_many_seeds_it_has():
    axes = pandas.concat([grid(["base"], 1, seeds=3), pandas.DataFrame([{"axis": "base", "other": "1", "seed": "0"}])])
    design = Design(axes.reset_index(drop=True), "axis", ["base"])
    assert design.weights("base", design.all_cells).tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])
