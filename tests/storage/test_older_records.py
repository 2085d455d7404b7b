"""What an earlier version wrote is read under the names of this one, and what this one writes as it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas
import pandas.testing
import pytest
import torch

from tests.small import CommandLine
from workbench.inference.export import read_exported
from workbench.registry import load_registry
from workbench.storage.artifacts import ArtifactStore
from workbench.storage.older_records import dataset_of, predictions_of, record_of, weights_of
from workbench.storage.records import read_curve, read_predictions, read_record, read_records, write_trial
from workbench.storage.result_files import CURVE, PREDICTIONS, RECORD

MADE = Path(__file__).parents[1] / "made_before"
JUDGED = ("p", "verdict")  # these, and intervals, follow rules that have changed since
OLD = sorted((MADE / "results/before/trials").iterdir())


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def written_anew(folder: Path) -> None:
    """Write a trial's folder as this version does."""
    found = predictions_of(lines(folder / PREDICTIONS))
    write_trial(folder, read_record(folder), found, read_curve(folder).to_dict("records"))  # type: ignore[arg-type]


@pytest.mark.parametrize("folder", OLD, ids=lambda folder: folder.name)
def test_a_trial_of_an_earlier_version_reads_as_one_of_this(folder, tmp_path):
    record, frame, curve = read_record(folder), read_predictions(folder), read_curve(folder)
    assert {"loss.no_image", "vqa_accuracy.no_image", "loss.shuffled"} <= record.metrics.keys()
    assert record.provenance["skipped_images"] == {}
    assert set(frame["condition"]) == {"image", "no_image", "shuffled", "outside"}
    assert list(curve["images"][:2]) == [8, 16]
    told = {*record.metrics, *record.provenance, *frame.columns, *curve.columns, *frame["condition"]}
    assert not [name for name in told if "picture" in name]

    shutil.copytree(folder, tmp_path / "new")
    written_anew(tmp_path / "new")
    # What plugins and files of the workbench were called stands among what the trial was made of: that is not renamed.
    new = "".join((tmp_path / "new" / name).read_text() for name in (RECORD, PREDICTIONS, CURVE))
    kept = '"code:workbench/picture_files.py"', '"code:workbench/pictures.py"'
    assert "picture" not in new.replace(kept[0], "").replace(kept[1], "")
    again = read_record(tmp_path / "new")
    assert (again.metrics, again.spec) == (record.metrics, record.spec)
    pandas.testing.assert_frame_equal(read_predictions(tmp_path / "new"), frame)


def test_trials_of_both_versions_stand_in_one_report(tmp_path, monkeypatch, capsys):
    shutil.copytree(MADE, tmp_path / "made")
    results = tmp_path / "made/results/before"
    for folder in OLD[::2]:
        written_anew(results / "trials" / folder.name)
    conditions = [lines(results / "trials" / each.name / PREDICTIONS)[0]["condition"] for each in OLD]
    assert conditions == ["image", "picture"] * 2
    assert len({tuple(record.metrics) for record in read_records(results)}) == 1
    assert CommandLine(tmp_path / "made", monkeypatch, capsys)("report", "results/before").code == 0
    for file in sorted((MADE / "tables").iterdir()):
        before, now = pandas.read_csv(file), pandas.read_csv(results / "report/tables" / file.name)
        before.columns = [column.replace("picture", "image") for column in before.columns]
        numbers = [column for column in before if not column.endswith((".low", ".high")) and column not in JUDGED]
        pandas.testing.assert_frame_equal(now.filter(numbers), before.filter(numbers), rtol=1e-9)


def test_a_kept_stage_and_an_export_of_an_earlier_version_are_read(tmp_path):
    store = ArtifactStore(MADE / "results/artifacts")
    for key in store.names():
        assert [step["images"] for step in store.read(key).curve][:2] == [8, 16]
    record = read_exported(MADE / "exported").config["record"]
    assert "loss.no_image" in record["metrics"]
    assert "skipped_images" in record["provenance"]


def test_features_with_the_old_key_are_read(tmp_path):
    store = ArtifactStore(tmp_path)
    with store._new("old", {"pictures": ["a.png"]}) as folder:
        torch.save({}, folder / "nothing")  # a stage has files
    assert store.summary("old") is not None
    assert (store.summary("old") or {})["images"] == ["a.png"]


OWN = """
from workbench import Dataset, hookimpl

class Mine(Dataset):
    def __init__(self, *, pictures: int, columns: dict[str, str]):
        self.pictures = pictures

@hookimpl
def register_datasets(register):
    register("mine", Mine)
"""


def test_options_of_the_workbench_s_datasets_have_their_new_names_and_a_user_s_keep_theirs(tmp_path):
    (tmp_path / "mine.py").write_text(OWN)
    registry = load_registry([tmp_path], installed=False)
    own = {"name": "mine", "pictures": 4, "columns": {"picture": "file"}}
    before = {"own": own, "other": {"name": "folder", "columns": {"picture": "file"}}}
    after = {"own": own, "other": {"name": "folder", "columns": {"image": "file"}}}
    datasets = registry.by_name("dataset")
    told = dataset_of({"name": "mixture", "pictures": 9, "parts": before}, datasets)
    assert told == {"name": "mixture", "images": 9, "parts": after}
    assert dataset_of(told, datasets) == told
    assert dataset_of({"name": "vqav2", "picture": "x"}, datasets) == {"name": "vqav2", "image": "x"}
    assert dataset_of({"name": "gone", "picture": "x"}, datasets) == {"name": "gone", "picture": "x"}
    assert dataset_of({}, datasets) == {}


def test_a_metric_s_own_words_are_left_alone():
    record = {"metrics": {"picture": 1.0, "m.no_picture": 2.0, "m.group.picture book": 3.0}, "provenance": {}}
    assert record_of(record)["metrics"] == {
        "picture": 1.0,
        "m.no_image": 2.0,
        "m.group.picture book": 3.0,
    }


def test_weights_get_the_names_that_the_model_has():
    old = {"connector.blocks.0.picture_norm.weight": 1, "encoder.weight": 2}
    new = {"connector.blocks.0.image_norm.weight": 1, "encoder.weight": 2}
    assert weights_of(old, new) == weights_of(new, new) == new
    assert weights_of(old, old) == old  # a plugin of one's own that still has a layer of that name
