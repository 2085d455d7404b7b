"""The answers of an experiment taken apart by the group of the question: type of answer, language, domain, strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas

from workbench.reports.metric_samples import Reading, group_samples
from workbench.reports.trial_rows import TrialRows
from workbench.statistics.estimates import Sample
from workbench.storage.conditions import PRIOR, WITH_IMAGE


@dataclass(frozen=True)
class QuestionGroups:
    """The groups that the questions of some trials are of.

    `predictions` are those of each trial by its id, in the order of `seeds`; `readings` say how metrics are read from
    them.
    """

    readings: Sequence[Reading]
    predictions: Mapping[str, pandas.DataFrame]
    seeds: Sequence[str]
    resamples: int

    @cached_property
    def names(self) -> list[str]:
        """The groups, in alphabetical order; none where no question has any."""
        return sorted({name for frame in self.predictions.values() for name in frame["group"].unique() if name})

    @cached_property
    def samples(self) -> dict[str, dict[str, Sample]]:
        """By group: every metric, and its details, over its questions and its images alone."""
        frames = list(self.predictions.values())
        return {each: group_samples(self.readings, frames, each, self.seeds, self.resamples) for each in self.names}

    @cached_property
    def prior(self) -> dict[str, dict[str, Sample]]:
        """By group: the same of what the prior answers, which sees no image; empty where it was not asked."""
        frames = list(self.predictions.values())
        return {
            each: group_samples(self.readings, frames, each, self.seeds, self.resamples, PRIOR) for each in self.names
        }

    def asked(self, id_: str, group: str) -> tuple[int, int]:
        """How many questions of a group a trial answered, about how many images."""
        trial = TrialRows(self.predictions[id_])
        shown = trial.where("group", group, trial.where("condition", WITH_IMAGE))
        images, _ = trial.coded("image")
        return len(shown), len(pandas.unique(images[shown]))

    def scores(self, metric: str) -> pandas.DataFrame:
        """The metric of each trial (rows) in each group (columns)."""
        columns = {group: samples.get(metric) for group, samples in self.samples.items()}
        ids = list(self.predictions)
        return pandas.DataFrame({group: each.estimates for group, each in columns.items() if each}, index=ids)
