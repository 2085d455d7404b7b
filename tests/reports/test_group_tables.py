"""Questions are taken apart by their group, each with what it rests on."""

from __future__ import annotations

from tests.reports.made_counts import write
from workbench.cli.report import make_report
from workbench.reports.group_tables import group_table
from workbench.reports.results_data import read_study


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
