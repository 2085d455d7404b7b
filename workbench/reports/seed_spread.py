"""The spread between seeds that an experiment gives, or borrows from results that have more seeds than its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from workbench.statistics.design import SEED
from workbench.statistics.seed_noise import Spread, pooled_spread
from workbench.storage.experiment_summary import Summary
from workbench.storage.hashing import digest
from workbench.storage.records import DONE, Record, read_records
from workbench.storage.result_files import ResultsError


def seed_spread(summary: Summary, records: Sequence[Record], results_folder: Path) -> Spread | None:
    """As `statistics: {seed_spread: ...}` says, None where it says nothing. A number is in points for a share, else in
    the metric's own unit. `ResultsError` where the folder to borrow from gives none."""
    given, metric = summary.statistics.get("seed_spread"), summary.metrics[0]
    if given is None:
        return None
    percent = _is_share(records, metric)
    if not isinstance(given, str):
        return Spread(float(given) / (100 if percent else 1))
    folder = results_folder.parent / given
    if not folder.is_dir():
        raise ResultsError(
            f"'seed_spread: {given}' names no results folder: there is no {folder}. Give the name of one beside"
            f" {results_folder}, a path, or a number"
        )
    scores: dict[str, list[float]] = {}
    borrowed = read_records(folder)
    if records and borrowed and _is_share(borrowed, metric) != percent:
        raise ResultsError(
            f"'seed_spread: {given}': '{metric}' is {'no' if percent else 'a'} share in {folder}, and"
            f" {'a' if percent else 'no'} share here. Give results with the same metric, or a number"
        )
    for record in borrowed:
        if record.status == DONE and not math.isnan(record.metrics.get(metric, math.nan)):
            configuration = digest({**record.spec, SEED: None})  # labels alone may be those of another file, or split
            scores.setdefault(configuration, []).append(record.metrics[metric])
    found = pooled_spread(scores.values())
    if found is None:
        raise ResultsError(
            f"'seed_spread: {given}': no configuration in {folder} has '{metric}' from two seeds or more. Give results"
            " that have, or a number"
        )
    return found


def _is_share(records: Sequence[Record], metric: str) -> bool:
    return any(record.scales.get(metric, {}).get("percent", False) for record in records)
