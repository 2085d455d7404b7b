"""Which of an experiment's components come from users' plugins."""

from __future__ import annotations

from tests.small import PLUGINS, SMALL, write
from workbench.config.experiment import load_experiment
from workbench.conformance.external_plugins import external_components
from workbench.registry import load_registry


def test_users_plugins_are_found_once_with_each_set_of_options(tmp_path):
    registry = load_registry([PLUGINS])
    experiment = load_experiment(write(tmp_path, SMALL), registry)
    [squares] = external_components(experiment, registry)
    assert (squares.kind, squares.name) == ("dataset", "squares")
    several = SMALL + "\ngrid:\n  dataset: [{name: squares, images: 16}, {name: squares, images: 8}]\nseeds: [0, 1]\n"
    experiment = load_experiment(write(tmp_path, several), registry)
    assert len(experiment.trials) == 4
    assert sorted(each.options["images"] for each in external_components(experiment, registry)) == [8, 16]
