"""How the numbers of a report were made, with the numbers of its experiment."""

from __future__ import annotations

from workbench.reports.correction_notes import corrected_for
from workbench.reports.experiment_results import Study
from workbench.reports.number_format import counted
from workbench.reports.tables import format_of
from workbench.reports.trial_rows import TrialRows
from workbench.reports.visual_gains import gain_method
from workbench.storage.conditions import WITH_IMAGE

PAIRS = {
    "baseline_first": "Every two values of an axis are compared once, and the same p stands wherever the two are spoken"
    " of. Of the error allowed, four fifths go to comparisons with the baselines, a tenth each to other pairs and to"
    " dependences between axes; what is not needed passes on.",
    "all": "Every two values of an axis are compared once, all with the same weight, and the same p stands wherever the"
    " two are spoken of. A tenth of the error allowed goes to dependences between axes.",
    "baseline": "Values are compared with the baseline of their axis alone. A tenth of the error allowed goes to"
    " dependences between axes.",
}


def methods(study: Study) -> list[str]:
    """A paragraph each: scores, intervals, verdicts, dependences, what the image is worth."""
    if not study.samples:
        return ["There are no predictions, so nothing was computed."]
    paragraphs = [_scores(study), *study.notes, _intervals(study)]
    if study.primary in study.samples and study.compared:
        paragraphs.append(_verdicts(study))
    if len(study.compared) > 1:
        paragraphs.append(
            "An average over other axes misleads where a difference depends on them. So for every two axes the"
            " difference to the baseline at one value of the other axis is held against that at the other's baseline,"
            " over the same combinations and resamples."
        )
    if study.has_gain:
        paragraphs.append(gain_method(study, format_of(study, study.primary).words))
    return paragraphs


def _scores(study: Study) -> str:
    told = (
        f"Every number here is computed from record.json and predictions.jsonl of {counted(len(study.done), 'trial')}"
    )
    if study.primary not in study.samples:
        return f"{told}. Answers are generated, not picked from a list."
    sample, form = study.samples[study.primary], format_of(study, study.primary)
    asked = max(len(TrialRows(frame).where("condition", WITH_IMAGE)) for frame in study.predictions.values())
    return (
        f"{told}; {form.words} is {_made_of(study)} {asked:,} questions about {sample.images:,} images. Answers are"
        " generated, not picked from a list."
    )


def _made_of(study: Study) -> str:
    reading = next(each for each in study.readings if each.name == study.primary)
    return "the mean over" if reading.metric is None else "made of the answers together to"


def _intervals(study: Study) -> str:
    resamples = len(next(iter(study.samples.values())).replicates)
    told = (
        f"Intervals are 95 % intervals from {resamples:,} bootstrap resamples. Whole images are resampled, as"
        " questions about one image are answered right or wrong together, and all trials see the same resamples,"
        " which pairs every difference (Efron & Tibshirani 1993; Dror et al. 2018). That of a share by itself is the"
        " interval of Clopper and Pearson (1934) for as many independent questions as its error is worth, which near 0"
        " and 100 % does not vanish (Korn & Graubard 1998)."
    )
    if len(study.seeds) < 2:
        return told
    return (
        f"{told} The spread between seeds is added, once without what images explain of it, and the interval is widened"
        " by Student's t, because seeds are few, to what they alone would give at the least. Seeds are compared as"
        " pairs where trials share trained stages, else without pairing (Welch 1947)."
    )


def _verdicts(study: Study) -> str:
    return (
        "A value of an axis is averaged over the combinations of the other axes that have results for every value, each"
        f" counting the same. {PAIRS[study.rules.pairs]} p values are {corrected_for(study)}, by resampling what luck"
        " alone would give (Westfall & Young 1993), and below 0.05 a value is called better or worse. Else it is not"
        " distinguishable, which does not mean equal. With one seed nothing is said of methods: of two models that were"
        " trained, one answered better."
    )
