"""What can be said of a comparison, word for word as it stands in tables.

With two seeds or more of all that is compared a verdict is about the methods: better, worse. With one seed it is about
the models that were trained, which another seed would have made otherwise: this model answered better, or worse.
"""

from __future__ import annotations

import math

from workbench.statistics.estimates import LEVEL, Estimate

BASELINE, BETTER, WORSE, UNCLEAR, NO_RESULT = "baseline", "better", "worse", "not distinguishable", "no result"
SAME = "same answers"
MODEL_BETTER, MODEL_WORSE = "this model answered better", "this model answered worse"
DEPENDS, MODELS_DEPEND = "depends", "depends, in these models"


BETTER_OF_ANY, WORSE_OF_ANY = (BETTER, MODEL_BETTER), (WORSE, MODEL_WORSE)


def difference_verdict(estimate: Estimate, p: float, same_answers: bool, higher_is_better: bool) -> str:
    """Of a difference whose p is corrected for all that is asked with it."""
    if same_answers:
        return SAME
    if math.isnan(p):
        return NO_RESULT
    if p >= 1 - LEVEL:
        return UNCLEAR
    if (estimate.interval.estimate > 0) == higher_is_better:
        return BETTER if estimate.luck else MODEL_BETTER
    return WORSE if estimate.luck else MODEL_WORSE


def dependence_verdict(estimate: Estimate, p: float) -> str:
    """Of a difference of differences."""
    if not p < 1 - LEVEL:
        return UNCLEAR
    return DEPENDS if estimate.luck else MODELS_DEPEND
