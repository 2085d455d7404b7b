"""Components as they are written -> with every option, or refused with their place and advice."""

from __future__ import annotations

import pytest

from tests.experiment_files import GOOD, check_refused, fake_registry, load, with_grid
from workbench.config.experiment import ExperimentError, load_experiment
from workbench.registry import load_registry

# What is broken: text of the good file, what stands there instead (`#!` marks the line the message must name),
# the key the message must name, and a part of its advice.
BROKEN_PARTS = {
    "unknown plugin": ("fusion: glue", "fusion: gluu #!", "base.fusion", "Did you mean 'glue'? Known:"),
    "unknown plugin with options": (
        "{name: eye, depth: 3}",
        "{name: eey} #!",
        "base.encoder.name",
        "Did you mean 'eye'?",
    ),
    "plugin of another kind": ("fusion: glue", "fusion: wire #!", "base.fusion", "a plugin of another kind: connector"),
    "plugin's name is missing": ("name: eye, ", "width: 3, ", "base.encoder", "Write 'NAME' or '{name: NAME"),
    "plugin's name is a number": ("fusion: glue", "fusion: 3 #!", "base.fusion", "3 is no fusion. Write 'NAME'"),
    "component is missing": ("  fusion: glue\n", "", "base", "Write 'fusion: NAME' in base"),
    "component is empty": ("fusion: glue", "fusion: ", "base", "Write 'fusion: NAME' in base"),
    "unknown option": ("depth: 3", "dephts: 3", "base.encoder.dephts", "Did you mean 'depth'? Options: depth, width"),
    "option is a text": ("depth: 3", "depth: '3'", "base.encoder.depth", "'3' does not fit eye.depth (int)"),
    "option is a fraction": ("depth: 3", "depth: 3.5", "base.encoder.depth", "3.5 does not fit eye.depth (int)"),
    "option is not a number": (
        "encoder: {name: eye, depth: 3}",
        "encoder: {name: lens, zoom: .nan} #!",
        "base.encoder.zoom",
        "",
    ),
    "option is missing": ("fusion: glue", "fusion: nails #!", "base.fusion", "needs the option 'count' (int)"),
    "phases are a mapping": (
        GOOD[GOOD.index("phases:") : GOOD.index("grid:")],
        "phases: {name: tune} #!\n",
        "base.phases",
        "each beginning with '- name: NAME'",
    ),
    "unknown metric": ("[right]", "[rigth] #!", "metrics.0", "Did you mean 'right'?"),
    "unknown option of a metric": (
        "[right]",
        "[{name: close, tolerence: 1}] #!",
        "metrics.close.tolerence",
        "Did you mean 'tolerance'?",
    ),
    "no metric": ("[right]", "[] #!", "metrics", "this must not be empty"),
    "metric twice": ("[right]", "[right, right] #!", "metrics.1", "the metric 'right' is given twice. Keep one"),
    "metrics are a word": (
        "[right]",
        "right #!",
        "metrics",
        "this must be a list, not the text 'right': write [right]",
    ),
}


@pytest.mark.parametrize("broken", BROKEN_PARTS)
def test_a_broken_component_is_refused_with_its_line_its_key_and_advice(tmp_path, broken):
    check_refused(tmp_path, *BROKEN_PARTS[broken])


def test_an_option_on_an_axis_leaves_the_other_options_of_base(tmp_path):
    trials = load(tmp_path, with_grid("grid:\n  encoder.width: [4, 5]\n")).trials
    assert [trial.components["encoder"].options for trial in trials] == [
        {"depth": 3, "width": 4},
        {"depth": 3, "width": 5},
    ]


def test_a_component_on_an_axis_replaces_that_of_base_with_its_options(tmp_path):
    trials = load(tmp_path, with_grid("grid:\n  encoder: [eye, lens]\n")).trials
    assert [trial.components["encoder"].options for trial in trials] == [{"depth": 2, "width": 8}, {"zoom": 1.0}]


def test_a_plugin_that_cannot_be_imported_stops_only_the_experiment_that_asks_for_it(tmp_path):
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "broken.py").write_text("import no_such_package\n")
    registry = load_registry([folder, *fake_registry().folders])
    path = tmp_path / "holds.yaml"
    path.write_text(GOOD)
    assert len(load_experiment(path, registry).trials) == 2
    with pytest.raises(ExperimentError) as error:
        load_experiment(path, registry, ["base.fusion=broken"])
    assert "--set base.fusion=broken: base.fusion: there is no fusion 'broken'" in str(error.value)
    assert "no_such_package" in str(error.value)
