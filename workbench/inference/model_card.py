"""The model card of an exported trial: what it is, how it was trained, and its numbers, all from the record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy
import pandas

from workbench.config.component import COMPONENTS, Component
from workbench.config.phase import Phase
from workbench.reports.escaping import markdown, markdown_code
from workbench.reports.metric_format import Scale, format_for
from workbench.reports.number_format import NOTHING, duration, fixed, megabytes, significant
from workbench.reports.trainable_shares import TRAINABLE
from workbench.reports.visual_gains import OVER, gain_against
from workbench.reports.wording import joined, spoken
from workbench.statistics.bootstrap import resampled_means
from workbench.statistics.estimates import Interval, Sample, estimate_of
from workbench.storage.conditions import ASKED_WITH, CONTROLS, GAIN, WITH_IMAGE
from workbench.storage.records import COUNTS, PREDICTIONS, SCORE, read_curve, read_predictions

if TYPE_CHECKING:
    from workbench.inference.load_trial import FinishedTrial
    from workbench.storage.records import Record

CARD = "README.md"


def model_card(finished: FinishedTrial, adapter: str, size: int, licences: Mapping[str, str]) -> str:
    """Markdown, with the front matter that model hubs read.

    `size`: bytes of the folder; `licences`: those of pretrained parts, "" if unknown."""
    record, trial = finished.record, finished.trial
    parts = [(kind, _told(trial.components[kind])) for kind in COMPONENTS]
    label = trial.label or record.id
    return "\n".join(
        [
            *("---", "library_name: workbench", "pipeline_tag: image-text-to-text", "---", ""),
            *(f"# {markdown(f'{record.experiment}: {label}')}", ""),
            f"A vision-language model, trial `{record.id}` of the experiment {markdown_code(record.experiment)}.",
            *("", "```", 'workbench ask THIS_FOLDER photo.jpg "what color is it?"', "```", ""),
            *("## Parts", "", *_table(("part", "what"), parts), ""),
            f"Prompt: {markdown_code(repr(trial.prompt))}. Adapter: {_KEPT[adapter]}.",
            *("", "## Training", "", *_table(_PHASE, [_phase(phase) for phase in trial.phases]), ""),
            *_costs(finished),
            *("", "## Evaluation", "", *_evaluation(finished), ""),
            *_sizes(record, size),
            *("", "## Licences", "", *_licences(licences), ""),
        ]
    )


_KEPT = {
    "none": "no phase trained one",
    "merged": "its weights are merged into the layers they belong to",
    "separate": "its weights are in a file of their own",
}
_PHASE = ("phase", "trains", "on", "for", "rate", "batch")


def _told(component: Component) -> str:
    options = ", ".join(f"{name}: {value}" for name, value in component.spec().items() if name != "name")
    return f"{component.name} ({options})" if options else component.name


def _phase(phase: Phase) -> tuple[str, ...]:
    length = f"{phase.epochs:g} epochs" if phase.epochs is not None else f"{phase.steps} steps"
    rates = phase.rate if isinstance(phase.rate, dict) else {"": phase.rate}
    rate = ", ".join(f"{part} {value:g}".strip() for part, value in rates.items())
    trains = ", ".join(phase.train) + (", on quantized weights" if phase.quantized else "")
    return phase.name, trains, ", ".join(phase.tasks), length, rate, str(phase.batch)


def _costs(finished: FinishedTrial) -> list[str]:
    record, curve = finished.record, read_curve(finished.folder)
    told = record.provenance
    machine = f"{told.get('device', 'an unknown device')} ({told.get('cpu', 'unknown')})"
    lines = [f"Seed {finished.trial.seed}; {duration(record.metrics['training_seconds'])} on {markdown(machine)}."]
    if len(curve):
        lines.append(f"Last training loss {float(curve['loss'].iloc[-1]):.3f} nats a token.")
    return lines


def _evaluation(finished: FinishedTrial) -> list[str]:
    record, evaluation = finished.record, finished.trial.evaluation
    predictions = read_predictions(finished.folder) if (finished.folder / PREDICTIONS).is_file() else pandas.DataFrame()
    rows = []
    for name, told in record.scales.items():
        scale = Scale(told["higher_is_better"], told["percent"])
        for condition in (WITH_IMAGE, *CONTROLS):
            key = name if condition == WITH_IMAGE else f"{name}.{condition}"
            if key in record.metrics:
                interval = _interval(record.metrics[key], predictions, name, condition, scale.percent)
                form = format_for(name, scale, [interval])
                unit = f" {form.unit}" if form.unit else ""
                rows.append((spoken(name) + unit, condition.replace("_", " "), form.interval(interval)))
    gain = next(iter(record.scales.values()), {"percent": False})["percent"]
    against = gain_against(record)
    if against is not None and GAIN in record.metrics:
        told = record.metrics[GAIN]
        rows.append(("visual gain", f"image minus {OVER[against]}", fixed(100 * told, 1) if gain else fixed(told, 3)))
    drawn = "{:,} of its images, drawn by a fixed seed" if ASKED_WITH in record.provenance else "the first {:,} images"
    limit = f", {drawn.format(evaluation.limit)}" if evaluation.limit else ""
    return [
        f"Task {markdown_code(evaluation.task)} of the split {markdown_code(evaluation.split)}{limit}, answers"
        " generated. In brackets: 95 % intervals over images (they cover neither seeds nor other data).",
        "",
        *_table(("metric", "shown", "value"), rows),
    ]


def _interval(value: float, predictions: pandas.DataFrame, metric: str, condition: str, percent: bool) -> Interval:
    """As a report has it; without an interval where there are no predictions, or the metric is no mean."""
    column = SCORE + metric
    if column not in predictions or COUNTS + metric in predictions:
        return Interval(value, numpy.nan, numpy.nan)
    shown = predictions[(predictions["condition"] == condition) & predictions[column].notna()]
    by_image = shown.groupby("image")[column].agg(["sum", "count"])
    if len(by_image) < 2:
        return Interval(value, numpy.nan, numpy.nan)
    sums = by_image.to_numpy(dtype=numpy.float64).T[None]  # [1,2,P]
    limits = (0.0, 1.0) if percent else (-numpy.inf, numpy.inf)
    sample = Sample(numpy.array([value]), resampled_means(sums[:, 0], sums[:, 1]), ["0"], len(by_image), limits, sums)
    return estimate_of(sample, numpy.ones(1), [0]).interval


def _sizes(record: Record, size: int) -> list[str]:
    metrics = record.metrics
    trained = {name.partition(".")[2]: count for name, count in metrics.items() if name.startswith(f"{TRAINABLE}.")}
    by_phase = {f"'{markdown(name)}'": count for name, count in trained.items()} or {
        "the last phase": metrics[TRAINABLE]
    }
    shares = [
        f"{count:,.0f} ({count / max(metrics['parameters'], 1):.1%}) trained in {phase}"
        for phase, count in by_phase.items()
    ]
    token = metrics.get("token_latency_ms")
    return [
        f"{metrics['parameters']:,.0f} parameters, of which {joined(shares)};"
        f" {megabytes(metrics['bytes'])} MB as evaluated, {megabytes(size)} MB on disk;"
        f" {metrics['latency_ms']:.0f} ms an answer{'' if token is None else f', {significant(token)} ms a token'}."
    ]


def _licences(licences: Mapping[str, str]) -> list[str]:
    if not licences:
        return ["No part is pretrained: every weight was trained in the experiment."]
    return _table(("part", "licence"), [(kind, each or NOTHING) for kind, each in licences.items()]) + [
        "",
        "Where there is a dash, the part's files say nothing: its source does. The data's licence is the data set's.",
    ]


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [titles, ["---"] * len(titles), *rows]
    return [f"| {' | '.join(map(markdown, line))} |" for line in lines]
