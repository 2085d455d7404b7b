"""Checks one trial's folder: the record, the answers beside it, and what ties them together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from workbench.registry import Registry
from workbench.storage.checksums import is_sealed
from workbench.storage.conditions import GAIN, OUTSIDE, PRIOR
from workbench.storage.hashing import digest
from workbench.storage.records import DONE, FILES, LIKELY, Record, altered_files, record_from
from workbench.storage.result_files import CURVE, PREDICTIONS, RECORD, read_json
from workbench.verification.asked_controls import LeftOut, control_faults, controls_of
from workbench.verification.outcome import Checked, Disagreement, Said, Unchecked
from workbench.verification.outside_checks import check_outside
from workbench.verification.prediction_lines import PredictionLine, faults_of, read_prediction_lines
from workbench.verification.rescoring import Rescored, rescore
from workbench.verification.score_checks import check_lines, check_means, check_numbers, check_scales

ALTERED = "it is not the file that was written: its checksum differs"


def check_trial(folder: Path, shown: str, registry: Registry) -> Iterator[Said]:
    """Everything that can be said of a trial's folder, which is called `shown`. Raises `ResultsError` where the record
    itself cannot be read."""
    content = read_json(folder / RECORD)
    record = record_from(folder / RECORD, content)
    name = f"{shown}/{RECORD}"
    whole = is_sealed(content)
    if whole is False:
        yield Disagreement(name, "", ALTERED)
    if whole is None:
        yield Unchecked("records by their own checksums", "they were written by a version that gave them none")
    if record.id != folder.name:
        yield Disagreement(name, "id", f"{record.id!r} stands there, its folder is {folder.name!r}")
    if digest(content["spec"]) != record.id:
        yield Disagreement(name, "spec", f"it is that of the trial {digest(content['spec'])}, not of {record.id}")
    yield Checked("records")
    yield from _files(folder, shown, record)
    yield from _curve(folder / CURVE, f"{shown}/{CURVE}")
    if record.status == DONE:
        yield from _answers(folder, shown, record, whole, registry)


def _files(folder: Path, shown: str, record: Record) -> Iterator[Said]:
    """The files beside a record, by their checksums in it."""
    names = record.provenance.get(FILES, {})
    unknown = [each for each in (PREDICTIONS, CURVE) if each not in names]
    if unknown:
        yield Unchecked("files beside records by their checksums", "the record has none of them", len(unknown))
    for name in names:
        if not (folder / name).is_file():
            yield Disagreement(f"{shown}/{name}", "", "it is missing")
    for name in altered_files(folder, record):
        yield Disagreement(f"{shown}/{name}", "", ALTERED)
    yield Checked("files beside records compared with their checksums", len(names))


def _curve(file: Path, name: str) -> Iterator[Said]:
    """Whether every step of the training curve can be read; what it says was measured once."""
    if not file.is_file():
        return
    lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, text in enumerate(lines, start=1):
        try:
            json.loads(text or "{}")
        except (ValueError, RecursionError) as error:
            yield Disagreement(name, f"line {number}", f"it is no JSON: {error}")
    yield Unchecked("steps of training curves", "only their checksums tell", sum(map(bool, lines)))


def _answers(folder: Path, shown: str, record: Record, whole: bool | None, registry: Registry) -> Iterator[Said]:
    """The lines of predictions, and what the record says of them."""
    file, name, record_name = folder / PREDICTIONS, f"{shown}/{PREDICTIONS}", f"{shown}/{RECORD}"
    if not file.is_file():
        if PREDICTIONS not in record.provenance.get(FILES, {}):
            yield Disagreement(name, "", "it is missing")
        return
    lines, damaged = read_prediction_lines(file, name)
    yield from damaged
    if damaged:
        yield Unchecked("scores and numbers of a trial", "a line of its predictions is damaged")
        return
    left_out = LeftOut(controls_of(record), lines)
    yield from faults_of(lines, left_out.of, name)
    yield from control_faults(record, lines, left_out, (record_name, name))
    asked = {each: [line.prediction() for line in lines.get(each, ())] for each in left_out.conditions}
    rescored = rescore(record, asked, registry)
    yield from _told(record, lines, rescored, whole, (record_name, name))


def _told(
    record: Record,
    lines: dict[str, list[PredictionLine]],
    rescored: Rescored,
    whole: bool | None,
    files: tuple[str, str],
) -> Iterator[Said]:
    record_name, name = files
    yield from check_lines(lines, rescored, name)
    yield from check_numbers(record, rescored, whole, record_name)
    yield from check_means(record, lines, rescored, record_name)
    yield from check_scales(record, rescored, record_name)
    yield from check_outside(record, lines, rescored, files)
    yield Unchecked("losses of answers", "only the model can tell", _losses(lines))
    likely = sum(LIKELY in line.content for each in lines.values() for line in each)
    if likely:
        yield Unchecked("probabilities of answers", "only the model can tell", likely)
    if lines.get(PRIOR):
        yield Unchecked("answers of the prior", "only the training split can tell", len(lines[PRIOR]))
    if rescored.metrics and not rescored.numbers:
        yield Unchecked("scores and numbers of a trial", "not every condition was asked")
    every = {*rescored.metrics, *rescored.not_usable, GAIN, OUTSIDE}
    measured = [each for each in record.metrics if each.partition(".")[0] not in every]
    if measured:
        yield Unchecked("numbers measured while the trial ran", f"such as {measured[0]}", len(measured))


def _losses(lines: Mapping[str, Sequence[PredictionLine]]) -> int:
    return sum("loss" in line.content for name, each in lines.items() if name != PRIOR for line in each)
