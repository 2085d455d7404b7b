"""Rows of the library `datasets`: parquet files, read whole or as a stream, with columns of any names."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.tiny import builtin_registry
from workbench.conformance import check
from workbench.contracts.dataset import Dataset
from workbench.data.annotations import DataError
from workbench.data.broken_images import without_broken_images
from workbench.errors import UserError
from workbench.registry import resolve_options

NAME = "huggingface_dataset"
COUNT = 5


def encoded(number: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (40 * number, 0, 0)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def parquet(tmp_path, monkeypatch) -> dict[str, Path]:
    """Two files as the library writes them, and its cache out of the way."""
    import datasets
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    files = {}
    for start, split in ((0, "train"), (10, "test")):
        numbers = range(start, start + COUNT)
        columns = {
            "img": [{"bytes": encoded(number % 6), "path": None} for number in numbers],
            "ask": [f"what is {number}?" for number in numbers],
            "answers": [["red", "dark red"] for _ in numbers],
            "replies": [[{"answer": "red", "answer_id": 1}, {"answer": "blue", "answer_id": 2}] for _ in numbers],
            "kind": [number % 2 for number in numbers],
            "language": ["de" if number % 2 else "en" for number in numbers],
        }
        table = datasets.Dataset.from_dict(columns).cast_column("img", datasets.Image())
        table = table.cast_column("kind", datasets.ClassLabel(names=["bus", "car"]))
        files[split] = tmp_path / f"{split}.parquet"
        table.to_parquet(files[split])
    return files


def build(files: dict[str, Path], **options: Any) -> Dataset:
    plugin = builtin_registry().plugin("dataset", NAME)
    written = {"source": {split: str(file) for split, file in files.items()}, "columns": COLUMNS, **options}
    return plugin.factory(**resolve_options(plugin, written))


COLUMNS = {"image": "img", "question": "ask", "group": "language"}


@pytest.mark.parametrize("more", [{}, {"streaming": True, "limit": 3}])
def test_it_keeps_the_rules_of_datasets(parquet, more):
    options = {"source": {split: str(file) for split, file in parquet.items()}, "columns": COLUMNS, **more}
    findings = list(check(builtin_registry(), "dataset", NAME, **options))
    assert [f"{each.title}: {each.explanation}" for each in findings if not each.passed] == []


@pytest.mark.parametrize("streaming", [False, True])
def test_rows_are_examples_and_their_images_are_those_of_the_file(parquet, streaming):
    dataset = build(parquet, streaming=streaming, limit=COUNT)
    found = dataset.examples("test", "questions")
    assert [each.question for each in found] == [f"what is {number}?" for number in range(10, 10 + COUNT)]
    assert {each.answers for each in found} == {("red", "dark red")}
    assert [each.group for each in found] == ["en", "de", "en", "de", "en"]
    assert [dataset.image(each.image).getpixel((0, 0)) for each in found] == [
        (40 * (number % 6), 0, 0) for number in range(10, 10 + COUNT)
    ]


@pytest.mark.parametrize("more", [{}, {"streaming": True, "limit": 4}, {"limit": 3}])
def test_the_column_of_images_may_hold_lists(tmp_path, monkeypatch, more):
    import datasets
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    cells = [[{"bytes": encoded(each), "path": None} for each in range(number + 1)] for number in range(4)]
    columns = {"img": cells, "ask": ["which?"] * 4, "answers": ["x"] * 4, "language": ["en"] * 4}
    feature: Any = datasets.Sequence(datasets.Image())
    table = datasets.Dataset.from_dict(columns).cast_column("img", feature)
    table.to_parquet(tmp_path / "train.parquet")
    dataset = build({"train": tmp_path / "train.parquet"}, **more)
    found = dataset.examples("train", "questions")
    assert [len(each.images) for each in found] == [1, 2, 3, 4][: more.get("limit", 4)]
    assert [dataset.image(key).getpixel((0, 0)) for key in found[2].images] == [(0, 0, 0), (40, 0, 0), (80, 0, 0)]


def test_answers_may_be_objects_or_classes(parquet):
    replies = build(parquet, columns=COLUMNS | {"answers": "replies"}).examples("train", "questions")
    assert {each.answers for each in replies} == {("red", "blue")}
    kinds = build(parquet, columns=COLUMNS | {"answers": "kind"}, question="What is it?").examples("train", "questions")
    assert [(each.question, each.answer) for each in kinds[:2]] == [("What is it?", "bus"), ("What is it?", "car")]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_class_that_is_not_given_away_is_no_answer(tmp_path, monkeypatch, streaming):
    """The hub keeps the answers of test splits: -1 there, which Python takes for the last class."""
    files = classes(tmp_path, monkeypatch, [1, -1])
    with pytest.raises(DataError, match=r"row 1 of 'train': 'answers' has no class \(-1\): take a split with answers"):
        build(files, columns=PLAIN, streaming=streaming, limit=2).examples("train", "questions")


def test_lists_of_classes_are_lists_of_their_names(tmp_path, monkeypatch):
    found = build(classes(tmp_path, monkeypatch, [[1, 1, 0], [0]]), columns=PLAIN).examples("train", "questions")
    assert [each.answers for each in found] == [("car", "car", "bus"), ("bus",)]


PLAIN = {"image": "img", "question": "ask"}


def classes(folder: Path, monkeypatch: pytest.MonkeyPatch, answers: list[Any]) -> dict[str, Path]:
    """A file whose answers are classes, or lists of them."""
    import datasets
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "cache")
    cells = [{"bytes": encoded(number), "path": None} for number in range(len(answers))]
    table = datasets.Dataset.from_dict({"img": cells, "ask": ["what?"] * len(answers), "answers": answers})
    kind: Any = datasets.ClassLabel(names=["bus", "car"])
    table = table.cast_column("img", datasets.Image())
    answered: Any = datasets.Sequence(kind) if isinstance(answers[0], list) else kind
    table = table.cast_column("answers", answered)
    table.to_parquet(folder / "train.parquet")
    return {"train": folder / "train.parquet"}


def test_a_column_of_groups_that_is_named_and_not_there_is_told(parquet):
    with pytest.raises(DataError, match="row 0 of 'train': there is no column 'languages'. Did you mean 'language'"):
        build(parquet, columns=COLUMNS | {"group": "languages"}).examples("train", "questions")


def test_a_limit_takes_the_first_rows_and_is_part_of_the_fingerprint(parquet):
    assert len(build(parquet, limit=2).examples("train", "questions")) == 2
    prints = {build(parquet, limit=limit).fingerprint() for limit in (2, 3, None)}
    assert len(prints) == 3


def test_a_column_that_is_not_there_is_told_with_those_that_are(parquet):
    with pytest.raises(DataError, match="there is no column 'asked'. Did you mean 'ask'"):
        build(parquet, columns=COLUMNS | {"question": "asked"}).examples("train", "questions")
    with pytest.raises(DataError, match="there is no column 'image'.*There are: img, ask"):
        build(parquet, columns={"question": "ask"}).examples("train", "questions")
    with pytest.raises(UserError, match="columns: 'images' is none. Did you mean 'image'"):
        build(parquet, columns={"images": "img"})


def test_what_is_missing_in_the_experiment_is_told(parquet, tmp_path):
    with pytest.raises(UserError, match=r"source is empty: write \{train: FILE, test: FILE\}, or an id of the hub"):
        build({})
    with pytest.raises(UserError, match="with streaming, give the limit"):
        build(parquet, streaming=True)
    with pytest.raises(UserError, match="with streaming, give the revision"):
        build({}, source="owner/name", streaming=True, limit=5)
    with pytest.raises(DataError, match="there is no parquet file"):
        build({"train": tmp_path / "none.parquet"})


def test_a_file_that_is_no_parquet_is_told(parquet, tmp_path):
    (tmp_path / "train.parquet").write_text("not parquet")
    with pytest.raises(DataError, match=r"train\.parquet cannot be loaded as 'train'"):
        build(parquet).examples("train", "questions")


def cells(tmp_path: Path, monkeypatch, images: list, several: bool) -> dict[str, Path]:
    """A file of these images."""
    import datasets
    import datasets.config
    import pyarrow.parquet

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    found = [{"bytes": each, "path": None} if isinstance(each, bytes) else each for each in images]
    columns = {"img": [[each] for each in found] if several else found, "ask": ["which?"] * len(images)}
    columns |= {"answers": ["x"] * len(images), "language": ["en"] * len(images)}
    feature: Any = datasets.Sequence(datasets.Image()) if several else datasets.Image()
    table = datasets.Dataset.from_dict(columns).cast_column("img", feature)
    pyarrow.parquet.write_table(table.data.table, tmp_path / "train.parquet")  # the library would read each file
    return {"train": tmp_path / "train.parquet"}


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("streaming", [False, True])
def test_images_that_cannot_be_shown_are_found_before_anything_runs(tmp_path, monkeypatch, several, streaming):
    huge = bytearray(encoded(1))
    huge[16:24] = (14_000).to_bytes(4, "big") + (26_000).to_bytes(4, "big")
    images = [encoded(1), encoded(2)[:45], bytes(huge), b"no image", b"", {"bytes": None, "path": "gone.png"}]
    files = cells(tmp_path, monkeypatch, [*images, *[encoded(3)] * 14], several)
    dataset = without_broken_images(build(files, streaming=streaming, limit=20, most_broken=0.3))
    assert len(dataset.examples("train", "questions")) == 15
    told = list(dataset.skipped("train", "questions").values())
    assert [str(tmp_path) in each and f"row {number} of" in each for number, each in enumerate(told, 1)] == [True] * 5
    words = ("cannot be decoded", "is too large: 14,000 x 26,000", "cannot be decoded", "is empty", "gone.png")
    assert all(word in each for word, each in zip(words, told, strict=True))
    with pytest.raises(DataError, match="write most_broken: 0.25"):
        without_broken_images(build(files, streaming=streaming, limit=20)).examples("train", "questions")


def test_an_image_in_a_file_is_turned_as_its_camera_says(tmp_path, monkeypatch):
    lying, exif = Image.new("RGB", (8, 4)), Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    lying.save(out, "JPEG", exif=exif)
    dataset = build(cells(tmp_path, monkeypatch, [out.getvalue()], several=False))
    assert dataset.fault("train/0") is None
    assert dataset.image("train/0").size == (4, 8)


@pytest.mark.parametrize("streaming", [False, True])
def test_rows_that_are_no_examples_are_left_out_and_told(tmp_path, monkeypatch, streaming):
    import datasets

    files = cells(tmp_path, monkeypatch, [encoded(1)] * 10, several=False)
    table = datasets.Dataset.from_parquet(str(files["train"]))
    columns = {name: list(table[name]) for name in table.column_names if name != "img"}
    columns["ask"][3] = " "
    changed = datasets.Dataset.from_dict({"img": [{"bytes": encoded(1), "path": None}] * 10, **columns})
    changed.cast_column("img", datasets.Image()).to_parquet(files["train"])
    with pytest.raises(DataError, match=r"row 3 of 'train': 'ask' .* write most_broken: 0\.01"):
        list(build(files, streaming=streaming, limit=10).examples("train", "questions"))
    dataset = without_broken_images(build(files, streaming=streaming, limit=10, most_broken=0.1))
    assert len(dataset.examples("train", "questions")) == 9
    assert list(dataset.skipped("train", "questions")) == ["train: entry 3"]
