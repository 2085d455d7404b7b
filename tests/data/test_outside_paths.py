"""No name in a file of data leads out of its folder, whichever reader reads it, unless the experiment says so."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks.official_formats import FORMATS
from tests.plugins.test_huggingface_dataset import build as build_parquet
from tests.plugins.test_readers import as_in_yaml, build
from tests.tiny import builtin_registry
from workbench.config.component import Component
from workbench.config.resolve_components import resolve_component
from workbench.config.written import Written
from workbench.contracts.dataset import Dataset
from workbench.data.annotations import DataError
from workbench.data.image_files import ImageFiles
from workbench.data.outside_paths import leads_out

OUT = "a/../../../../../secret.jpg"  # out of the folder, however deep below it the file puts names
# The key that names images, where it is not `image`.
KEYS = {
    **dict.fromkeys(("vqav2", "okvqa", "aokvqa", "localized_narratives"), "image_id"),
    **dict.fromkeys(("coco_captions/karpathy", "flickr30k/karpathy"), "filename"),
    **{"coco_captions": "file_name", "gqa": "imageId", "folder": "file"},
}


def lead_out(folder: Path, key: str) -> None:
    """Have the first image that each file of data names be one outside."""
    for file in (each for each in folder.iterdir() if each.is_file()):
        text = file.read_text()
        text = re.sub(rf'"{key}": (?:"[^"]*"|\d+)', f'"{key}": "{OUT}"', text, count=1)
        text = re.sub(r"\A[^#\n{]+#", f"{OUT}#", text) if file.suffix == ".token" else text
        text = text.replace("\n0.png,", f"\n{OUT},", 1) if file.suffix == ".csv" else text
        file.write_text(text)


def read_all(dataset: Dataset) -> None:
    for split in dataset.splits():
        for task in dataset.tasks():
            list(dataset.examples(split, task))


@pytest.mark.parametrize("name", FORMATS)
def test_every_reader_refuses_a_way_out_and_tells_file_place_and_key(name, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    options, key = as_in_yaml(FORMATS[name](folder, 12, True)), KEYS.get(name, "image")
    read_all(build(name, options))
    lead_out(folder, key)
    with pytest.raises(DataError, match="leads out of the folder of images") as told:
        read_all(build(name, options))
    key = "NAME.jpg" if name == "flickr30k" else key
    assert re.search(
        rf"^{re.escape(str(folder))}/\S+: (entry|line) .*'{key}': '.*secret.jpg' leads out", str(told.value)
    )
    assert "Put the image there, or write outside_paths: true for the dataset" in str(told.value)
    read_all(build(name, {**options, "outside_paths": True}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images with a folder and a link among them, and others elsewhere."""
    for place in ("images/sub", "elsewhere"):
        (tmp_path / place).mkdir(parents=True)
        Image.new("RGB", (2, 2)).save(tmp_path / place / "x.png")
    (tmp_path / "images/link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "images/x.png").symlink_to(tmp_path / "elsewhere/x.png")
    return tmp_path / "images"


INSIDE = ("x.png", "sub/x.png", "link/x.png", "sub/../x.png", "../images/x.png", "a..b.png", "..x.png", "sub/./x.png")
OUTSIDE = (
    "../elsewhere/x.png",
    "sub/../../elsewhere/x.png",
    "link/../elsewhere/x.png",
    "..",
    "sub/../..",
    "/etc/x.png",
)


def test_links_and_ways_that_come_back_stay_within(folder):
    for name in (*INSIDE, str(folder / "x.png"), str(folder / "link/x.png")):
        assert not leads_out(name, folder), name
        assert ImageFiles(folder).key("train", image=name) == name
    for name in (*OUTSIDE, str(folder.parent / "elsewhere/x.png"), str(folder / "../elsewhere/x.png")):
        assert leads_out(name, folder), name
        with pytest.raises(DataError, match="leads out of the folder of images"):
            ImageFiles(folder).key("train", image=name)
        with pytest.raises(DataError, match="leads out of the folder of images"):
            ImageFiles(folder).path(name)


def test_a_folder_that_is_named_by_a_link_or_from_here_is_the_same_folder(folder, monkeypatch):
    linked = folder.parent / "linked"
    linked.symlink_to(folder, target_is_directory=True)
    monkeypatch.chdir(folder.parent)
    for place in (linked, Path("images"), Path("linked")):
        assert not leads_out(str(folder / "x.png"), place)
        assert not leads_out("../images/x.png", place)
        assert leads_out("../elsewhere/x.png", place)


def test_images_that_may_lie_outside_are_opened(folder):
    files = ImageFiles({"train": folder, "test": folder.parent / "elsewhere"}, outside=True)
    for name in ("../elsewhere/x.png", os.fspath(folder.parent / "elsewhere/x.png")):
        key = files.key("train", image=name)
        assert files.open(key).size == (2, 2)
        assert files.fault(key) is None


def test_where_the_experiment_itself_names_a_way_out_its_annotations_may_not(folder):
    files = ImageFiles(folder, "../elsewhere/{image}")
    assert files.open(files.key("train", image="x.png")).size == (2, 2)
    with pytest.raises(DataError, match=r"'\.\./x\.png' leads out"):
        files.key("train", image="../x.png")


def test_what_is_no_name_at_all_is_told(folder):
    with pytest.raises(DataError, match="is no name of a file"):
        ImageFiles(folder).key("train", image="a\0b.png")


@pytest.fixture
def rows(folder, monkeypatch) -> Any:
    """Writes a parquet file whose images are these paths."""
    import datasets
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder.parent / "cache")

    def write(*cells: Any, **options: Any) -> Dataset:
        count = len(cells)
        table = datasets.Dataset.from_dict({"image": list(cells), "question": ["?"] * count, "answers": ["a"] * count})
        table.to_parquet(folder / "train.parquet")
        return build_parquet({"train": folder / "train.parquet"}, columns=None, task="questions", **options)

    return write


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("more", [{}, {"streaming": True, "limit": 2}])
def test_paths_in_parquet_files_are_those_beside_the_file(rows, folder, several, more):
    wrapped = (lambda path: [path]) if several else (lambda path: path)
    good, key = rows(wrapped("sub/x.png"), wrapped("x.png"), **more), "train/1/0" if several else "train/1"
    assert [example.image for example in good.examples("train", "questions")][1] == key
    assert good.image(key).size == (2, 2)
    bad = rows(wrapped("x.png"), wrapped("../elsewhere/x.png"), **more)
    with pytest.raises(DataError, match=r"train\.parquet: row 1 of 'train': 'image' is '\.\./elsewhere/x\.png', which"):
        bad.examples("train", "questions")
    told = rows(wrapped("x.png"), wrapped("../elsewhere/x.png"), outside_paths=True, **more)
    assert len(told.examples("train", "questions")) == 2
    assert told.image(key).size == (2, 2)


def test_a_record_says_nothing_of_the_option_where_nobody_set_it(folder):
    def component(**options: Any) -> Component:
        written = {"name": "folder", "tables": {"train": "a.csv"}, "images": "images", **options}
        found = resolve_component("dataset", Written(written, ("dataset",), {}), builtin_registry(), folder)
        assert found.value is not None
        return found.value

    assert "outside_paths" not in component().spec()
    assert component().arguments()["outside_paths"] is False
    assert component() == component(outside_paths=False)
    assert component(outside_paths=True).spec()["outside_paths"] is True
    assert component(outside_paths=True) != component()
