"""Why a stage has to be done: its trial is new, what it left is damaged, or something it is made of is another one."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.runs.stage_keys import differences
from workbench.storage.hashing import MadeOf
from workbench.storage.record_outline import Outline
from workbench.storage.records import DONE, FAILED, ResultsError, read_record

if TYPE_CHECKING:
    from workbench.registry import Registry
    from workbench.runs.stages import Stage


SHOWN = 3  # damaged trials that a note names


def damage_notes(trials: Path, damaged: Mapping[str, str]) -> list[str]:
    """In words: which finished trials in the folder `trials` are made again, since a file is not what was written."""
    if not damaged:
        return []
    named = "; ".join([f"{trials.name}/{id_}: {why}" for id_, why in list(damaged.items())[:SHOWN]])
    more = f"; and {len(damaged) - SHOWN:,} more" if len(damaged) > SHOWN else ""
    count = "1 trial is" if len(damaged) == 1 else f"{len(damaged):,} trials are"
    return [f"{count} made again, as what was kept in {trials.parent} is damaged: {named}{more}"]


class StageReasons:
    """Compares stages with what the records of their trials say: `records` by trial id, which lie in `trials`; of those
    that are `damaged`, which file is."""

    def __init__(
        self, registry: Registry, trials: Path, records: Mapping[str, Outline | None], damaged: Mapping[str, str]
    ):
        self.registry = registry
        self.trials = trials
        self.records = records
        self.damaged = damaged
        self._came_from = {each.provenance.before for each in records.values() if each and each.status == DONE}
        self._looked_into: tuple[str, MadeOf] = "", {}

    def why(self, stage: Stage, chain: Sequence[Stage], missing: Mapping[str, object]) -> str:
        """The reason of a stage that is not there, in words; `chain` is its trial's, `missing` what is done before."""
        if stage.key in self._came_from:
            return "what it left is gone or damaged"
        id_ = chain[-1].trial.id
        if id_ in self.damaged:
            return self.damaged[id_]
        record = self.records[id_]
        made_of = self._made_of(id_) if record else {}
        if record is None or not made_of:
            return "new"
        if stage.key in (record.provenance.key, record.provenance.before):
            return "it failed" if record.status == FAILED else "its record is damaged"
        named = {name: value for name, value in made_of.items() if name in stage.made_of}
        told = differences(named, stage.made_of, self.registry)
        before = next((each for each in chain if each.key == stage.before and each.key in missing), None)
        return ", ".join(told) or (f"{before.name} is made anew" if before else "its settings changed")

    def _made_of(self, id_: str) -> MadeOf:
        """What the record of a trial says its evaluation was made of."""
        if self._looked_into[0] != id_:
            with contextlib.suppress(ResultsError):  # another run has removed it just now
                self._looked_into = id_, read_record(self.trials / id_).provenance.get("made_of", {})
        return self._looked_into[1]
