"""Where what a record says is not what the files beside it give."""

from __future__ import annotations

import numpy

from workbench.reports.experiment_results import Study

DISAGREEMENT = 1e-4  # as a share; predictions round their scores to six digits, records do not


def disagreements(study: Study) -> list[str]:
    """In words: every metric that the predictions give otherwise, though record and predictions are as written."""
    found = []
    for place, record in enumerate(study.done):
        for name, sample in study.samples.items():
            written, computed = record.metrics.get(name, numpy.nan), sample.estimates[place]
            if abs(written - computed) > DISAGREEMENT * max(1.0, abs(written)):
                found.append(f"{record.id}: {name} is {written:.6g} in the record, {computed:.6g} from the predictions")
    return found
