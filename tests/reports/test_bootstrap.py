"""Metrics of all answers together: counted, summed, resampled, and taken apart by group."""

from __future__ import annotations

from pathlib import Path

import numpy
import pandas
import pytest

from tests.broken_plugins import Counting
from tests.tiny import builtin_registry
from workbench.cli.report import make_report
from workbench.contracts.example import Example, Prediction
from workbench.contracts.metric import CONDITIONS
from workbench.evaluation.scores import lines_of, summarize
from workbench.registry import Registry
from workbench.reports.disagreements import disagreements
from workbench.reports.group_tables import group_table
from workbench.reports.metric_samples import Reading, read_samples
from workbench.reports.results_data import read_study
from workbench.storage.records import COUNTS, DONE, SCORE, Record, write_summary, write_trial

YES_NO = builtin_registry().create("metric", "yes_no")


def asked(count: int, seed: int, skill: float = 0.8) -> list[Prediction]:
    """Yes/no questions in two groups, three an image, answered rightly that often."""
    chance = numpy.random.default_rng(seed)
    made = []
    for place in range(count):
        true, other = chance.permutation(["yes", "no"])
        example = Example(str(place), f"p{place // 3}", "is it there?", (true,), ("random", "popular")[place % 2])
        made.append(Prediction(example, true if chance.random() < skill else other, 0.5))
    return made


def write(results: Path, trials: int = 2, count: int = 60) -> Path:
    """A results folder whose only metric is yes_no."""
    folder, ids = results / "pope", [f"{place:012x}" for place in range(trials)]
    labels = [str(place) for place in range(trials)]
    summary = {"name": "pope", "question": "", "axes": {"fusion": labels}, "baseline": {"fusion": "0"}}
    write_summary(folder, {**summary, "metrics": ["yes_no"], "trials": ids}, "")
    for id_, label in zip(ids, labels, strict=True):
        predictions = {each: asked(count, int(label) + len(each)) for each in CONDITIONS}
        numbers, scored = summarize(predictions, {"yes_no": YES_NO})
        scales = {"yes_no": {"higher_is_better": True, "percent": True}}
        spec = {"metrics": [{"name": "yes_no", "unclear": "wrong"}], "seed": 0}
        record = Record(id_, DONE, "pope", {"fusion": label}, spec, numbers, scales, {}, None)
        write_trial(folder / "trials" / id_, record, lines_of(predictions, scored), [])
    return folder


def frame(predictions: list[Prediction], metric) -> pandas.DataFrame:
    """As `read_predictions` gives it."""
    return pandas.DataFrame(
        {
            "condition": "image",
            "image": [each.example.image for each in predictions],
            "group": [each.example.group for each in predictions],
            SCORE + "m": metric.scores(predictions),
            COUNTS + "m": [list(each) for each in metric.counts(predictions)],
        }
    )


def test_a_mean_that_is_counted_has_the_very_resamples_of_a_mean_of_scores():
    metric = Counting()
    frames = [frame(asked(60, seed), metric) for seed in range(3)]
    by_score = read_samples([Reading("m", True)], frames, ["0"] * 3, 50)["m"]
    by_count = read_samples([Reading("m", True, metric)], frames, ["0"] * 3, 50)["m"]
    assert numpy.array_equal(by_score.estimates, by_count.estimates)
    assert numpy.array_equal(by_score.replicates, by_count.replicates)


def test_f1_spreads_over_images_as_the_delta_method_says():
    predictions = asked(900, 1)
    found = read_samples([Reading("m", True, YES_NO)], [frame(predictions, YES_NO)], ["0"], 4_000)["m"]
    counts = numpy.array(YES_NO.counts(predictions)).reshape(300, 3, 5).sum(1)  # by image
    said, true, both = counts[:, 2], counts[:, 3], counts[:, 4]
    f1 = 2 * both.sum() / (said + true).sum()
    pull = (2 * both - f1 * (said + true)) / (said + true).sum()
    assert found.estimates[0] == pytest.approx(f1)
    assert found.replicates[:, 0].std() == pytest.approx(numpy.sqrt(pull @ pull), rel=0.05)


def test_what_the_records_say_can_be_made_again_from_the_predictions(tmp_path):
    study = read_study(write(tmp_path), resamples=20)
    assert disagreements(study) == []
    assert study.measures == ["yes_no", *(f"yes_no.{each}" for each in ("accuracy", "precision", "recall", "yes_rate"))]
    for name in (*study.measures, "yes_no.no_image", "visual_gain"):
        assert study.samples[name].estimates == pytest.approx(study.numbers(name))
    for group in study.groups.names:
        for name, sample in study.groups.samples[group].items():
            assert sample.estimates == pytest.approx(study.numbers(f"{name}.group.{group}")), name


def test_the_report_shows_every_group_with_its_counts(tmp_path):
    folder = write(tmp_path)
    table = group_table(read_study(folder, resamples=20))
    assert table
    assert [(row["group"], row["fusion"], row["questions"], row["images"]) for row in table.rows] == [
        (group, fusion, 30, 20) for group in ("popular", "random") for fusion in "01"
    ]
    assert table.csv().startswith("group,fusion,questions,images,yes_no,yes_no.low,yes_no.high,yes_no.accuracy,")
    page = make_report(folder).read_text()
    assert "By group of questions" in page
    assert "made of the answers together to 60 questions about 20 images" in page
    assert (folder / "report/tables/groups.csv").is_file()


def test_a_report_without_groups_has_no_table_of_them(tmp_path):
    folder = write(tmp_path)
    for file in folder.glob("trials/*/predictions.jsonl"):
        file.write_text(file.read_text().replace('"popular"', '""').replace('"random"', '""'))
    assert group_table(read_study(folder, resamples=5)) is None


def test_a_metric_whose_plugin_is_not_there_is_left_out_and_said(tmp_path):
    study = read_study(write(tmp_path), resamples=20, registry=Registry())
    assert study.samples == {}
    [note] = study.notes
    assert "'yes_no' is left out" in note
    assert "there is no metric 'yes_no'" in note
