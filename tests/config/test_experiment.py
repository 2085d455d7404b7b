"""Experiment files: from YAML to checked trials."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from tests.experiment_files import GOOD, GRID, fake_registry, load
from tests.tiny import builtin_registry
from workbench.config.experiment import ExperimentError, load_experiment, plugin_folders
from workbench.config.experiment_file import ExperimentFile
from workbench.config.phase import Evaluation, Phase
from workbench.config.validation_messages import label
from workbench.config.yaml_source import parse_yaml, write_yaml
from workbench.registry import load_registry

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "experiments.md"


def with_grid(grid: str) -> str:
    assert GRID in GOOD
    return GOOD.replace(GRID, grid)


def axis_values(experiment, axis: str) -> list[str]:
    return [trial.axes[axis] for trial in experiment.trials]


def test_a_trial_holds_every_setting_with_its_default(tmp_path):
    experiment = load(tmp_path, with_grid(""))
    trial = experiment.trials[0]
    assert trial.components["encoder"].options == {"depth": 3, "width": 8}
    assert trial.components["dataset"].options == {"size": 10, "flip": False}
    assert [phase.name for phase in trial.phases] == ["align", "tune"]
    assert trial.phases[1].rate == 0.001
    tune = Phase(name="tune", train=("encoder", "fusion"), epochs=2, rate=0.001)
    assert trial.phases[1] == tune.computed_in(str(experiment.auto_precision))
    assert trial.evaluation == Evaluation().computed_in(str(experiment.auto_precision))
    assert trial.prompt == "<image>{question}\n"
    assert trial.axes == {"seed": "0"}


def test_the_name_of_an_experiment_is_that_of_its_file_unless_it_gives_one(tmp_path):
    assert load(tmp_path, GOOD).name == "holds"
    named = load(tmp_path, "name: other\n" + GOOD)
    assert named.name == "other"
    assert named.trials[0].experiment == "other"


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


def test_an_option_on_an_axis_leaves_the_other_options_of_base(tmp_path):
    trials = load(tmp_path, with_grid("grid:\n  encoder.width: [4, 5]\n")).trials
    assert [trial.components["encoder"].options for trial in trials] == [
        {"depth": 3, "width": 4},
        {"depth": 3, "width": 5},
    ]


def test_a_component_on_an_axis_replaces_that_of_base_with_its_options(tmp_path):
    trials = load(tmp_path, with_grid("grid:\n  encoder: [eye, lens]\n")).trials
    assert [trial.components["encoder"].options for trial in trials] == [{"depth": 2, "width": 8}, {"zoom": 1.0}]


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


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("{adapter: slim}", ["whole"]),
        ("{adapter: slim(rank=2)}", ["slim(rank=4)", "whole"]),
        ("{adapter: {name: slim, rank: 4}}", ["slim(rank=2)", "whole"]),
        ("{adapter: {name: whole}}", ["slim(rank=2)", "slim(rank=4)"]),
    ],
)
def test_exclude_leaves_out_trials_by_label_value_or_name(tmp_path, pattern, left):
    grid = "grid:\n  adapter: [{name: slim, rank: 2}, {name: slim, rank: 4}, whole]\n"
    experiment = load(tmp_path, with_grid(grid) + f"exclude: [{pattern}]\n")
    assert experiment.axes["adapter"] == tuple(left)


def test_a_pattern_excludes_only_trials_that_match_all_its_entries(tmp_path):
    text = with_grid("grid:\n  fusion: [glue, tape]\n  quantizer: [exact, rough]\n")
    experiment = load(tmp_path, text + "exclude: [{fusion: glue, quantizer: rough}]\n")
    assert [trial.label for trial in experiment.trials] == ["glue, exact, 0", "tape, exact, 0", "tape, rough, 0"]


def test_an_option_that_one_plugin_lacks_is_allowed_where_its_trials_are_excluded(tmp_path):
    text = with_grid("grid:\n  fusion: [glue, tape]\n  fusion.depth: [1, 2]\n")
    experiment = load(tmp_path, text + "exclude: [{fusion: tape}]\n")
    assert axis_values(experiment, "fusion.depth") == ["1", "2"]


@pytest.mark.parametrize(
    ("baseline", "chosen"),
    [
        ("{}", ("glue", "exact")),
        ("{quantizer: rough}", ("glue", "rough")),
        ("{fusion: {name: tape}, quantizer: rough}", ("tape", "rough")),
    ],
)
def test_the_baseline_is_the_first_trial_that_agrees_with_what_is_given(tmp_path, baseline, chosen):
    text = with_grid("grid:\n  fusion: [glue, tape]\n  quantizer: [exact, rough]\n")
    found = load(tmp_path, text + f"baseline: {baseline}\n").baseline
    assert (found["fusion"], found["quantizer"], found["seed"]) == (*chosen, "0")


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


@pytest.mark.parametrize(
    ("override", "found", "value"),
    [
        ("base.encoder.width=64", lambda trial: trial.components["encoder"].options, {"depth": 3, "width": 64}),
        ("base.encoder=lens", lambda trial: trial.components["encoder"].options, {"zoom": 1.0}),
        ("base.dataset.size=3", lambda trial: trial.components["dataset"].options, {"size": 3, "flip": False}),
        ("phases.tune.epochs=1", lambda trial: trial.phases[1].epochs, 1.0),
        ("base.phases.tune.epochs=1", lambda trial: trial.phases[1].epochs, 1.0),
        ("phases.0.steps=9", lambda trial: trial.phases[0].steps, 9),
        ("evaluation.limit=7", lambda trial: trial.evaluation.limit, 7),
        ("prompt='{question}'", lambda trial: trial.prompt, "{question}"),
        ("seeds=[5]", lambda trial: trial.seed, 5),
        ("grid.fusion=[tape, glue]", lambda trial: trial.components["fusion"].name, "tape"),
        ("grid.encoder.depth=[7]", lambda trial: trial.components["encoder"].options["depth"], 7),
        ("name=other", lambda trial: trial.experiment, "other"),
    ],
)
def test_set_changes_one_setting(tmp_path, override, found, value):
    assert found(load(tmp_path, GOOD, override).trials[0]) == value


def test_the_text_of_a_run_with_overrides_gives_the_same_trials_again(tmp_path):
    first = load(tmp_path, GOOD, "phases.tune.rate=1e-5", "grid.adapter=[whole, {name: slim, rank: 2}]")
    again = load(tmp_path, first.text)
    assert "--set phases.tune.rate=1e-5" in first.text
    assert [trial.id for trial in again.trials] == [trial.id for trial in first.trials]


def test_the_text_of_a_run_without_overrides_is_the_file_itself(tmp_path):
    assert load(tmp_path, GOOD).text == GOOD


def test_the_summary_is_plain_json_and_in_the_order_of_the_file(tmp_path):
    experiment = load(tmp_path, GOOD)
    summary = json.loads(json.dumps(experiment.summary()))
    assert list(summary) == ["name", "question", "axes", "baseline", "metrics", "trials", "auto_precision"]
    assert summary["axes"] == {"quantizer": ["exact", "rough"], "seed": ["0"]}
    assert summary["baseline"] == {"quantizer": "exact", "seed": "0"}
    assert summary["metrics"] == ["right"]
    assert summary["trials"] == [trial.id for trial in experiment.trials]


def test_equal_trials_have_equal_ids_whatever_the_experiment_is_called(tmp_path):
    first = load(tmp_path, GOOD)
    other = load(tmp_path, "name: other\n" + GOOD.replace("{name: eye, depth: 3}", "{depth: 3, width: 8, name: eye}"))
    assert [trial.id for trial in first.trials] == [trial.id for trial in other.trials]
    assert len({trial.id for trial in first.trials}) == 2


def test_an_id_is_the_hash_of_the_whole_spec(tmp_path):
    for trial in load(tmp_path, GOOD + "seeds: [1, 2]\n").trials:
        with_outside = replace(trial, outside=trial.components["dataset"])
        assert with_outside.id != trial.id
        for each in (trial, with_outside):
            text = json.dumps(each.spec(), sort_keys=True, default=list)
            assert each.id == hashlib.sha256(text.encode()).hexdigest()[:12]


def test_a_changed_copy_of_a_phase_has_a_text_of_its_own(tmp_path):
    phase = load(tmp_path, GOOD).trials[0].phases[0]
    assert json.loads(phase.spec_text) == phase.spec()
    changed = phase.model_copy(update={"batch": phase.batch + 1})
    assert json.loads(changed.spec_text) == changed.spec() != phase.spec()


def test_ten_thousand_trials_share_their_parts_and_expand_in_seconds(tmp_path):
    ten = list(range(1, 11))
    grid = f"grid:\n  encoder.depth: {ten}\n  language_model.depth: {ten}\n  phases.tune.epochs: {ten}\n"
    began = time.perf_counter()
    trials = load(tmp_path, with_grid(grid) + f"seeds: {ten}\n").trials
    assert time.perf_counter() - began < 6  # about 1 s on a free core
    assert len(trials) == 10_000
    assert len({id(trial.components["encoder"]) for trial in trials}) == 10
    assert len({id(trial.phases[1]) for trial in trials}) == 10


def test_numbers_and_words_are_read_as_a_researcher_writes_them():
    text = "{a: 1e-3, b: 1_000, c: yes, d: no, e: 2026-11-21, f: 1:30, g: 010, h: -.5, i: ~, j: True, k: 3., l: off}"
    assert parse_yaml(text, "text").value == {
        **{"a": 0.001, "b": 1000, "c": "yes", "d": "no", "e": "2026-11-21", "f": "1:30", "g": 10, "h": -0.5},
        **{"i": None, "j": True, "k": 3.0, "l": "off"},
    }


def test_yaml_that_is_written_is_read_back_as_the_same_values():
    value = {"a": [0.001, 1e-05, 1.0, 1, True, None], "b": ["1e-3", "yes", "null", "1", "true", "2026-11-21", "~", ""]}
    assert parse_yaml(write_yaml(value), "text").value == value


def test_the_folder_plugins_beside_the_file_is_a_plugin_folder(tmp_path):
    file = tmp_path / "holds.yaml"
    assert plugin_folders(file) == ()
    (tmp_path / "plugins").mkdir()
    assert plugin_folders(file) == (tmp_path / "plugins",)
    assert plugin_folders(file, [tmp_path, tmp_path / "plugins"]) == (tmp_path / "plugins", tmp_path)
    assert plugin_folders(None, [tmp_path]) == (tmp_path,)


def test_the_built_in_plugins_are_no_plugin_folder_of_the_user():
    own = Path(next(iter(importlib.import_module("workbench.plugins").__path__)))
    assert plugin_folders(own.parent / "holds.yaml", [own]) == ()


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


def test_reading_experiment_files_needs_no_torch():
    code = "import sys, workbench.config.experiment; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def table_of(model: type[BaseModel]) -> list[tuple[str, str]]:
    """Keys with their defaults, as the tables of the page must give them."""
    rows = []
    for name, field in model.model_fields.items():
        default = "required" if field.default is PydanticUndefined else f"`{json.dumps(field.default)}`"
        rows.append((f"`{name}`", default))
    return rows


@pytest.mark.parametrize(
    ("heading", "model"), [("The keys of a file", ExperimentFile), ("Phases", Phase), ("Evaluation", Evaluation)]
)
def test_the_page_on_experiments_lists_every_key_with_its_default(heading, model):
    section = DOCS.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("| `")]
    assert [(row[0], row[2]) for row in rows] == table_of(model)


@pytest.mark.parametrize("number", range(4))
def test_every_whole_file_on_the_page_on_experiments_can_be_loaded(tmp_path, number):
    blocks = [
        block for block in re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL) if "\nquestion:" in block
    ]
    assert len(blocks) == 4
    path = tmp_path / "example.yaml"
    path.write_text(blocks[number])
    comment = re.search(r"yaml: (\d+) trials", blocks[number])
    assert comment, "each example says how many trials it makes"
    assert len(load_experiment(path, builtin_registry()).trials) == int(comment[1])
