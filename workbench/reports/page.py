"""One self-contained page about an experiment, with its tables and plots, made anew from what the trials left.

    results/<experiment>/report/report.html, tables/*.{csv,md,tex}, plots/*.{png,svg}, manifest.json

The page asks nothing of any network: images and style lie inside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

import workbench
from workbench.registry import Registry
from workbench.reports import contract_notes
from workbench.reports.answer import answer, progress
from workbench.reports.best_of import scored
from workbench.reports.blind_training import blind_table
from workbench.reports.calibration_table import calibration_table
from workbench.reports.checklist import CHECKLIST, checklist_table
from workbench.reports.conditions import unequal_axes, unequal_conditions
from workbench.reports.control_table import control_table
from workbench.reports.disagreements import disagreements
from workbench.reports.experiment_results import Study
from workbench.reports.final_trials import FINAL
from workbench.reports.findings import Finding, finding
from workbench.reports.gallery import data_uri, make_gallery
from workbench.reports.group_tables import group_table, outside_table
from workbench.reports.key_figures import best_trial, key_figures
from workbench.reports.manifest import write_manifest
from workbench.reports.match_notes import match_sentences
from workbench.reports.methods import methods
from workbench.reports.number_format import counted
from workbench.reports.plot_style import Plot
from workbench.reports.plots import all_plots, write_plots
from workbench.reports.prior_notes import prior_sentences
from workbench.reports.rank_table import rank_table
from workbench.reports.repeating import command_to_repeat
from workbench.reports.seed_notes import covered
from workbench.reports.skipped_images import skipped_images
from workbench.reports.split_notes import final_table, splits_note
from workbench.reports.staleness_notes import not_compared
from workbench.reports.steps_to_target_table import LATER, SOONER, STEPS_TO, steps_to_sentences, steps_to_table
from workbench.reports.table_formats import Table, write_tables
from workbench.reports.tables import all_tables
from workbench.reports.variance_table import variance_table
from workbench.reports.wording import joined, spoken
from workbench.statistics.verdicts import (
    BETTER,
    DEPENDS,
    MODEL_BETTER,
    MODEL_WORSE,
    MODELS_DEPEND,
    SAME,
    UNCLEAR,
    WORSE,
)
from workbench.storage.atomic import new_folder, write_text
from workbench.storage.records import Record

REPORT, PAGE, TABLES, PLOTS = "report", "report.html", "tables", "plots"
# Tables and their headings.
APART = {
    FINAL: "On the test split",
    STEPS_TO: "How soon it gets there",
    "ranks": "How sure the order is",
    "variance": "What makes scores differ",
    "calibration": "Does it know when it is right",
    "controls": "What the image is worth",
    "blind": "What seeing adds",
    "groups": "By group of questions",
    "outside": "Images from outside",
}
# Verdict -> class in the style sheet.
VERDICTS = {
    **{
        BETTER: "better",
        SOONER: "better",
        WORSE: "worse",
        LATER: "worse",
        UNCLEAR: "unclear",
        SAME: "unclear",
        DEPENDS: "depends",
    },
    **dict.fromkeys((MODEL_BETTER, MODEL_WORSE, MODELS_DEPEND), "model"),
}
RUN_FACTS = (
    *("workbench", "python", "torch", "cuda", "platform", "cpu", "instructions", "cores", "device", "gpu"),
    *("threads", "unrepeatable", "git_commit"),
)


@dataclass(frozen=True)
class AxisSection:
    """The section of the page on one axis: what was found, in what its values are not alike, its tables, and its plot
    where there is one."""

    axis: str
    finding: Finding
    unequal: str
    table: Table
    conditions: Table
    plot: Plot | None


def write_report(study: Study, results_folder: Path, registry: Registry | None = None) -> Path:
    """Write tables, plots and the page; returns the page's path. `registry` opens the images of the examples.

    The report folder is replaced as a whole, so that a reader never sees half of a new one.
    """
    makes = (
        final_table,
        steps_to_table,
        rank_table,
        variance_table,
        calibration_table,
        control_table,
        blind_table,
        group_table,
        outside_table,
        checklist_table,
    )
    apart = [table for make in makes if (table := make(study))]
    plots, tables = all_plots(study), [*all_tables(study), *apart]
    page = render(study, tables, plots, registry)
    final = results_folder / REPORT
    with new_folder(final) as temporary:
        for name in (TABLES, PLOTS):
            (temporary / name).mkdir()
        write_tables(tables, temporary / TABLES)
        write_plots(plots, temporary / PLOTS)
        write_text(temporary / PAGE, page)
        write_manifest(study, temporary)
    return final / PAGE


def render(study: Study, tables: Sequence[Table], plots: Sequence[Plot], registry: Registry | None) -> str:
    """The page. Texts from data are escaped by the template engine."""
    named = {plot.name: plot for plot in plots}
    sections = _sections(study, tables, named)
    used = {section.plot.name for section in sections if section.plot}
    return _template().render(
        study=study,
        title=spoken(study.summary.name),
        answer=[*answer(study), *steps_to_sentences(study), *prior_sentences(study)],
        progress=progress(study),
        heads=[*filter(None, [splits_note(study)]), *match_sentences(study.summary.matched)],
        warnings=contract_notes.warnings(study),
        caveat=_caveat(study),
        unequal=unequal_axes(study),
        not_compared=not_compared(study),
        figures=key_figures(study),
        sections=sections,
        trials=tables[0],
        interactions=next((table for table in tables if table.name == "interactions"), None),
        apart=[table for table in tables if table.name in APART],
        headings=APART,
        plots=[plot for plot in plots if plot.name not in used],
        gallery=make_gallery(study, registry),
        provenance=_provenance(study),
        disagreements=disagreements(study),
        checklist=next((table for table in tables if table.name == CHECKLIST), None),
        methods=methods(study),
        verdicts=VERDICTS,
        svg=_svg,
        width=_width,
        command=command_to_repeat(study),
        version=workbench.__version__,
    )


def glue(text: str) -> str:
    """Keep a number and its unit, and `p = 0.03`, on one line."""
    return re.sub(r"(?<=\d) (?=%|points|MB|ms|s\b)|(?<=\bp) (?=[<=])|(?<=[<=]) (?=\d)", "\N{NO-BREAK SPACE}", text)


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("workbench.reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"spoken": spoken, "glue": glue}
    return environment.get_template("report.html")


def _svg(plot: Plot) -> str:
    return data_uri(plot.svg, "image/svg+xml")


def _width(plot: Plot) -> int:
    """How wide the page shows a plot, with its frame, in CSS pixels."""
    return round(96 * plot.figure.get_figwidth()) + 26


def _sections(study: Study, tables: Sequence[Table], plots: dict[str, Plot]) -> list[AxisSection]:
    by_name = {table.name: table for table in tables}
    sections = []
    for axis in study.compared:
        file = axis.replace(".", "_")
        if f"axis_{file}" in by_name:
            plot = plots.get(f"{study.primary}_by_{file}")
            found, unequal = finding(study, axis), unequal_conditions(study, axis)
            own = by_name[f"axis_{file}"], by_name[f"conditions_{file}"]
            sections.append(AxisSection(axis, found, unequal, *own, plot))
    return sections


def _caveat(study: Study) -> str:
    """What a reader of the answer alone has to know."""
    if not study.done:
        return ""
    bounds = "In brackets stands each difference with its 95 % interval. " if study.compared else ""
    if len(study.machines) > 1:
        bounds += (
            f"Trials ran on {joined(study.machines)}, which round differently and are not equally fast: to compare"
            " costs in time, run all on one. "
        )
    return f"{bounds}{covered(study)}"


def _provenance(study: Study) -> list[tuple[str, str]]:
    """Facts of the run; where trials differ, every value."""
    facts = [(spoken(name), _told(study.records, name)) for name in RUN_FACTS]
    dirty = any(record.provenance.get("git_dirty") for record in study.records)
    rows = [
        (name, value + (" (changed since)" if dirty and name == "git commit" else "")) for name, value in facts if value
    ]
    times = sorted(str(record.provenance["finished"]) for record in study.records if record.provenance.get("finished"))
    if times:
        rows.append(("finished", times[0] if times[0] == times[-1] else f"{times[0]} to {times[-1]}"))
    rows.append(("seeds", ", ".join(study.seeds) or "–"))
    rows += [("splits", each) for each in [splits_note(study)] if each]
    skipped = skipped_images(study.records)
    if skipped:
        rows.append(("images left out", ", ".join(f"{where}: {count:,}" for where, count in skipped.items())))
    rows += contract_notes.facts(study)
    downloads = {each: at for record in study.records for each, at in record.provenance.get("downloads", {}).items()}
    for name, at in downloads.items():
        licence = f", licence {at['licence']}" if at["licence"] else ""
        rows.append(("downloaded", f"{name}, commit {at['commit']}{licence}"))
    best = best_trial(study)
    if best is not None:
        rows.append((f"best of {counted(scored(study), 'trial')}", study.done[best].id))
    return rows


def _told(records: Sequence[Record], name: str) -> str:
    values = {json.dumps(each.provenance[name]): each.provenance[name] for each in records if each.provenance.get(name)}
    return ", ".join(str(value) for value in values.values())
