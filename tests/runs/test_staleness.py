"""A report names the results that are no longer those of the code, the data and the weights there are now, and is about
the trials that it is asked about."""

from __future__ import annotations

import dataclasses
import html
import io
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file

from tests.made_results import write_results
from tests.small import PLUGINS, SMALL, CommandLine, Inside
from workbench.cli.report import asked_of
from workbench.config.experiment import Experiment, load_experiment, plugin_folders
from workbench.registry import Registry, load_registry
from workbench.reports.answer import answer, progress
from workbench.reports.group_tables import group_table
from workbench.reports.page import render
from workbench.reports.results_data import Study, read_study
from workbench.reports.staleness_notes import not_compared
from workbench.reports.tables import all_tables, trials_table
from workbench.runs.experiment_folder import last_run_of, origin_of
from workbench.runs.planner import Planner
from workbench.runs.scheduler import RunOptions, run
from workbench.runs.staleness import with_staleness
from workbench.storage.checksums import sealed

FILM = '''
"""A fusion of one's own, built on another."""

from workbench import hookimpl
from workbench.plugins.fusion.gated import GatedFusion

SCALE = 1.0


class Film(GatedFusion):
    """Mine."""


@hookimpl
def register_fusions(register):
    register("film", Film)
'''
COUNTED = '''
from pathlib import Path

from workbench import hookimpl

from .squares import Squares


class Counted(Squares):
    """As many squares as a file says."""

    def __init__(self, *, file: Path):
        super().__init__(images=int(file.read_text()))
        self.file = file

    def fingerprint(self):
        return f"counted {self.file.read_text()}"


@hookimpl
def register_datasets(register):
    register("counted", Counted)
'''
TEXT = (
    SMALL.replace(
        "{name: vit, image_size: 16, patch_size: 8, width: 16, depth: 1, heads: 2}",
        "{name: sociable, weights: weights.safetensors}",
    )  # fmt: skip
    .replace("dataset: squares", "dataset: {name: counted, file: count.txt}")
    .replace("fusion: concat_projection", "fusion: gated")
    .replace("metrics: [vqa_accuracy, loss]", "metrics: [loss]")
    .replace("max_new_tokens: 2", "max_new_tokens: 1, limit: 4")
    + "grid: {fusion: [gated, film], connector: [linear, mlp]}\n"
)
COMMAND = "workbench run exp.yaml"


def write_weights(file: Path, value: float) -> None:
    save_file({"patches.weight": torch.full((16, 192), value), "patches.bias": torch.zeros(16)}, file)


def load(folder: Path, *overrides: str) -> tuple[Experiment, Registry]:
    registry = load_registry(plugin_folders(folder / "exp.yaml"))
    return load_experiment(folder / "exp.yaml", registry, overrides), registry


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A project with plugins, data and weights of its own, in which an experiment of four trials has run."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "plugins").mkdir()
    for name in ("squares.py", "sociable.py"):
        shutil.copy(PLUGINS / name, folder / "plugins")
    (folder / "plugins/film.py").write_text(FILM)
    (folder / "plugins/counted.py").write_text(COUNTED)
    (folder / "count.txt").write_text("16")
    (folder / "exp.yaml").write_text(TEXT)
    write_weights(folder / "weights.safetensors", 0.1)
    experiment, registry = load(folder)
    console = Console(file=io.StringIO())
    outcome = run(experiment, registry, folder / "results", Inside(), "cpu", console, RunOptions())
    assert len(outcome.done) == 4
    return folder


@contextmanager
def changed(file: Path, old: str, new: str) -> Iterator[None]:
    """A file with other words in it, for a while."""
    before = file.read_text()
    assert old in before
    file.write_text(before.replace(old, new))
    yield
    file.write_text(before)


@contextmanager
def away(file: Path) -> Iterator[None]:
    """A file that is not here, for a while."""
    aside = file.rename(file.parent.parent / f"aside-{file.name}")
    yield
    aside.rename(file)


def study_of_file(folder: Path, *overrides: str) -> Study:
    experiment, registry = load(folder, *overrides)
    study = read_study(folder / "results/exp", 20, registry, asked_of(experiment), COMMAND)
    return with_staleness(study, registry, experiment)


def study_of_folder(folder: Path, registry: Registry | None = None) -> Study:
    registry = registry or load_registry(plugin_folders(origin_of(folder / "results/exp")))
    return with_staleness(read_study(folder / "results/exp", 20, registry), registry)


def both(folder: Path) -> list[Study]:
    return [study_of_file(folder), study_of_folder(folder)]


def words(study: Study) -> str:
    """The page as a reader sees it."""
    page = render(study, all_tables(study), [], None)
    return re.sub(r"\s+", " ", html.unescape(re.sub("<[^>]+>", "", page[page.index("<main") :])))


def stale_fusions(study: Study) -> list[str]:
    return sorted(record.axes["fusion"] for record in study.done if record.id in study.stale)


def test_a_report_of_what_is_there_says_nothing_of_it(finished):
    for study in both(finished):
        assert (dict(study.stale), study.not_compared, study.missing) == ({}, (), ())
        assert "†" not in words(study) and "out of date" not in words(study)
        assert "stale" not in trials_table(study).csv()


def test_a_comment_makes_nothing_out_of_date(finished):
    with changed(finished / "plugins/film.py", "SCALE = 1.0", "SCALE = 1.0  # as ever"):
        assert [dict(study.stale) for study in both(finished)] == [{}, {}]


def test_an_edited_plugin_is_told_first_and_its_trials_are_marked(finished):
    film = finished / "plugins/film.py"
    with changed(film, "SCALE = 1.0", "SCALE = 2.0"):
        of_file, of_folder = both(finished)
    assert answer(of_file)[0] == f"2 of 4 results are out of date: {film} changed since. {COMMAND} makes them anew."
    assert answer(of_folder)[0].endswith("Run the experiment again to make them anew.")
    for study in (of_file, of_folder):
        assert stale_fusions(study) == ["film", "film"]
        trials, by_fusion, by_connector, *_ = all_tables(study)
        assert {row["fusion"]: row["stale"] for row in trials.rows} == {"gated": "", "film": f"{film} changed"}
        assert f",{film} changed\n" in trials.csv()
        assert [row["stale"] for row in by_fusion.rows] == [None, 2]
        assert [row["stale"] for row in by_connector.rows] == [1, 1]
        groups = group_table(study)
        assert groups
        for table in (trials, by_fusion, groups):
            assert "† Out of date" in table.markdown().partition("|\n\n")[2]
            assert r"$\dagger$" in table.latex() and "†" not in table.latex()
        assert sum(line.rstrip().endswith("† |") for line in trials.markdown().split("\n")) == 2
        assert words(study).startswith(" 2 of 4 results are out of date", words(study).index(" 2 of 4"))


def test_an_edited_file_that_a_plugin_imports_is_told(finished):
    with changed(finished / "plugins/squares.py", "0.02", "0.03"):
        for study in both(finished):
            assert len(study.stale) == 4
            assert f"{finished / 'plugins/counted.py'} changed" in answer(study)[0]


def test_other_data_and_other_weights_are_told(finished):
    with changed(finished / "count.txt", "16", "12"):
        for study in both(finished):
            assert answer(study)[0].startswith("4 of 4 results are out of date: the data of counted changed since.")
    write_weights(finished / "weights.safetensors", 0.2)
    for study in both(finished):
        assert answer(study)[0].startswith("4 of 4 results are out of date: weights.safetensors changed since.")
    write_weights(finished / "weights.safetensors", 0.1)


def with_made_of(study: Study, **changes: str | None) -> Study:
    """As if records had been made of something else; None: as if by a workbench that did not know of it."""
    records = []
    for record in study.records:
        made_of = {**record.provenance["made_of"], **changes}
        provenance = {**record.provenance, "key": "another", "made_of": {k: v for k, v in made_of.items() if v}}
        records.append(dataclasses.replace(record, provenance=provenance))
    return dataclasses.replace(study, records=records)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"code:workbench/training/loop.py": "another"}, "workbench/training/loop.py changed"),
        ({"code:workbench/model/restore.py": None}, "workbench/model/restore.py is new"),
        ({"code:workbench/gone.py": "another"}, "workbench/gone.py is gone"),
        ({f"code:workbench/{name}.py": "another" for name in "abcd"}, "4 files of the workbench changed"),
        ({"version:torch": "0.1"}, f"torch 0.1 -> {torch.__version__}"),
    ],
)
def test_other_code_and_packages_of_the_workbench_are_told(finished, changes, told):
    experiment, registry = load(finished)
    study = with_made_of(read_study(finished / "results/exp", 20, registry), **changes)
    for asked in (experiment, None):
        assert told in answer(with_staleness(study, registry, asked))[0]


def test_the_report_of_a_file_calls_out_of_date_what_a_plan_would_do_again(finished):
    edits = [("plugins/film.py", "SCALE = 1.0", "SCALE = 2.0"), ("plugins/squares.py", "0.02", "0.03"),
             ("plugins/sociable.py", "0.1 *", "0.2 *"), ("count.txt", "16", "12")]  # fmt: skip
    for file, old, new in edits:
        with changed(finished / file, old, new):
            experiment, registry = load(finished)
            plan = Planner(experiment, registry, finished / "results").plan()
            assert set(study_of_file(finished).stale) == set(plan.chains) - plan.finished != set()
            assert set(study_of_folder(finished).stale) == set(plan.chains) - plan.finished


def test_what_shared_no_work_is_not_called_out_of_date(finished, tmp_path):
    folder = tmp_path / "alone"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("results"))
    experiment, registry = load(folder, "grid.fusion=[film]", "grid.connector=[linear]")
    options = RunOptions(share=False)
    run(experiment, registry, folder / "results", Inside(), "cpu", Console(file=io.StringIO()), options)
    for study in (study_of_file(folder, "grid.fusion=[film]", "grid.connector=[linear]"), study_of_folder(folder)):
        assert (len(study.done), dict(study.stale), study.not_compared) == (1, {}, ())


def test_where_data_or_weights_are_missing_the_rest_is_compared_and_that_is_told(finished):
    for name, told in (
        ("count.txt", "dataset 'counted' cannot be used"),
        ("weights.safetensors", "weights.safetensors is not here"),
    ):
        with away(finished / name):
            found = both(finished)
            with changed(finished / "plugins/film.py", "SCALE = 1.0", "SCALE = 2.0"):
                assert [stale_fusions(study) for study in both(finished)] == [["film", "film"]] * 2
        for study in found:
            assert study.stale == {}
            assert told in not_compared(study)
            assert told in words(study)


def test_where_a_plugin_is_missing_the_rest_is_compared_and_that_is_told(finished):
    study = study_of_folder(finished, load_registry())
    assert study.stale == {}
    assert "there is no fusion 'film'" in not_compared(study) and "Known" not in not_compared(study)
    with away(finished / "plugins/film.py"), changed(finished / "plugins/sociable.py", "0.1 *", "0.2 *"):
        study = study_of_folder(finished)
    assert len(study.stale) == 4
    assert "sociable.py changed" in answer(study)[0] and "film" not in answer(study)[0]


def test_records_that_do_not_say_what_they_were_made_of_are_told(tmp_path):
    study = with_staleness(read_study(write_results(tmp_path, images=4, axes={}), 20), load_registry())
    assert "1 of 1 trials do not say what they were made of" in not_compared(study)


def test_the_report_of_a_file_is_of_the_trials_of_the_file(finished):
    """Whatever the last run asked for: here all four."""
    few = study_of_file(finished, "grid.connector=[linear]")
    assert ([record.axes for record in few.done], few.expected, few.strays) == (
        [
            {"fusion": "gated", "connector": "linear", "seed": "0"},
            {"fusion": "film", "connector": "linear", "seed": "0"},
        ],
        2,
        2,
    )
    assert "2 more in the folder are not part of this experiment file" in words(few)
    more = study_of_file(finished, "grid.fusion=[film, gated, cross_attention]", "baseline.fusion=film")
    assert more.baseline("fusion") == "film"
    assert progress(more) == (
        "4 of 6 trials have finished, 2 have no result yet: what follows is from those."
        f" {COMMAND} runs what is missing."
    )
    missing = [row for row in trials_table(more).rows if row["status"] == "not run"]
    assert [(row["fusion"], row["connector"]) for row in missing] == [
        ("cross_attention", each) for each in ("linear", "mlp")
    ]
    assert "| cross\\_attention | linear | not run |" in trials_table(more).markdown()
    assert [record.axes["fusion"] for record in more.done] == ["film", "film", "gated", "gated"]


def test_trials_have_the_labels_that_the_file_gives_them(finished):
    labelled = study_of_file(finished, "labels.fusion=[plain, mine]")
    assert {record.axes["fusion"] for record in labelled.done} == {"plain", "mine"}
    assert [effect.value for effect in labelled.effects("fusion")] == ["plain", "mine"]
    assert (len(labelled.done), labelled.strays) == (4, 0)
    assert {record.axes["fusion"] for record in study_of_folder(finished).done} == {"gated", "film"}


def test_a_file_of_which_nothing_was_run_says_how_to_run_it(finished):
    study = study_of_file(finished, "grid.fusion=[bidirectional]")
    assert answer(study) == [f"There is no answer yet: none of 2 trials has finished. {COMMAND} runs what is missing."]
    assert "not run" in words(study)


@pytest.fixture
def project(finished, tmp_path) -> Path:
    shutil.copytree(finished, tmp_path / "project")
    return tmp_path / "project"


def test_the_command_follows_the_file_with_its_settings_and_the_folder_the_last_run(project, monkeypatch, capsys):
    workbench = CommandLine(project, monkeypatch, capsys)
    few = "grid.connector=[linear]"
    assert workbench("run", "exp.yaml", "--set", few, "--device", "cpu", "--unchecked").code == 0
    table, page = project / "results/exp/report/tables/trials.csv", project / "results/exp/report/report.html"
    for words_, rows, said in [
        (("exp.yaml",), 4, "workbench run exp.yaml"),
        (("exp.yaml", "--set", few), 2, f"workbench run exp.yaml --set '{few}'"),
        (("results/exp",), 2, "not part of what was asked for last"),
    ]:
        assert workbench("report", *words_).code == 0
        assert len(table.read_text().splitlines()) == 1 + rows
        assert said in html.unescape(page.read_text())


def test_a_file_that_asks_something_else_and_shares_no_trial_has_no_report_there(project, monkeypatch, capsys):
    workbench = CommandLine(project, monkeypatch, capsys)
    told = workbench("report", "exp.yaml", "--set", "question=Else?", "--set", "base.phases.tune.steps=3")
    assert told.code == 2
    assert "holds the results of another experiment" in told.errors
    experiment, registry = load(project, "question=Else?")
    study = read_study(project / "results/exp", 20, registry, asked_of(experiment))
    assert (study.summary.question, len(study.done)) == ("Else?", 4)


def test_a_file_whose_plugin_is_missing_has_the_report_of_its_last_run(project, monkeypatch, capsys):
    shutil.rmtree(project / "plugins")
    record = next((project / "results/exp/trials").glob("*/record.json"))
    for file in record.parent.parent.glob("*/record.json"):  # made on another machine
        content = json.loads(file.read_text())
        content["provenance"]["folder"] = "/not/here"
        file.write_text(json.dumps(sealed(content)))
    told = CommandLine(project, monkeypatch, capsys)("report", "exp.yaml")
    assert told.code == 0
    assert "there is no fusion 'film'" in told.output
    assert "was not checked in full" in (project / "results/exp/report/report.html").read_text()
    (project / "exp.yaml").write_text(TEXT + "# another\n")
    assert last_run_of(project / "exp.yaml", project / "results") is None
    assert CommandLine(project, monkeypatch, capsys)("report", "exp.yaml").code == 2
