"""What a report says of plugins that are not known to keep their contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.reports.experiment_results import Study
from workbench.reports.wording import joined
from workbench.storage.records import CONTRACTS

BROKEN, UNKNOWN = "broken", "not checked"


def warnings(study: Study) -> list[str]:
    """For the answer: which results rest on a plugin that breaks rules, and which."""
    found = []
    for plugin, told in _plugins(study, BROKEN).items():
        trials = sum(plugin in record.provenance.get(CONTRACTS, {}) for record in study.done)
        rules = joined([f"'{title}'" for title in told[BROKEN]])
        found.append(
            f"Not to be trusted: {plugin} breaks its contract ({rules}) and was run all the same. It is part of"
            f" {trials} of {len(study.done)} finished trials."
        )
    return found


def facts(study: Study) -> list[tuple[str, str]]:
    """For the provenance: every such plugin, and why."""
    broken = [
        (f"{plugin} breaks", "; ".join(f"{title}: {why}" for title, why in told[BROKEN].items()))
        for plugin, told in _plugins(study, BROKEN).items()
    ]
    unknown = [
        ("not checked against its contract", f"{plugin}: {told[UNKNOWN]}")
        for plugin, told in _plugins(study, UNKNOWN).items()
    ]
    return [*broken, *unknown]


def trial_notes(study: Study) -> list[str]:
    """For the table of trials: which of them have such a plugin."""
    notes = []
    for plugin in _plugins(study, BROKEN):
        having = [study.label(record) for record in study.records if plugin in record.provenance.get(CONTRACTS, {})]
        which = "all of them" if len(having) == len(study.records) else joined(having)
        notes.append(f"{plugin} breaks its contract. Trials with it: {which}.")
    return notes


def _plugins(study: Study, what: str) -> Mapping[str, Mapping[str, Any]]:
    """By plugin, what the records say of it."""
    told = [each for record in study.records for each in record.provenance.get(CONTRACTS, {}).items()]
    return {plugin: each for plugin, each in told if what in each}
