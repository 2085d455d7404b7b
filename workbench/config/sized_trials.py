"""The trials of a file that has a `match`, made alike by whoever can size models, and what is wrong with that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from workbench.config.grid import Axis
from workbench.config.match_settings import MatchSettings, Sized, Sizer, check_match
from workbench.config.problems import ExperimentError, Problems
from workbench.config.trial import Trial
from workbench.errors import UserError

KEY = "match"


def make_alike(
    trials: Sequence[Trial],
    baseline: Mapping[str, str],
    axes: Sequence[Axis],
    match: MatchSettings | None,
    sizer: Sizer | None,
    problems: Problems,
) -> Sized:
    """The trials made alike to the baseline, which has these labels; as they are without a `match`. `ExperimentError`
    tells what cannot be, `UserError` that there is a `match` and nobody to do it: never does it go unnoticed."""
    if match is None:
        return Sized(trials)
    problems.add_all(((KEY, *keys), message) for keys, message in check_match(match, trials, axes))
    problems.stop_if_any()
    if sizer is None:
        raise UserError("the file has a 'match': load it with a sizer (workbench.runs.matching)")
    like = next(trial for trial in trials if all(trial.axes[axis] == text for axis, text in baseline.items()))
    try:
        sized = sizer(trials, like, match)
    except ExperimentError:
        raise
    except UserError as error:  # such as data that is not here: who wants the report alone can do without
        sized = Sized(trials, faults=(((), f"the variants cannot be made alike: {error}"),))
    problems.add_all(((KEY, *keys), message) for keys, message in sized.faults)
    problems.stop_if_any()
    return sized
