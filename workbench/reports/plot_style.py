"""What all plots share: palette, settings, the figure, which axis colour and shape stand for, and heat maps.

Figures are made of matplotlib's objects and drawn on a canvas without a screen; no global setting is left changed.
Colours are the Okabe-Ito palette, which colour-blind readers can tell apart.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import matplotlib
import numpy
import pandas
import seaborn
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from workbench.reports.experiment_results import Study
from workbench.reports.metric_format import MetricFormat
from workbench.reports.number_format import fixed

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
Dash = Literal["-", "--", ":", "-."] | tuple[int, tuple[int, ...]]
# One for each marker: how long strokes and gaps are, in widths of the line.
LONGER: tuple[Dash, ...] = ((0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 4)), (0, (8, 2, 1, 2, 1, 2)))
DASHES: tuple[Dash, ...] = ("-", "--", ":", "-.", *LONGER)
INK, MUTED, FAINT = "#1f2430", "#6b7280", "#d5d9e0"
WIDTH = 8.4  # inches, that of the page
MOST_ROWS, MOST_COLUMNS = 40, 24  # values that a plot shows: tables have all
LONGEST = 40  # letters of a label in a plot: tables have all of them


@dataclass(frozen=True)
class Plot:
    """A figure, the name of its files, and what it shows in a sentence."""

    name: str
    caption: str
    figure: Figure

    @cached_property
    def svg(self) -> bytes:
        """What an SVG file of it holds; drawn once for the file and the page."""
        return image(self.figure, "svg")


def image(figure: Figure, kind: str) -> bytes:
    """The figure as the bytes of a PNG or SVG file, without a date."""
    out = io.BytesIO()
    metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
    with plain_style():
        figure.savefig(out, format=kind, dpi=150, metadata=metadata, facecolor="white")
    return out.getvalue()


@contextmanager
def plain_style() -> Iterator[None]:
    """Our settings, for the body only."""
    settings: dict[Any, Any] = {
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": INK,
        "axes.linewidth": 0.8,
        "axes.axisbelow": True,
        "xtick.color": MUTED,
        "ytick.color": INK,
        "xtick.labelcolor": INK,
        "text.color": INK,
        "text.parse_math": False,  # a name or an answer may have dollars in it
        "svg.fonttype": "path",
        "svg.hashsalt": "workbench",
    }
    with matplotlib.rc_context(settings):
        yield


def new_figure(width: float, height: float) -> Figure:
    """A figure of that size in inches, with a canvas that needs no screen."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def factor_of(form: MetricFormat) -> float:
    """What a value is multiplied by to be shown: 100 for shares."""
    return 100.0 if form.scale.percent else 1.0


def in_unit(form: MetricFormat) -> str:
    """As ` (%)`, for labels and captions."""
    return f" ({form.unit})" if form.unit else ""


def look(study: Study, among: Sequence[str] | None = None) -> tuple[str | None, str | None]:
    """Which axes colour and shape stand for: those with the most values among these trials, if the palette suffices
    for all values that finished trials have."""
    axes = study.axes if among is None else study.axes.loc[list(among)]
    counts = {axis: len(set(axes[axis])) for axis in study.compared if len(_labels(study, axis)) <= len(COLORS)}
    usable = sorted((axis for axis in counts if counts[axis] > 1), key=lambda axis: -counts[axis])
    return usable[0] if usable else None, usable[1] if len(usable) > 1 else None


def place_of(study: Study, id_: str, axis: str | None) -> int:
    """The place of a trial's value among those of an axis that finished trials have: its colour, marker or dash."""
    return 0 if axis is None else _labels(study, axis).index(str(study.axes.at[id_, axis]))


def add_legend(figure: Figure, study: Study, hue: str | None, shape: str | None, dashes: bool = False) -> None:
    """Colours and shapes in one line above the panels."""
    handles = []
    for axis, colored in ((hue, True), (shape, False)):
        for place, label in enumerate(short_labels(_labels(study, axis)) if axis else []):
            color = COLORS[place] if colored else MUTED
            marker = "" if dashes else ("o" if colored else MARKERS[place])
            line = ("-" if colored else DASHES[place]) if dashes else ""
            handles.append(Line2D([], [], color=color, marker=marker, linestyle=line, label=label, markersize=6))
    if handles:
        figure.legend(
            handles=handles,
            loc="outside upper left",
            ncols=min(len(handles), 6),
            frameon=False,
            fontsize=8.5,
            handlelength=2.2,
        )


def short_labels(labels: Sequence[str]) -> list[str]:
    """Labels that leave room for the plot: of a long one its beginning and its end, with its place where these are
    those of others too."""
    half = LONGEST // 2
    found = [each if len(each) <= LONGEST else f"{each[: half - 1]}…{each[-half:]}" for each in labels]
    return [
        each if found.count(each) == 1 else f"{place}: {each}"[:LONGEST] for place, each in enumerate(found, start=1)
    ]


def heat_map(
    table: pandas.DataFrame,
    form: MetricFormat,
    rows: str,
    columns: str,
    limits: tuple[float | None, float | None] = (None, None),
) -> Figure:
    """A table as a heat map with its numbers; darker is better. Names that would touch are tilted."""
    letter = 0.088  # inches, about the width of one
    row_names, column_names = (short_labels([str(name) for name in each]) for each in (table.index, table.columns))
    column = max(1.0, letter * max(map(len, column_names)))
    names = letter * max(map(len, row_names))
    wanted = 0.7 + names + column * len(table.columns)
    tilted = wanted > WIDTH
    figure = new_figure(min(wanted, WIDTH), 0.85 + 0.33 * len(table) + 0.5 * tilted)
    axes = figure.subplots()
    seaborn.heatmap(
        table,
        ax=axes,
        annot=numpy.array([[fixed(value, form.decimals) for value in row] for row in table.to_numpy()]),
        fmt="",
        cmap="crest" if form.scale.higher_is_better else "crest_r",
        vmin=limits[0],
        vmax=limits[1],
        linewidths=1.5,
        linecolor="white",
        cbar=False,
        annot_kws={"fontsize": 8.5},
        xticklabels=False,  # set below: to find out whether names overlap, seaborn would draw the figure
        yticklabels=False,
    )
    axes.set(xlabel=columns, ylabel=rows)
    axes.tick_params(length=0)
    axes.set_yticks(numpy.arange(len(table)) + 0.5, row_names, rotation=0)
    tilt: dict[str, Any] = {"rotation": 25, "ha": "right"} if tilted else {"rotation": 0}
    axes.set_xticks(numpy.arange(len(table.columns)) + 0.5, column_names, **tilt)
    return figure


def _labels(study: Study, axis: str) -> list[str]:
    return study.design(axis).present
