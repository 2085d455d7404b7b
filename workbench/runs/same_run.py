"""How a worker on another machine shows that it may do stages of a run: it sees the run's folders, and has its code.

A worker that sees another folder under the same name, or computes with other versions, would keep results under keys
that are not theirs, and nobody would notice.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.code_hashes.package_code import CODE, core_code
from workbench.code_hashes.sources import version_of
from workbench.contracts.launcher import Reason
from workbench.errors import UserError, first_of
from workbench.model.build import build_dataset
from workbench.runs.stages import OUTSIDE
from workbench.storage.atomic import write_text

if TYPE_CHECKING:
    from workbench.config.trial import Trial
    from workbench.runs.plan import AnyStage
    from workbench.runs.workplace import Workplace

VERSION, DATA = "version:", "data:"


@dataclass(frozen=True)
class SameRun:
    """To be called in a worker before its first job. `proof` is a file that holds `token`; `made_of` says by name the
    versions of packages, and the code of the workbench, that the run's keys are made of."""

    proof: Path
    token: str
    made_of: Mapping[str, str]

    def __call__(self) -> list[str]:
        """Why no stage of the run may be done here; empty where there is no reason."""
        return [told for told in (self._unseen(), self._other_versions(), self._other_code()) if told]

    def _unseen(self) -> str:
        try:
            found = self.proof.read_text(encoding="utf-8")
        except OSError as error:
            return f"does not see {self.proof.parent} ({error.strerror})"
        return "" if found == self.token else f"sees another {self.proof.parent} than the run does"

    def _other_versions(self) -> str:
        told = []
        for name, version in sorted(self.made_of.items()):
            if name.startswith(VERSION):
                package = name.removeprefix(VERSION)
                here = version_of(package)
                told += [f"{package} {here} instead of {version}"] if here != version else []
        return f"has {first_of(told)}" if told else ""

    def _other_code(self) -> str:
        asked = {name: code for name, code in self.made_of.items() if name.startswith(CODE)}
        here = core_code(tuple(name.removeprefix(CODE) for name in asked))
        changed = sorted(name.removeprefix(CODE) for name, code in asked.items() if here.get(name) != code)
        return f"has another workbench than the run ({first_of(changed)})" if changed else ""


def check_here(stage: AnyStage, place: Workplace, changed: Sequence[str]) -> None:
    """`UserError` where the stage's data, or what has `changed` of its sources, is not what its key was made of."""
    other = [*changed, *(f"the data of {name}" for name in _other_data(stage, place))]
    if other:
        found = UserError(f"has another {first_of(other)} than the run was planned with")
        found.transient, found.reason = True, Reason.START
        raise found


@contextmanager
def proved(folder: Path, stages: Iterable[AnyStage]) -> Iterator[SameRun]:
    """Something in the folder that only who sees this very folder can find; it is gone afterwards."""
    token = secrets.token_hex(16)
    proof = folder.absolute() / f".proof-{socket.gethostname()}-{token[:8]}"
    made_of = {
        name: value for stage in stages for name, value in stage.made_of.items() if name.startswith((VERSION, CODE))
    }
    write_text(proof, token)
    try:
        yield SameRun(proof, token, made_of)
    finally:
        proof.unlink(missing_ok=True)


def _other_data(stage: AnyStage, place: Workplace) -> Iterator[str]:
    """The names of datasets whose files are others here."""
    for name, fingerprint in stage.made_of.items():
        if name.startswith(DATA):
            trial = stage.trial.elsewhere if name.endswith(OUTSIDE) else stage.trial
            here = place.fingerprints.once(
                (trial.components["dataset"],), lambda trial=trial: _fingerprint(trial, place)
            )
            if here != fingerprint:
                yield name.removeprefix(DATA)


def _fingerprint(trial: Trial, place: Workplace) -> str:
    return build_dataset(trial, place.registry).fingerprint()
