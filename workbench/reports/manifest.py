"""What a report was made of and what it is made up of, file by file: `manifest.json` beside the page.

With it `workbench verify` can say whether records and report are still the ones that belong together, and make the
report once more from what it was made of. Checksums find what was changed by one who did not think of them; to find
more, keep the manifest's own checksum elsewhere.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import workbench
from workbench.reports.asked_experiment import AskedExperiment, AskedTrial
from workbench.reports.experiment_results import Study
from workbench.storage.atomic import write_text
from workbench.storage.checksums import SEAL, is_sealed, measured, sealed
from workbench.storage.experiment_summary import summary_of
from workbench.storage.hashing import digest
from workbench.storage.result_files import ResultsError, check_fields, read_json

MANIFEST = "manifest.json"
AGAIN = "Write the report again"
PACKAGES = ("jinja2", "numpy", "pandas", "scipy")  # whose numbers and words a report holds


@dataclass(frozen=True)
class Manifest:
    """`inputs` and `outputs` have [bytes, SHA-256] of files by name, in the results folder and in that of the report.

    `made_with` is the code that wrote it; `experiment` the file that was asked for, or None; `stale`, `not_compared`
    and `notes` are what was said of the results on the machine and on the day that it was written.
    """

    made_with: dict[str, str]
    experiment: dict[str, Any] | None
    command: str
    stale: dict[str, Any]
    not_compared: list[str]
    notes: list[str]
    inputs: dict[str, Any]
    outputs: dict[str, Any]

    @property
    def asked(self) -> AskedExperiment | None:
        """The experiment file as it was then, for reports of one."""
        if self.experiment is None:
            return None
        trials = tuple(AskedTrial(**trial) for trial in self.experiment["trials"])
        return AskedExperiment(Path(self.experiment["path"]), summary_of(self.experiment["summary"]), trials)


def write_manifest(study: Study, folder: Path) -> None:
    """Write the manifest of a report whose other files lie in the folder already."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    manifest = Manifest(
        made_with=made_with(),
        experiment=_plain(study.asked) if study.asked else None,
        command=study.command,
        stale={id_: list(told) for each in (study, study.final) if each for id_, told in each.stale.items()},
        not_compared=list(study.not_compared),
        notes=list(study.notes),
        inputs=dict(study.inputs),
        outputs={file.relative_to(folder).as_posix(): measured(file) for file in files},
    )
    write_text(folder / MANIFEST, json.dumps(sealed(dataclasses.asdict(manifest)), indent=1) + "\n")


def read_manifest(folder: Path) -> tuple[Manifest, bool, str]:
    """The manifest of a report's folder, whether it is as it was written, and its own checksum; `ResultsError` when it
    is damaged."""
    file = folder / MANIFEST
    content = read_json(file, AGAIN)
    check_fields(file, content, Manifest, AGAIN)
    names = [field.name for field in dataclasses.fields(Manifest)]
    manifest = Manifest(**{name: content[name] for name in names})
    try:
        _ = manifest.asked
    except (KeyError, TypeError) as error:
        raise ResultsError(f"{file} is damaged: 'experiment' is none ({error}). {AGAIN}") from error
    return manifest, is_sealed(content) is True, str(content.get(SEAL, ""))


def made_with() -> dict[str, str]:
    """The code that writes reports here: another may write the same results in other words and digits."""
    here = Path(__file__).parent
    sources = sorted(file for file in here.rglob("*") if file.suffix in (".py", ".html", ".css", ".js"))
    code = digest([(file.relative_to(here).as_posix(), file.read_text(encoding="utf-8")) for file in sources])
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"workbench": workbench.__version__, "workbench/reports": code, **versions}


def _plain(asked: AskedExperiment) -> dict[str, Any]:
    return {**dataclasses.asdict(asked), "path": str(asked.path)}
