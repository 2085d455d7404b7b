"""A table is the same in every format that other programs read."""

from __future__ import annotations

import csv
import html
import io
import math
import re
from pathlib import Path

import pandas
import pytest
from markdown_it import MarkdownIt

from tests.made_results import write_results
from workbench.reports.results_data import Study, read_study
from workbench.reports.table_formats import Column, Table, latex, write_tables
from workbench.reports.tables import axis_table, trials_table

HOSTILE = [
    "[free](https://example.org/x)",
    "![a](https://example.org/x.png)",
    "[a][b]",
    "[1, 2](https://example.org)",
    "[a]: https://example.org",
    "<https://example.org> <b>bold</b> &lt;i&gt;",
    "*a* **b** _c_ __d__ a_b_c a__b__c _ _a_b_ ~~e~~ `f`",
    "a | b || c \\| d",
    "line\none\rtwo\u2028three",
    "# heading",
    "- item",
    "1. item",
    "> quoted",
    "$x$ 100% {y} ^z~ #1 & \\cmd",
    "80.0 [75.0, 84.5]",
]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return read_study(write_results(tmp_path_factory.mktemp("tables"), images=60, failed=(5,)), resamples=200)


def test_csv_holds_raw_numbers_that_pandas_reads_back(study: Study):
    frame = pandas.read_csv(io.StringIO(axis_table(study, "fusion").csv()))
    effects = study.effects("fusion")
    assert list(frame["vqa_accuracy"]) == [effect.mean.estimate for effect in effects]
    assert list(frame["vqa_accuracy.low"]) == [effect.mean.low for effect in effects]
    assert list(frame["verdict"]) == [effect.verdict for effect in effects]
    assert math.isnan(list(frame["difference"])[0])


def test_every_markdown_row_has_as_many_cells_as_the_heading(study: Study):
    lines = [line for line in trials_table(study).markdown().splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 12
    assert {line.count("|") for line in lines} == {len(trials_table(study).columns) + 1}


def test_latex_is_balanced_and_has_one_cell_a_column(study: Study):
    text = axis_table(study, "fusion").latex()
    assert text.count("{") == text.count("}")
    assert [rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [True] * 3
    columns = re.search(r"\\begin\{tabular\}\{(\w+)\}", text)
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert columns is not None
    assert {line.count(" & ") + 1 for line in rows} == {len(columns[1])}
    assert r"concat\_projection" in text


def test_what_means_something_to_latex_or_markdown_is_escaped():
    table = Table("t", "50 % of a_b", [Column("x", "x & y", numeric=False)], [{"x": "a|b_c\\{d}<e>"}])
    assert latex("50% & a_b #1 $x^2~\\{}") == (
        r"50\% \& a\_b \#1 \$x\textasciicircum{}2\textasciitilde{}\textbackslash{}\{\}"
    )
    assert r"a\textbar{}b\_c\textbackslash{}\{d\}\textless{}e\textgreater{}" in table.latex()
    assert "a\\|b\\_c\\\\{d}&lt;e>" in table.markdown()
    assert list(csv.reader(io.StringIO(table.csv())))[1] == ["a|b_c\\{d}<e>"]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_stays_the_same_text_in_markdown_without_links_or_markup(text: str):
    table = Table("t", text, [Column("x", text, numeric=False), Column("y", "y")], [{"x": text, "y": 1}], [text])
    page = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(table.markdown())
    shown = [html.unescape(each) for each in re.findall(r"<(?:p|th|td)[^>]*>([^<]*)</", page)]
    plain = " ".join(text.splitlines())
    assert shown == [plain, plain, "y", plain, "1", plain]
    assert set(re.findall(r"<(\w+)", page)) == {"p", "table", "thead", "tbody", "tr", "th", "td"}


@pytest.mark.parametrize("text", ["[3pt] up", "*", "a--b", "a|b", "`x`", "two\n\nparagraphs"])
def test_a_text_at_the_beginning_of_a_row_means_nothing_to_latex(text: str):
    rows = Table("t", "c", [Column("x", "x", numeric=False)], [{"x": text}]).latex().splitlines()
    told = {
        "[3pt] up": "{[}3pt] up",
        "*": "{*}",
        "a--b": "a-{}-b",
        "a|b": r"a\textbar{}b",
        "`x`": r"\textasciigrave{}x\textasciigrave{}",
        "two\n\nparagraphs": "two  paragraphs",
    }
    assert rf"    {told[text]} \\" in rows


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "＝1", "-", "--"])
def test_what_a_spreadsheet_would_work_out_is_marked_as_text_in_cells_and_headings(text: str):
    table = Table("t", "c", [Column(text, text, numeric=False)], [{text: text}])
    marked = "'" + text.replace("\r", "\n")
    assert list(csv.reader(io.StringIO(table.csv(), newline=""))) == [[marked], [marked]]


@pytest.mark.parametrize("value", [-0.5, "-0.5", "+1e-3", -3, "a=b", "", "2-1", "e@x"])
def test_numbers_and_other_texts_stay_as_they_are_in_csv(value: object):
    table = Table("t", "c", [Column("x", "x"), Column("y", "y")], [{"x": value, "y": 1}])
    assert list(csv.reader(io.StringIO(table.csv())))[1] == [str(value), "1"]


def test_each_table_is_written_in_three_formats(study: Study, tmp_path: Path):
    write_tables([trials_table(study), axis_table(study, "encoder")], tmp_path)
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == [f"{name}.{kind}" for name in ("axis_encoder", "trials") for kind in ("csv", "md", "tex")]
