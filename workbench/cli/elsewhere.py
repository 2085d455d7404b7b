"""What a plan would take on machines that are not here: as a table with every assumption, and for other programs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.table import Table

from workbench.cli.whole_table import print_whole

if TYPE_CHECKING:
    from rich.console import Console

    from workbench.runs.assumptions import Assumptions
    from workbench.runs.plan import Plan
    from workbench.runs.planner import Planner
    from workbench.runs.projection import Projected, Projection

UNKNOWN = "unknown"
LEFT_OUT = (
    "left out: files of images, snapshots, records, traffic between the GPUs of a stage, waiting. Answers count as one"
    " pass over the right one, and are written token by token, which takes longer"
)


def show_elsewhere(console: Console, planner: Planner, plan: Plan, assumptions: Assumptions) -> None:
    """GPU hours, store, network and money of what is to do, with shared stages and without."""
    projection = _projection(planner, plan, assumptions)
    shared, alone = projection.shared(), projection.alone()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("to do", no_wrap=True)
    for title in ("stages", "FLOPs", "GPU hours", "store", "network", "money"):
        table.add_column(title, justify="right", no_wrap=True)
    for title, projected in (("shared", shared), ("each trial alone", alone)):
        for row in _rows(title, projected, assumptions):
            table.add_row(*row)
    print_whole(console, table)
    for line in (*_sums(projection, shared, alone), *_assumed(projection)):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def elsewhere_json(planner: Planner, plan: Plan, assumptions: Assumptions) -> dict[str, Any]:
    """The same for other programs; null is what is not known."""
    projection = _projection(planner, plan, assumptions)
    told = {name: _json_of(each, assumptions) for name, each in _both(projection)}
    return {"elsewhere": {"assumed": _assumed(projection), **told}}


def _projection(planner: Planner, plan: Plan, assumptions: Assumptions) -> Projection:
    from workbench.runs.costs import Costs
    from workbench.runs.projection import Projection

    return Projection(plan, planner, Costs(plan, planner.store), assumptions)


def _both(projection: Projection) -> Iterator[tuple[str, Projected]]:
    yield "shared", projection.shared()
    yield "alone", projection.alone()


def _rows(title: str, projected: Projected, assumptions: Assumptions) -> Iterator[list[str]]:
    every = sum(count for count, _ in projected.stages.values())
    for name, count, cost in (
        *((f"  {name}", count, cost) for name, (count, cost) in projected.stages.items()),
        (title, every, projected.whole),
    ):
        money = math.nan if assumptions.price is None else cost.gpu_hours * assumptions.price
        kept, moved = _told(cost.kept / 1e9, ",.1f", " GB"), _told(cost.moved / 1e9, ",.1f", " GB")
        yield [
            name,
            f"{count:,}",
            _told(cost.flops, ".3g"),
            _told(cost.gpu_hours, ",.1f"),
            kept,
            moved,
            _told(money, ",.0f"),
        ]


def _sums(projection: Projection, shared: Projected, alone: Projected) -> Iterator[str]:
    assumptions = projection.assumptions
    hours, without = shared.whole.gpu_hours, alone.whole.gpu_hours
    if without > hours:
        yield f"sharing saves {without - hours:,.1f} of {without:,.1f} GPU hours ({1 - hours / without:.0%})"
    if not math.isnan(hours):
        yield f"time: at least {hours / assumptions.gpus:,.1f} h on {assumptions.gpus} GPUs, if none of them ever waits"
    if assumptions.bandwidth is not None:
        line, other = (each.whole.moved / assumptions.bandwidth / 3600 for each in (shared, alone))
        yield f"network: {_told(line, ',.1f')} h of one line, or {_told(other, ',.1f')} h without sharing"
    memory, there = projection.most_memory(), assumptions.device.memory
    fits = "fit into" if memory <= there else f"take at least {math.ceil(memory / there)} GPUs of"
    yield (
        f"memory: weights, gradients and AdamW's moments of the largest stage are {memory / 1e9:,.0f} GB in fp32, and"
        f" {fits} {there / 1e9:g} GB; activations come on top"
    )


def _assumed(projection: Projection) -> list[str]:
    lines = projection.assumptions.lines(projection.precisions())
    return [*(f"assumed: {line}" for line in lines), LEFT_OUT]


def _json_of(projected: Projected, assumptions: Assumptions) -> dict[str, Any]:
    whole = projected.whole
    numbers = {
        "flops": whole.flops,
        "gpu_hours": whole.gpu_hours,
        "store_bytes": whole.kept,
        "network_bytes": whole.moved,
        "money": math.nan if assumptions.price is None else whole.gpu_hours * assumptions.price,
    }
    stages = {
        name: {"count": count, "gpu_hours": _known(cost.gpu_hours)} for name, (count, cost) in projected.stages.items()
    }
    return {**{name: _known(each) for name, each in numbers.items()}, "stages": stages}


def _known(number: float) -> float | None:
    return None if math.isnan(number) else number


def _told(number: float, form: str, unit: str = "") -> str:
    return UNKNOWN if math.isnan(number) else f"{number:{form}}{unit}"
