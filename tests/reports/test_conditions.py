"""Values that are compared under unequal conditions are said to be, neutrally, and no others are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.made_results import write_results
from workbench.cli.report import make_report
from workbench.reports.conditions import conditions_table, unequal_axes, unequal_conditions, verdict_notes
from workbench.reports.number_format import NOTHING
from workbench.reports.results_data import Study, read_study
from workbench.reports.tables import axis_table, trials_table

FUSIONS = ["concat_projection", "cross_attention", "gated"]
USUAL = {
    "parameters": 1000.0,
    "flops": 2e9,
    "training_flops": 4e12,
    "training_tokens": 5e6,
    "training_examples": 9000.0,
    "training_images": 3000.0,
    "training_seconds": 60.0,
    "token_latency_ms": 3.0,
}


def written(folder: Path, change: Callable[[Mapping[str, str]], Mapping[str, float]], **options) -> Path:
    """Results of the three fusions, whose records have the usual conditions but for what `change` says of each."""
    results = write_results(folder, **{"images": 20, "axes": {"fusion": FUSIONS}, **options})
    for file in results.glob("trials/*/record.json"):
        record = json.loads(file.read_text())
        record["metrics"] |= {**USUAL, **change(record["axes"])}
        file.write_text(json.dumps(record))
    return results


def study_of(folder: Path, change: Callable[[Mapping[str, str]], Mapping[str, float]], **options) -> Study:
    return read_study(written(folder, change, **options), resamples=20)


def larger(axes: Mapping[str, str]) -> dict[str, float]:
    return {"parameters": 1140.0, "training_flops": 5.2e12} if axes["fusion"] == "gated" else {}


def test_what_a_value_has_more_of_is_told_with_how_many_times(tmp_path):
    told = unequal_conditions(study_of(tmp_path, larger), "fusion")
    assert told == (
        "Not under equal conditions: gated has 1.14 times the parameters and 1.30 times the training operations of"
        " concat_projection."
    )


def test_less_is_told_as_well(tmp_path):
    less = study_of(tmp_path, lambda axes: {"training_tokens": 4e6} if axes["fusion"] == "gated" else {})
    assert "gated has 0.800 times the tokens read in training of concat_projection" in unequal_conditions(
        less, "fusion"
    )


def test_up_to_a_tenth_more_is_taken_as_equal(tmp_path):
    study = study_of(tmp_path, lambda axes: {"parameters": 1100.0} if axes["fusion"] == "gated" else {})
    assert (unequal_conditions(study, "fusion"), unequal_axes(study), verdict_notes(study, "fusion")) == ("", "", [])


def test_values_that_differ_from_each_other_and_not_from_the_baseline_are_told_too(tmp_path):
    sizes = {"concat_projection": 1000.0, "cross_attention": 930.0, "gated": 1070.0}
    study = study_of(tmp_path, lambda axes: {"parameters": sizes[axes["fusion"]]})
    assert unequal_conditions(study, "fusion") == (
        "Not under equal conditions: gated has 1.15 times the parameters of cross_attention."
    )


def test_training_time_counts_only_beyond_what_other_programs_may_have_made_of_it(tmp_path):
    def slow(lowest: float) -> Callable[[Mapping[str, str]], Mapping[str, float]]:
        times = {"training_seconds": 90.0, "training_seconds.lowest": lowest}
        return lambda axes: times if axes["fusion"] == "gated" else {}

    assert "1.50 times the training time" in unequal_conditions(study_of(tmp_path / "slow", slow(80.0)), "fusion")
    assert unequal_conditions(study_of(tmp_path / "loaded", slow(55.0)), "fusion") == ""


def test_time_on_two_machines_is_not_compared(tmp_path):
    folder = written(tmp_path, lambda axes: {"training_seconds": 90.0} if axes["fusion"] == "gated" else {})
    for file in folder.glob("trials/*/record.json"):
        record = json.loads(file.read_text())
        if record["axes"]["fusion"] == "gated":
            record["provenance"]["gpu"] = "A card"
            file.write_text(json.dumps(record))
    assert unequal_conditions(read_study(folder, resamples=20), "fusion") == ""


def test_the_page_says_it_at_its_head_with_the_axis_and_with_the_verdicts(tmp_path):
    folder = written(tmp_path, larger)
    page = make_report(folder).read_text()
    head, _, rest = page.partition('<dl class="figures">')
    assert "Values of fusion differ in parameters and training operations, by more than 10 %" in " ".join(head.split())
    assert "Not under equal conditions: gated has 1.14 times the parameters" in rest
    assert "Conditions of fusion." in rest
    study = read_study(folder, resamples=20)
    assert "Under unequal conditions: gated;" in " ".join(axis_table(study, "fusion").notes)
    assert (folder / "report/tables/conditions_fusion.csv").is_file()


def test_under_equal_conditions_the_page_says_nothing_of_them(tmp_path):
    page = make_report(written(tmp_path, lambda _: {})).read_text()
    assert "equal conditions" not in page
    assert "by more than 10 %" not in page


def test_the_table_has_what_each_value_had(tmp_path):
    table = conditions_table(study_of(tmp_path, larger), "fusion")
    assert [row["fusion"] for row in table.rows] == FUSIONS
    assert {name: table.rows[2][name] for name in ("parameters", "training_flops", "training_tokens")} == {
        "parameters": 1140.0,
        "training_flops": 5.2e12,
        "training_tokens": 5e6,
    }
    cells = dict(zip([column.heading for column in table.columns], table.cells()[2], strict=True))
    assert cells["operations an answer"] == "2.00"
    assert cells["operations in training"] == "5.20"
    assert cells["examples seen"] == "9,000"


def test_means_are_over_the_trials_that_are_compared(tmp_path):
    axes = {"fusion": FUSIONS, "quantizer": ["none", "int8"]}
    study = study_of(tmp_path, lambda axes: {"flops": 4e9 if axes["quantizer"] == "int8" else 2e9}, axes=axes)
    assert [row["flops"] for row in conditions_table(study, "fusion").rows] == pytest.approx([3e9] * 3)
    assert unequal_conditions(study, "fusion") == ""


def test_what_an_unfinished_grid_lacks_is_no_condition(tmp_path):
    """No encoder has all fusions yet, and the larger encoder has `gated` alone beside the baseline."""
    axes = {"encoder": ["vit", "clip"], "fusion": FUSIONS}
    sizes = {"vit": 1000.0, "clip": 3000.0}
    study = study_of(tmp_path, lambda labels: {"parameters": sizes[labels["encoder"]]}, axes=axes, left_out=(2, 4))
    assert not study.design("fusion").cells
    assert unequal_conditions(study, "fusion") == ""
    assert "clip has 3.00 times the parameters of vit" in unequal_conditions(study, "encoder")


def test_records_that_do_not_tell_leave_their_cells_empty(tmp_path):
    old = study_of(tmp_path / "old", lambda _: {})
    for record in old.records:
        for name in USUAL.keys() - {"parameters", "training_seconds"}:
            del record.metrics[name]
    keys = [column.key for column in conditions_table(old, "fusion").columns]
    assert keys == ["fusion", "parameters", "training_seconds"]
    assert "token_latency_ms" not in [column.key for column in trials_table(old).columns]
    mixed = study_of(tmp_path / "mixed", lambda _: {})
    del mixed.records[1].metrics["flops"]
    table = conditions_table(mixed, "fusion")
    place = [column.key for column in table.columns].index("flops")
    assert [row[place] for row in table.cells()] == ["2.00", NOTHING, "2.00"]


def test_a_token_s_latency_stands_beside_that_of_an_answer(tmp_path):
    study = study_of(tmp_path, lambda axes: {"token_latency_ms": 9.0} if axes["fusion"] == "gated" else {})
    for table in (trials_table(study), axis_table(study, "fusion")):
        keys = [column.key for column in table.columns]
        assert keys[keys.index("latency_ms") + 1] == "token_latency_ms"
    assert [row["token_latency_ms"] for row in axis_table(study, "fusion").rows] == pytest.approx([3.0, 3.0, 9.0])


def test_the_share_that_trains_is_told_of_each_phase_where_phases_differ(tmp_path):
    def phases(tune: float) -> Callable[[Mapping[str, str]], Mapping[str, float]]:
        return lambda _: {"trainable_parameters.align": 100.0, "trainable_parameters.tune": tune}

    differ, alike = study_of(tmp_path / "differ", phases(900.0)), study_of(tmp_path / "alike", phases(100.0))
    shares = [(c.key, c.heading) for c in trials_table(differ).columns if c.key.startswith("trainable")]
    assert shares == [
        ("trainable_share.align", "trainable in align"),
        ("trainable_share.tune", "trainable in tune"),
    ]
    assert {row["trainable_share.tune"] for row in trials_table(differ).rows} == {0.9}
    assert [c.key for c in trials_table(alike).columns if c.key.startswith("trainable")] == ["trainable_share"]


def test_a_phase_that_the_first_trial_leaves_out_has_its_column_where_it_belongs(tmp_path):
    def phases(axes: Mapping[str, str]) -> Mapping[str, float]:
        align = {"trainable_parameters.align": 100.0} if axes["fusion"] == "gated" else {}
        return {**align, "trainable_parameters.tune": 900.0}

    table = trials_table(study_of(tmp_path, phases))
    shares = [column.key for column in table.columns if column.key.startswith("trainable")]
    assert shares == ["trainable_share.align", "trainable_share.tune"]
    place = [column.key for column in table.columns].index(shares[0])
    told = {row["fusion"]: cell[place] for row, cell in zip(table.rows, table.cells(), strict=True)}
    assert told == {"concat_projection": NOTHING, "cross_attention": NOTHING, "gated": "10.0"}
