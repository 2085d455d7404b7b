"""The report stands alone, says what the statistics say, and survives whatever a run left behind."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import workbench
from tests.made_results import change_summary, write_dataset_plugin, write_results
from tests.reports.read_page import Page, page_of
from workbench.cli.report import make_report
from workbench.registry import load_registry
from workbench.reports.page import glue, render
from workbench.reports.results_data import read_study
from workbench.reports.tables import all_tables
from workbench.storage.atomic import StorageError
from workbench.storage.result_files import ResultsError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("report")
    folder = write_results(root, images=150, failed=(5,))
    make_report(folder, load_registry([write_dataset_plugin(root / "plugins")]))
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "report" / "report.html").read_text(encoding="utf-8"))


def test_the_page_asks_nothing_of_any_network(folder: Path, page: Page):
    assert page.addresses
    assert all(address.startswith("data:") for address in page.addresses)
    text = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|<link|<iframe", text)
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text


def test_every_tag_of_the_page_is_closed(page: Page):
    assert page.open == []


def test_the_page_has_all_its_parts(page: Page):
    for words in (
        "Which fusion reads the image best",
        "This is about the models that were trained, from one seed each, and not yet about methods.",
        "cross_attention answered better than concat_projection",
        "this model answered better",
        "11 of 12 trials have finished, 1 failed",
        "fusion: of these trained models, cross_attention answered better than concat_projection and gated",
        "not distinguishable",
        "All trials",
        "How sure the order is",
        "of the trained models, over the questions, and not of methods",
        "What makes scores differ",
        "nobody knows what seeds would change",
        "Answered right",
        "Answered wrong",
        "Where trials disagree",
        "Failed trials",
        "the loss became nan at step 12 <of 400>",
        "How the numbers were made",
        "Westfall & Young 1993",
        "0123456789abcdef0123456789abcdef01234567",
        "A <fast> processor",
        "workbench run experiments/made.yaml",
    ):
        assert words in page.text, words


def test_examples_carry_their_images(page: Page):
    assert sum(address.startswith("data:image/png") for address in page.addresses) == 18
    assert "no image" not in page.text.replace("no image %", "")


def test_tables_and_plots_lie_beside_the_page(folder: Path):
    tables = {file.name for file in (folder / "report" / "tables").iterdir()}
    plots = {file.name for file in (folder / "report" / "plots").iterdir()}
    assert {"trials.csv", "ranks.csv", "variance.tex", "axis_fusion.md", "axis_quantizer.tex"} <= tables
    assert {"pareto.png", "pareto.svg", "vqa_accuracy_by_encoder.png", "curves.svg", "groups.png"} <= plots


def test_a_second_report_replaces_the_first_with_the_same_bytes(tmp_path: Path):
    folder = write_results(tmp_path, images=10, axes={})
    first = make_report(folder).read_bytes()
    (folder / "report" / "stale.txt").write_text("")
    assert make_report(folder).read_bytes() == first
    assert sorted(file.name for file in (folder / "report").iterdir()) == [
        "manifest.json",
        "plots",
        "report.html",
        "tables",
    ]
    assert [entry.name for entry in folder.iterdir() if entry.name.startswith(".")] == []


def test_text_from_data_cannot_become_markup(tmp_path: Path):
    folder = write_results(tmp_path, images=4, axes={"fusion": ["gated"]})
    trial = next((folder / "trials").iterdir())
    lines = [json.loads(line) for line in (trial / "predictions.jsonl").read_text().splitlines()]
    evil = "<script>alert(1)</script>"
    lines = [{**line, "question": evil, "answer": evil, "group": f'"{evil}'} for line in lines]
    (trial / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    change_summary(folder, question=evil, text=evil)
    study = read_study(folder, resamples=20)
    text = render(study, all_tables(study), [], None)
    assert evil not in text
    assert Page(text).text.count(evil) > 3


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ({"axes": {}}, "The one trial reaches"),
        ({"axes": {}, "seeds": (0, 1)}, "2 seeds reach"),
        ({"axes": {"fusion": ["concat_projection", "gated"]}}, "fusion: these trained models cannot be told apart"),
        ({"failed": tuple(range(12))}, "There is no answer: all 12 trials failed"),
        ({"left_out": tuple(range(12))}, "There is no answer yet: none of 12 trials has finished"),
        ({"left_out": (1, 2, 3), "failed": (4,)}, "8 of 12 trials have finished, 1 failed and 3 have no result yet"),
        ({"left_out": (0, 1, 2, 3, 4, 5)}, "has no finished trial, so nothing can be compared with it"),
        ({"axes": {"quantizer": ["none", "int8"]}, "conditions": ("image",)}, "cannot be told from none"),
        ({"axes": {"fusion": ["concat_projection", "gated"]}, "seeds": (0, 1, 2)}, "the luck of 3 seeds"),
    ],
)
def test_whatever_a_run_left_is_reported(tmp_path: Path, results: dict, said: str):
    page = page_of(write_results(tmp_path, images=12, **results))
    assert said in page.text
    assert not re.search(r"\bnan\b", page.text.replace("became nan", ""), re.IGNORECASE)
    assert page.open == []


def test_trials_without_predictions_are_listed_and_not_compared(tmp_path: Path):
    folder = write_results(tmp_path, images=6, axes={"fusion": ["gated", "cross_attention"]})
    for trial in (folder / "trials").iterdir():
        (trial / "predictions.jsonl").unlink()
    assert "nothing can be compared" in page_of(folder).text


def test_a_folder_that_holds_no_results_is_an_error(tmp_path: Path):
    with pytest.raises(ResultsError, match="no results folder"):
        make_report(tmp_path)


def test_a_report_that_cannot_be_written_keeps_the_one_before(tmp_path: Path):
    folder = write_results(tmp_path, images=4, axes={})
    (folder / "report").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="cannot write"):
        make_report(folder)
    assert (folder / "report").read_text().startswith("a file")


def test_numbers_stay_beside_their_units():
    assert glue("95 % of 3 points, p = 0.5") == "95\u00a0% of 3\u00a0points, p\u00a0=\u00a00.5"


@pytest.mark.skipif(shutil.which("node") is None, reason="tables are sorted by a script of the page")
@pytest.mark.parametrize(
    ("cells", "number", "ascending", "descending"),
    [
        (
            ["3.1", "–", "1,310", "−2", "0.5"],
            True,
            ["−2", "0.5", "3.1", "1,310", "–"],
            ["1,310", "3.1", "0.5", "−2", "–"],
        ),
        (["0.030", "<0.001", "–", "0.50"], True, ["<0.001", "0.030", "0.50", "–"], ["0.50", "0.030", "<0.001", "–"]),
        (["vit-10", "–", "vit-9", "3e"], False, ["3e", "vit-9", "vit-10", "–"], ["vit-10", "vit-9", "3e", "–"]),
    ],
)
def test_a_table_is_sorted_by_a_column_whatever_it_lacks(cells, number, ascending, descending):
    script = (Path(workbench.__file__).parent / "reports/templates/report.js").read_text(encoding="utf-8")
    order = f"""const cells = {json.dumps(cells)}, value = text => sortValue(text, {json.dumps(number)});
        for (const up of [true, false]) console.log(JSON.stringify(
            [...cells].sort((a, b) => compareValues(value(a), value(b), up))));"""
    program = f"const document = {{ querySelectorAll: () => [] }};\n{script}\n{order}"
    told = subprocess.run(["node", "-e", program], check=True, capture_output=True, text=True).stdout.splitlines()
    assert [json.loads(line) for line in told] == [ascending, descending]
