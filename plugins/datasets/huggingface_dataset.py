"""Data sets of the Hugging Face hub, or parquet files here, through the library `datasets`."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from PIL import Image
from pydantic import Field, PositiveInt

from workbench import (
    BrokenEntries,
    DataError,
    Dataset,
    Example,
    UserError,
    check_background,
    did_you_mean,
    ends_of,
    fault_of_image,
    file_hash,
    hookimpl,
    leads_out,
    read_rgb,
    similar_file,
    to_rgb,
)

from ._columns import AskedOfAll, Columns, Task, column_names
from ._hub import library, places
from ._options import WHITE, Background, MostBroken, OutsidePaths
from ._rows import answers_of, check_columns, is_list, text_of, with_names

COLUMNS = {"image": "image", "question": "question", "answers": "answers", "group": "group"}
OPTIONAL = "group"
Limit = Annotated[PositiveInt | None, Field(description="the first so many rows of each split; null: all")]


class HuggingFaceDataset(Dataset):
    """Rows of a data set in the library `datasets` (pip install workbench[data]), each an image and a question.

    `columns` gives other names for `image`, `question`, `answers` and `group`. Answers may be a text, a number, a
    class, a list of texts, or of objects with an `answer`; the column of images may hold lists of them. What the hub
    has is downloaded once.
    """

    def __init__(
        self,
        *,
        source: Annotated[
            str | dict[str, Path | tuple[Path, ...]],
            Field(description="id of the hub, or parquet files of each split, as {train: [FILE, FILE], test: FILE}"),
        ],
        config: Annotated[str | None, Field(description="configuration on the hub; null: its default")] = None,
        revision: Annotated[
            str | None, Field(description="commit, branch or tag on the hub; null: the newest commit")
        ] = None,
        splits: Annotated[
            dict[str, str] | None,
            Field(description="what the hub calls our splits, as {train: train, test: validation}"),
        ] = None,
        columns: Columns = None,
        question: AskedOfAll = None,
        task: Task = "questions",
        streaming: Annotated[
            bool, Field(description="fetch only the first rows, as many as limit says, and keep them in memory")
        ] = False,
        limit: Limit = None,
        outside_paths: OutsidePaths = False,
        background: Background = WHITE,
        most_broken: MostBroken = 0.0,
    ):
        self.columns, self.named = column_names(COLUMNS, columns), tuple(columns or ())
        self.hub, self.config, self.revision = source if isinstance(source, str) else None, config, revision
        self.files = {} if isinstance(source, str) else _lists_of(source)
        self.names = splits or {split: split for split in self.files or ("train", "test")}
        self.question, self.task, self.streaming, self.limit = question, task, streaming, limit
        self.outside_paths, self.background, self.most_broken = outside_paths, background, most_broken
        self._broken = BrokenEntries(most_broken)
        self._check()
        self._rows, self._images = dict[str, Any](), dict[str, Any]()
        self._examples: dict[str, tuple[Example, ...]] = {}

    def examples(self, split: str, task: str) -> Sequence[Example]:
        """In the order of the rows. Raises `DataError` for a split or task that is not there, or a faulty row."""
        for word, known, what in ((split, self.names, "split"), (task, [self.task], "task")):
            if word not in known:
                hint = did_you_mean(word, known)
                raise DataError(f"there is no {what} '{word}'.{hint} There are: {', '.join(known)}")
        if split not in self._examples:
            self._examples[split] = tuple(self._read(split))
        return self._examples[split]

    def skipped(self, split: str, task: str) -> Mapping[str, str]:
        """The rows that are no examples, and why."""
        return self._broken.found(split, task)

    def splits(self) -> Sequence[str]:
        """Those the experiment names."""
        return tuple(self.names)

    def tasks(self) -> Sequence[str]:
        """The one the experiment names."""
        return (self.task,)

    def image(self, key: str) -> Image.Image:
        """The image of a row, `train/12`, or one of its list, `train/12/0`."""
        split, number, place = _place(key)
        cell = self._table(split)[number][self.columns["image"]]
        cell = cell if place is None else cell[place]
        try:
            if isinstance(cell, Image.Image):
                return to_rgb(cell, self.background)
            source = io.BytesIO(cell["bytes"]) if cell.get("bytes") else self._file(split, number, cell["path"])
            return read_rgb(source, self.background)
        except (OSError, SyntaxError, ValueError, TypeError, AttributeError, Image.DecompressionBombError) as error:
            raise DataError(f"row {number} of '{split}': its image cannot be decoded ({error})") from error

    def fault(self, key: str) -> str | None:
        """Why the image of a row cannot be shown, with the row; most are judged by their first and last bytes."""
        split, number, place = _place(key)
        where = f"{self._called(split)}: the image of row {number} of '{split}'"
        cell = self._cell(split, number)
        cell = cell if place is None else cell[place]
        content, path = (cell["bytes"], cell["path"]) if cell.is_valid else (cell, cell)
        if content.is_valid:
            buffer = content.as_buffer()
            ends = buffer[:32].to_pybytes(), buffer[max(buffer.size - 16, 0) :].to_pybytes()
        elif path.is_valid:
            file = self._file(split, number, path.as_py())
            if not file.is_file():
                return f"{where} is missing: there is no {file}"
            ends = ends_of(file)
        else:
            return f"{where} is missing: the cell is empty"
        fault = fault_of_image(*ends, lambda: self.image(key))
        return fault and f"{where} {fault}"

    def fingerprint(self) -> str:
        """Of the files' content, or of what the library calls the downloaded data, and the options."""
        data: Any = {split: [file_hash(file) for file in files] for split, files in self.files.items()}
        if self.hub is not None:
            kept = {} if self.streaming else {split: self._table(split)._fingerprint for split in self.names}
            data = (self.hub, self.config, self.revision, kept)
        options = (self.names, self.columns, self.question, self.task, self.limit, self.background)
        return hashlib.sha256(repr((data, options)).encode()).hexdigest()[:16]

    def _check(self) -> None:
        check_background(self.background)
        if not self.hub and not self.files:
            raise UserError("source is empty: write {train: FILE, test: FILE}, or an id of the hub as OWNER/NAME")
        if self.streaming and self.limit is None:
            raise UserError("with streaming, give the limit: how many rows of each split are fetched")
        if self.streaming and self.hub is not None and self.revision is None:
            raise UserError(
                "with streaming, give the revision (a commit of the hub), or results could not be told apart"
            )
        for file in [file for files in self.files.values() for file in files]:
            if not file.is_file():
                hint = similar_file(file)
                raise DataError(f"there is no parquet file {file}.{hint} Paths are relative to the experiment file")

    def _read(self, split: str) -> Iterator[Example]:
        texts: Any = self._table(split)
        names = {meaning: column for meaning, column in self.columns.items() if self._wants(meaning)}
        if not self.streaming:  # reading rows without their images is many times faster
            texts = texts.remove_columns(self.columns["image"])
        counts = self._counts(split)
        for number, path in self._paths(split):
            self._file(split, number, path)

        def example(number: int, row: Mapping[str, Any]) -> Example:
            where, own = f"row {number} of '{split}'", f"{split}/{number}"
            keys = [own] if counts is None else [f"{own}/{place}" for place in range(counts[number])]
            if not keys:
                raise DataError(f"{where}: '{self.columns['image']}' holds no image")
            check_columns(row, [name for meaning, name in names.items() if self._must_have(meaning)], where)
            asked = self.question or text_of(row[names["question"]], f"{where}: '{names['question']}'")
            answers = answers_of(row[names["answers"]], f"{where}: '{names['answers']}'")
            group = row.get(names[OPTIONAL])
            return Example(own, keys[0], asked, answers, "" if group is None else str(group), more=tuple(keys[1:]))

        return self._broken.without(split, self.task, texts, example)

    def _counts(self, split: str) -> list[int] | None:
        """How many images each row has; None where it is one, and no list."""
        table, column = self._table(split), self.columns["image"]
        if self.streaming:
            cells = [row[column] for row in table]
            return [len(cell) for cell in cells] if any(isinstance(cell, list) for cell in cells) else None
        if not is_list(table.features[column]):
            return None
        batches = table.select_columns([column]).with_format("arrow").iter(1000)
        chunks = (chunk for batch in batches for chunk in batch[column].chunks)
        return [count or 0 for chunk in chunks for count in chunk.value_lengths().to_pylist()]

    def _paths(self, split: str) -> Iterator[tuple[int, str]]:
        """The images that are paths, not bytes, each behind the number of its row."""
        table, column = self._table(split), self.columns["image"]
        if self.streaming:
            cells = ((number, row[column]) for number, row in enumerate(table))
            each = ((number, one) for number, cell in cells for one in (cell if isinstance(cell, list) else [cell]))
            yield from ((number, one["path"]) for number, one in each if one and not one["bytes"] and one["path"])
            return
        batches = table.select_columns([column]).with_format("arrow").iter(1000)
        for first, batch in zip(range(0, len(table), 1000), batches, strict=True):
            images = batch[column].combine_chunks()
            rows = range(first, first + len(images))
            if hasattr(images, "value_lengths"):
                counts = images.value_lengths().to_pylist()
                rows = [row for row, count in zip(rows, counts, strict=True) for _ in range(count or 0)]
                images = images.flatten()
            without, paths = images.field("bytes").is_null().to_pylist(), images.field("path").to_pylist()
            yield from ((row, path) for row, none, path in zip(rows, without, paths, strict=True) if none and path)

    def _file(self, split: str, number: int, path: str) -> Path:
        """Where an image lies that a row names: beside the parquet file, or where the library keeps what it fetched."""
        folders = [file.parent for file in self.files[split]] if self.files else places(self.hub or "")
        if not self.outside_paths and all(leads_out(path, folder) for folder in folders):
            where = f"{self._called(split)}: row {number} of '{split}'"
            told = f"'{self.columns['image']}' is {path!r}, which leads out of {folders[0]}"
            raise DataError(f"{where}: {told}. Put the image there, or write outside_paths: true for the dataset")
        files = [folder / path for folder in folders]
        return next((file for file in files if file.exists()), Path(path) if self.outside_paths else files[0])

    def _cell(self, split: str, number: int) -> Any:
        """What the column of images holds there, not copied: a scalar of pyarrow."""
        column = self.columns["image"]
        if split not in self._images:
            table = self._table(split)
            self._images[split] = table if self.streaming else table.select_columns([column]).with_format("arrow")
        if not self.streaming:
            return self._images[split][number][column][0]
        import pyarrow

        return pyarrow.scalar(self._images[split][number][column])

    def _must_have(self, meaning: str) -> bool:
        """Whether a row needs that column; its image is looked for with the table's."""
        return meaning != "image" and (meaning != OPTIONAL or OPTIONAL in self.named)

    def _wants(self, meaning: str) -> bool:
        return not (meaning == "question" and self.question)

    def _table(self, split: str) -> Any:
        """The rows, their images not decoded."""
        if split not in self._rows:
            self._rows[split] = self._load(split)
        return self._rows[split]

    def _called(self, split: str) -> str:
        """Where the rows of a split come from, in words."""
        return self.hub or ", ".join(map(str, self.files[split]))

    def _load(self, split: str) -> Any:
        datasets = library()
        try:
            if self.hub is not None:
                name = self.names[split]
                table = datasets.load_dataset(
                    self.hub, self.config, split=name, revision=self.revision, streaming=self.streaming
                )
            else:
                files = {self.names[split]: [str(file) for file in self.files[split]]}
                table = datasets.load_dataset(
                    "parquet", data_files=files, split=self.names[split], streaming=self.streaming
                )
            column = self.columns["image"]
            check_columns(table.features or {column: None}, [column], f"the columns of '{split}'")
            table = with_names(table, datasets, self.columns, split)
            encoded = datasets.Image(decode=False)
            several = is_list((table.features or {}).get(column))
            table = table.cast_column(column, datasets.Sequence(encoded) if several else encoded)
            if self.streaming:
                return list(table.take(self.limit))
            return table if self.limit is None else table.select(range(min(self.limit, len(table))))
        except UserError:
            raise
        except Exception as error:  # the library and what it calls raise dozens of kinds
            raise DataError(f"{self._called(split)} cannot be loaded as '{split}': {error}") from error


def _place(key: str) -> tuple[str, int, int | None]:
    """The split, the row, and the place in its list, where it has one, of an image."""
    split, number, *place = key.split("/")
    return split, int(number), int(place[0]) if place else None


def _lists_of(files: Mapping[str, Path | Sequence[Path]]) -> dict[str, list[Path]]:
    """The files of each split, where a single one may stand for a list."""
    return {split: [each] if isinstance(each, Path) else list(each) for split, each in files.items()}


@hookimpl
def register_datasets(register):
    """Any data set of images and questions that the library `datasets` loads."""
    register("huggingface_dataset", HuggingFaceDataset)
