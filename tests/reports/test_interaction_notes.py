"""An average that misleads is called one, wherever it is told."""

from __future__ import annotations

from pathlib import Path

from tests.made_results import write_results
from tests.reports.read_page import page_of
from workbench.reports.answer import answer
from workbench.reports.findings import finding
from workbench.reports.results_data import read_study
from workbench.reports.tables import interactions_table


def test_a_difference_that_holds_with_one_value_of_another_axis_alone_is_told(tmp_path: Path):
    axes = {"fusion": ["concat_projection", "cross_attention"], "quantizer": ["none", "int8"]}
    folder = write_results(tmp_path, images=300, axes=axes, seeds=(0, 1, 2))
    for seed in range(3):  # cross_attention answers as concat_projection does, with int8
        source, target = (folder / "trials" / f"{place:012x}" / "predictions.jsonl" for place in (3 + seed, 9 + seed))
        target.write_bytes(source.read_bytes())
    study = read_study(folder, resamples=300)
    told = " ".join(answer(study))
    assert "cross_attention is better than concat_projection on average (+" in told
    assert "That depends on quantizer: cross_attention differs from concat_projection by +" in told
    assert "points (" in told
    assert "and 0.0 points (−" in told
    assert "More such" not in told
    found = finding(study, "fusion")
    assert found.headline == "fusion: cross_attention is on average the best of 2"
    assert "That depends on quantizer: cross_attention differs" in found.details
    assert "That depends on fusion: int8 differs from none by" in finding(study, "quantizer").details
    assert "Does the difference that one axis makes depend on another?" in page_of(folder).text
    table = interactions_table(study)
    assert table is not None
    assert [(row["what"], row["at"], row["verdict"]) for row in table.rows] == [
        ("cross_attention − concat_projection", "int8", "depends")
    ]


def test_differences_that_add_up_are_not_said_to_depend_on_anything(tmp_path: Path):
    study = read_study(write_results(tmp_path, images=200), resamples=300)
    assert len(study.interactions) == 2 * 5
    assert "depends on" not in " ".join(answer(study))
    assert "on average" not in " ".join(answer(study))
