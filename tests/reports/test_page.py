"""The report stands alone, says what the statistics say, and survives whatever a run left behind."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.made_results import write_dataset_plugin, write_results
from workbench.cli.report import make_report
from workbench.registry import Registry, load_registry
from workbench.reports.answer import answer, progress
from workbench.reports.effects import UNCLEAR
from workbench.reports.findings import finding
from workbench.reports.key_figures import key_figures
from workbench.reports.page import glue, render
from workbench.reports.results_data import read_study
from workbench.reports.tables import all_tables, interactions_table
from workbench.storage.atomic import StorageError
from workbench.storage.records import ResultsError

VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """Collects text, addresses and tags, and holds that tags close in order."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]):
        if tag not in VOID:
            self.open.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]

    def handle_endtag(self, tag: str):
        assert self.open.pop() == tag

    def handle_data(self, data: str):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


def page_of(folder: Path, registry: Registry | None = None) -> Page:
    """The page without its plots, which take the most time and have tests of their own."""
    study = read_study(folder, resamples=50)
    return Page(render(study, all_tables(study), [], registry))


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
        "Best of what was tried: encoder clip and fusion cross_attention",
        "11 of 12 trials have finished, 1 failed",
        "fusion: cross_attention is best",
        "not distinguishable",
        "All trials",
        "Answered right",
        "Answered wrong",
        "Where trials disagree",
        "Failed trials",
        "the loss became nan at step 12 <of 400>",
        "How the numbers were made",
        "Holm 1979",
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
    assert {"trials.csv", "axis_fusion.md", "axis_quantizer.tex"} <= tables
    assert {"pareto.png", "pareto.svg", "vqa_accuracy_by_encoder.png", "curves.svg", "groups.png"} <= plots


def test_a_second_report_replaces_the_first_with_the_same_bytes(tmp_path: Path):
    folder = write_results(tmp_path, images=10, axes={})
    first = make_report(folder).read_bytes()
    (folder / "report" / "stale.txt").write_text("")
    assert make_report(folder).read_bytes() == first
    assert sorted(file.name for file in (folder / "report").iterdir()) == ["plots", "report.html", "tables"]
    assert [entry.name for entry in folder.iterdir() if entry.name.startswith(".")] == []


def test_text_from_data_cannot_become_markup(tmp_path: Path):
    folder = write_results(tmp_path, images=4, axes={"fusion": ["gated"]})
    trial = next((folder / "trials").iterdir())
    lines = [json.loads(line) for line in (trial / "predictions.jsonl").read_text().splitlines()]
    evil = "<script>alert(1)</script>"
    lines = [{**line, "question": evil, "answer": evil, "group": f'"{evil}'} for line in lines]
    (trial / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    summary = json.loads((folder / "experiment.json").read_text())
    (folder / "experiment.json").write_text(json.dumps({**summary, "question": evil}))
    (folder / "experiment.yaml").write_text(evil)
    study = read_study(folder, resamples=20)
    text = render(study, all_tables(study), [], None)
    assert evil not in text
    assert Page(text).text.count(evil) > 3


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ({"axes": {}}, "The one trial reaches"),
        ({"axes": {}, "seeds": (0, 1)}, "2 seeds reach"),
        ({"axes": {"fusion": ["concat_projection", "gated"]}}, "No difference to the baseline can be told: fusion"),
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


def test_examples_without_their_dataset_say_so(tmp_path: Path):
    folder = write_results(tmp_path, images=10, axes={"fusion": ["gated"]})
    assert "no plugins were loaded" in page_of(folder).text
    assert "there is no dataset 'made_shapes'" in page_of(folder, load_registry()).text


def test_an_image_that_cannot_be_opened_is_named(tmp_path: Path):
    plugin = write_dataset_plugin(tmp_path / "plugins")
    file = plugin / "made_shapes.py"
    file.write_text(file.read_text().replace('key.split("-")', "open(key)"))
    folder = write_results(tmp_path / "results", images=10, axes={"fusion": ["gated"]})
    assert "cannot be opened" in page_of(folder, load_registry([plugin])).text


def test_trials_without_predictions_are_listed_and_not_compared(tmp_path: Path):
    folder = write_results(tmp_path, images=6, axes={"fusion": ["gated", "cross_attention"]})
    for trial in (folder / "trials").iterdir():
        (trial / "predictions.jsonl").unlink()
    assert "nothing can be compared" in page_of(folder).text


def test_a_record_that_disagrees_with_its_predictions_is_called_out(tmp_path: Path):
    folder = write_results(tmp_path, images=6, axes={"fusion": ["gated"]})
    file = next((folder / "trials").iterdir()) / "record.json"
    record = json.loads(file.read_text())
    record["metrics"]["vqa_accuracy"] = 0.99
    file.write_text(json.dumps(record))
    assert "vqa_accuracy is 0.99 in the record" in page_of(folder).text


def test_a_folder_that_holds_no_results_is_an_error(tmp_path: Path):
    with pytest.raises(ResultsError, match="no results folder"):
        make_report(tmp_path)


def test_a_report_that_cannot_be_written_keeps_the_one_before(tmp_path: Path):
    folder = write_results(tmp_path, images=4, axes={})
    (folder / "report").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="cannot write"):
        make_report(folder)
    assert (folder / "report").read_text().startswith("a file")


def test_the_answer_is_made_of_the_numbers_of_the_tables(folder: Path):
    study = read_study(folder)
    told = " ".join(answer(study))
    leader = next(effect for effect in study.effects("fusion") if effect.value == "cross_attention")
    assert f"+{100 * leader.difference.estimate:.1f} points" in told
    assert "int8 takes 0.29 of the bytes" in told
    assert finding(study, "quantizer").headline == "quantizer: no difference can be told"
    assert finding(study, "fusion").headline == "fusion: cross_attention is best"
    assert key_figures(study)[0] == ("11 of 12", "", "trials finished")
    assert progress(study).startswith("11 of 12")


def test_values_behind_a_better_baseline_are_called_worse(tmp_path: Path):
    axes = {"fusion": ["cross_attention", "gated"], "quantizer": ["none", "int8"]}
    folder = write_results(tmp_path, images=200, axes=axes)
    summary = json.loads((folder / "experiment.json").read_text())
    baseline = {**summary["baseline"], "fusion": "cross_attention"}
    (folder / "experiment.json").write_text(json.dumps({**summary, "baseline": baseline}))
    study = read_study(folder, resamples=300)
    told = " ".join(answer(study))
    assert told.startswith("Nothing that was tried beats the baseline: fusion cross_attention and quantizer none.")
    assert "gated is worse than cross_attention" in told


def test_values_that_share_the_lead_are_said_to(tmp_path: Path):
    axes = {"fusion": ["concat_projection", "cross_attention", "bidirectional"]}
    folder = write_results(tmp_path, images=300, axes=axes)
    for trial in (folder / "trials").iterdir():
        record = json.loads((trial / "record.json").read_text())
        if record["axes"]["fusion"] == "bidirectional":
            twin = next(each for each in (folder / "trials").iterdir() if each.name.endswith("1"))
            (trial / "predictions.jsonl").write_text((twin / "predictions.jsonl").read_text())
    study = read_study(folder, resamples=300)
    assert (
        finding(study, "fusion").headline == "fusion: cross_attention and bidirectional lead, and cannot be told apart"
    )
    assert "cross_attention cannot be told from bidirectional" in " ".join(answer(study))


def test_a_difference_that_holds_with_one_value_of_another_axis_alone_is_told(tmp_path: Path):
    axes = {"fusion": ["concat_projection", "cross_attention"], "quantizer": ["none", "int8"]}
    folder = write_results(tmp_path, images=300, axes=axes)
    trials = {each.name[-1]: each for each in (folder / "trials").iterdir()}
    (trials["3"] / "predictions.jsonl").write_text((trials["1"] / "predictions.jsonl").read_text())
    study = read_study(folder, resamples=300)
    told = " ".join(answer(study))
    assert "cross_attention is better than concat_projection on average (+" in told
    assert "That depends on quantizer: cross_attention differs from concat_projection by +" in told
    assert "and 0.0 points (0.0 to 0.0) with int8." in told
    assert "More such" not in told
    found = finding(study, "fusion")
    assert found.headline == "fusion: cross_attention is best on average"
    assert "That depends on quantizer: cross_attention differs" in found.details
    assert "That depends on fusion: int8 differs from none by" in finding(study, "quantizer").details
    assert "Does the difference that one axis makes depend on another?" in page_of(folder).text
    table = interactions_table(study)
    assert table is not None
    assert [(row["what"], row["at"], row["verdict"]) for row in table.rows] == [
        ("cross_attention − concat_projection", "int8", "depends")
    ]


def test_a_cost_is_told_only_where_other_programs_cannot_have_made_it(tmp_path: Path):
    folder = write_results(tmp_path, images=20, axes={"fusion": ["concat_projection", "cross_attention"]})
    told = finding(read_study(folder, resamples=20), "fusion").details
    assert "the latency" in told
    assert "the training time" in told
    for trial in (folder / "trials").iterdir():
        record = json.loads((trial / "record.json").read_text())
        record["metrics"]["latency_ms.highest"] = 2 * record["metrics"]["latency_ms"]
        slow = "cross" in record["axes"]["fusion"]
        record["metrics"] |= {"training_seconds": 30.0 if slow else 20.0, "training_seconds.lowest": 19.0}
        (trial / "record.json").write_text(json.dumps(record))
    told = finding(read_study(folder, resamples=20), "fusion").details
    assert "latency" not in told
    assert "training time" not in told


def test_values_with_the_same_answers_are_said_to_have_the_same_scores(tmp_path: Path):
    folder = write_results(tmp_path, images=20, axes={"quantizer": ["none", "int8"]})
    one, other = sorted(folder.glob("trials/*/predictions.jsonl"))
    other.write_bytes(one.read_bytes())
    told = finding(read_study(folder, resamples=20), "quantizer").details
    assert "none and int8 have the same scores, image by image." in told


def test_many_values_of_one_verdict_are_told_together(tmp_path: Path):
    labels = ["none", "int8", *(f"scheme {number}" for number in range(6))]
    study = read_study(write_results(tmp_path, images=40, axes={"quantizer": labels}), resamples=200)
    told = finding(study, "quantizer")
    assert [effect.verdict for effect in study.effects("quantizer")[1:]] == [UNCLEAR] * 7
    lead, evidence, *_ = answer(study)
    assert lead == "No difference to the baseline can be told: quantizer none."
    gaps = sorted((effect.difference.estimate, effect.value) for effect in study.effects("quantizer")[1:])
    assert evidence.startswith("7 values cannot be told from none (")
    assert f"for {gaps[0][1]} to" in evidence
    assert evidence.endswith(f"for {gaps[-1][1]}).")
    assert told.details.startswith("7 others are ")
    assert told.details.count("which may be chance") == 1


def test_trials_of_two_machines_are_said_to_be_and_their_times_not_compared(tmp_path: Path):
    folder = write_results(tmp_path, images=20, axes={"fusion": ["concat_projection", "cross_attention"]})
    assert "the latency" in finding(read_study(folder, resamples=20), "fusion").details
    assert "Trials ran on" not in make_report(folder).read_text()
    for trial in (folder / "trials").iterdir():
        record = json.loads((trial / "record.json").read_text())
        record["provenance"]["instructions"] = "AVX2"
        if "cross" in record["axes"]["fusion"]:
            record["provenance"] |= {"device": "cuda:0", "gpu": "A fast card"}
            record["metrics"]["bytes"] *= 2
        (trial / "record.json").write_text(json.dumps(record))
    told = finding(read_study(folder, resamples=20), "fusion").details
    assert "2.4 times the bytes" in told
    assert "the latency" not in told
    assert "the training time" not in told
    page = make_report(folder).read_text()
    assert "Trials ran on A &lt;fast&gt; processor (AVX2) and A fast card, which round differently" in page


def test_differences_that_add_up_are_not_said_to_depend_on_anything(tmp_path: Path):
    study = read_study(write_results(tmp_path, images=200), resamples=300)
    assert len(study.interactions) == 2 * 5
    assert "depends on" not in " ".join(answer(study))
    assert "on average" not in " ".join(answer(study))


def test_numbers_stay_beside_their_units():
    assert glue("95 % of 3 points, p = 0.5") == "95\u00a0% of 3\u00a0points, p\u00a0=\u00a00.5"
