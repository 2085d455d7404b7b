"""Makes the variants of an experiment alike, as its `match` says: first the size of models, then how long they train.

What is found is the same on every machine and at every time, so that the ids of trials stay what they are. Models are
built where there is something to match, and torch is not imported before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.config.match_settings import FLOPS, TIME, MatchSettings, Sized

if TYPE_CHECKING:
    from workbench.config.trial import Trial
    from workbench.registry import Registry


class Matching:
    """A sizer for `load_experiment` of a file. Without `timed` lengths are not matched in seconds, as before they are
    measured."""

    def __init__(self, registry: Registry, file: Path, timed: bool = True):
        self.registry = registry
        self.file = file
        self.timed = timed

    def __call__(self, trials: Sequence[Trial], like: Trial, settings: MatchSettings) -> Sized:
        """The trials, alike to one of them in what the settings say."""
        from workbench.runs.flops import FlopCounts
        from workbench.runs.matched_length import MatchedLength, flops_of_length
        from workbench.runs.matched_parameters import MatchedParameters
        from workbench.runs.step_seconds import file_beside, seconds_of_length
        from workbench.runs.trial_data import TrialData

        data = TrialData(self.registry)
        sized = Sized(trials)
        if settings.parameters:
            sized = MatchedParameters(self.registry, data).sized(trials, like, settings.parameters)
        if settings.flops and not sized.faults:
            amounts = flops_of_length(FlopCounts(self.registry, data), settings.flops)
            sized = sized.then(MatchedLength(FLOPS, settings.flops, data).sized(sized.trials, like, amounts))
        if settings.time and self.timed and not sized.faults:
            amounts = seconds_of_length(file_beside(self.file), settings.time, data)
            sized = sized.then(MatchedLength(TIME, settings.time, data).sized(sized.trials, like, amounts))
        return sized
