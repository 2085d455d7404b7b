"""Makes the variants of an experiment alike, as its `match` says: first the size of models, then how long they train.

What is found is the same on every machine and at every time, so that the ids of trials stay what they are. Models are
built where there is something to match, and torch is not imported before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from workbench.config.match_settings import MatchSettings, Sized

if TYPE_CHECKING:
    from workbench.config.trial import Trial
    from workbench.registry import Registry


class Matching:
    """A sizer for `load_experiment`."""

    def __init__(self, registry: Registry):
        self.registry = registry

    def __call__(self, trials: Sequence[Trial], like: Trial, settings: MatchSettings) -> Sized:
        """The trials, alike to one of them in what the settings say."""
        from workbench.runs.matched_parameters import MatchedParameters
        from workbench.runs.trial_data import TrialData

        data = TrialData(self.registry)
        sized = Sized(trials)
        if settings.parameters:
            sized = MatchedParameters(self.registry, data).sized(trials, like, settings.parameters)
        return sized
