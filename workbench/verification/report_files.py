"""Makes a report once more from what it was made of, and holds its files against that and against their checksums."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from workbench.registry import Registry
from workbench.reports.experiment_results import Study
from workbench.reports.manifest import MANIFEST, Manifest, made_with, read_manifest
from workbench.reports.page import write_report
from workbench.reports.results_data import read_study
from workbench.storage.checksums import measured
from workbench.storage.result_files import CURVE, PREDICTIONS, RECORD, TRIALS, ResultsError
from workbench.verification.outcome import Checked, Disagreement, Said, Unchecked
from workbench.verification.text_differences import differences

TEXTS = (".csv", ".html", ".md", ".tex")  # files that are read; plots are compared to the byte
AGAIN = "'workbench report' writes a new one"
ALL = "tables and sentences made anew"


@dataclass(frozen=True)
class ReportFiles:
    """A report's folder, what it is called, and its manifest; `results` is the results folder, where there is one."""

    folder: Path
    shown: str
    manifest: Manifest
    results: Path | None


def check_report(folder: Path, shown: str, results: Path | None, registry: Registry) -> Iterator[Said]:
    """Everything that can be said of a report's folder. Raises `ResultsError` where its manifest is damaged."""
    if not (folder / MANIFEST).is_file():
        yield Unchecked("the report", f"it has no {MANIFEST}: an earlier version wrote it; {AGAIN}")
        return
    manifest, whole, seal = read_manifest(folder)
    if not whole:
        yield Disagreement(f"{shown}/{MANIFEST}", "", "it is not what was written: its checksum differs")
    yield Checked(f"report, whose manifest has the checksum {seal}")
    report = ReportFiles(folder, shown, manifest, results)
    if results is None:
        yield Unchecked(ALL, "the results lie in no folder around the report", len(manifest.outputs))
        yield from _outputs(report, {}, "")
        return
    yield from _inputs(report)
    yield Unchecked("which results were out of date", "the report is made anew as of the day it was written")
    yield from _made_anew(report, registry)


def _inputs(report: ReportFiles) -> Iterator[Said]:
    """The files that the report was made from."""
    assert report.results is not None
    for name, written in report.manifest.inputs.items():
        file = report.results / name
        if not file.is_file():
            yield Disagreement(name, "", "it is gone, and the report was made from it")
        elif measured(file) != list(written):
            yield Disagreement(
                name, "", f"it is not the file that the report was made from. If a run changed it, {AGAIN}"
            )
    yield Checked("files that the report was made from", len(report.manifest.inputs))


def _made_anew(report: ReportFiles, registry: Registry) -> Iterator[Said]:
    """The report as it comes out now, by the functions that write it, beside the one that lies there."""
    manifest, results = report.manifest, report.results
    assert results is not None
    with TemporaryDirectory() as temporary:
        try:
            study = read_study(results, registry=registry, experiment=manifest.asked, command=manifest.command)
            if damaged := _damaged(study, manifest):
                raise ResultsError(damaged)
            study = _as_of(manifest, study)
            again = {} if _unlike(study, manifest) else _files_of(write_report(study, Path(temporary), registry).parent)
        except Exception as error:  # records that were changed may hold anything; what is wrong in them is told above
            yield Unchecked(ALL, f"the results give none ({type(error).__name__}: {error})", len(manifest.outputs))
            yield from _outputs(report, {}, "")
            return
    new = sorted(study.inputs.keys() - manifest.inputs.keys() - _left_out(study, manifest))
    yield from (Disagreement(name, "", f"it came after the report, which knows nothing of it; {AGAIN}") for name in new)
    if not again:
        yield Unchecked(ALL, f"here it is otherwise: {_unlike(study, manifest)}", len(manifest.outputs))
    yield from _outputs(report, again, _other_code(manifest))


def _outputs(report: ReportFiles, again: Mapping[str, bytes], other: str) -> Iterator[Said]:
    """Every file of the report against its checksum and, where it was made `again`, against that. `other` says which
    code wrote it where it is not the code that is here."""
    there, written = _files_of(report.folder), report.manifest.outputs
    for name in sorted({*there, *written, *again}):
        shown = f"{report.shown}/{name}"
        if name not in there:
            yield Disagreement(shown, "", "it is missing")
        elif name not in written and name not in again:
            yield Disagreement(shown, "", "it is no file of this report")
        else:
            intact = name in written and list(written[name]) == measured(report.folder / name)
            yield from _output(shown, there[name], again.get(name), intact, other)
    yield Checked("files of the report", len(there))


def _output(shown: str, there: bytes, again: bytes | None, intact: bool, other: str) -> Iterator[Said]:
    readable = shown.endswith(TEXTS)
    found = differences(shown, there, again) if readable and again is not None and there != again else []
    if found and intact and other:
        yield Unchecked(
            "places in tables and sentences", f"{other} writes them otherwise than it does here", len(found)
        )
    else:
        yield from (Disagreement(shown, each.place, each.told) for each in found)
    if not intact:
        yield Disagreement(shown, "", "it is not the file that was written: its checksum differs")
    elif again is not None and there != again and not found:
        what = "last digits, plots and images within texts" if readable else "plots to the last bit"
        yield Unchecked(what, "they come out otherwise here; their checksums agree")


def _files_of(folder: Path) -> dict[str, bytes]:
    """What the report's files hold, by name; the manifest and hidden files are none of it."""
    files = [file for file in folder.rglob("*") if file.is_file() and not file.name.startswith(".")]
    found = {file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(files)}
    return {name: content for name, content in found.items() if name != MANIFEST}


def _as_of(manifest: Manifest, study: Study) -> Study:
    """The study, with its final trials, with what was said on the day of the report about what is out of date."""
    there = {record.id for record in study.records}
    stale = {id_: tuple(told) for id_, told in manifest.stale.items() if id_ in there}
    final = _as_of(manifest, study.final) if study.final else None
    return replace(study, stale=stale, not_compared=tuple(manifest.not_compared), final=final)


def _unlike(study: Study, manifest: Manifest) -> str:
    """What this machine says of the metrics and that of the report did not, or the other way round."""
    now, then = list(study.notes), list(manifest.notes)
    return "; ".join([*(each for each in now if each not in then), *(each for each in then if each not in now)])


def _damaged(study: Study, manifest: Manifest) -> str:
    """Of the trials that the report was made from, those that are damaged now: without them it comes out otherwise."""
    used = [id_ for id_ in study.damaged if f"{TRIALS}/{id_}/{PREDICTIONS}" in manifest.inputs]
    return "; ".join(f"{TRIALS}/{id_}: {study.damaged[id_]}" for id_ in used)


def _left_out(study: Study, manifest: Manifest) -> set[str]:
    """The files of trials that are left out, where another version wrote the report: it may not have read them."""
    if not _other_code(manifest):
        return set()
    return {f"{TRIALS}/{record.id}/{name}" for record in study.left_out for name in (RECORD, CURVE)}


def _other_code(manifest: Manifest) -> str:
    """The code that wrote the report, where another is here."""
    now = made_with()
    apart = [f"{name} {version}" for name, version in manifest.made_with.items() if now.get(name) != version]
    return ", ".join(apart)
