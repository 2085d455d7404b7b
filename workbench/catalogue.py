"""What the command line shows: plugins, a plan, the outcome of a run."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from workbench.registry import Entry, Option, Registry

if TYPE_CHECKING:
    from workbench.experiment import Experiment
    from workbench.run import Outcome


def show_plugins(console: Console, registry: Registry, kind: str | None = None) -> None:
    """Kind, name, options with types and defaults, one line of what it is, and where it came from."""
    if kind is not None:
        registry.check_kind(kind)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("kind", "name", "what it is", "options", "source"):
        table.add_column(title, overflow="fold")
    for entry in registry.entries(kind):
        options = "\n".join(escape(_option(option)) for option in entry.options.values())
        table.add_row(entry.kind, entry.name, escape(entry.summary), options, escape(entry.source))
    console.print(table)
    for failure in registry.failures:
        console.print(f"not loaded: {failure.source}: {failure.reason}", style="red", markup=False)


def show_plugin(console: Console, entry: Entry) -> None:
    """One plugin in full."""
    console.print(f"{entry.kind} {entry.name}  ({entry.source})", style="bold", markup=False, highlight=False)
    console.print(inspect.getdoc(entry.factory) or "", markup=False, highlight=False)
    if entry.options:
        console.print("\nOptions:")
    for option in entry.options.values():
        console.print(f"  {_option(option)}", markup=False, highlight=False)
    example = ", ".join(
        [f"name: {entry.name}", *(f"{each.name}: {_yaml(each.default)}" for each in entry.options.values())]
    )
    console.print(f"\nIn an experiment file:\n  {entry.kind}: {{{example}}}", markup=False, highlight=False)


def show_plan(console: Console, experiment: Experiment, registry: Registry, results: Path) -> None:
    """The trials with their sizes, and what is already done."""
    from workbench.fit import sizes_of
    from workbench.run import make_plan

    made = make_plan(experiment, registry, results)
    sizes = sizes_of(experiment.trials, registry)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for axis in experiment.axes:
        table.add_column(axis)
    for title in ("parameters", "trainable", "share"):
        table.add_column(title, justify="right")
    table.add_column("phases")
    table.add_column("state")
    for trial in experiment.trials:
        total, trainable = sizes[trial.id]
        stages = made.chains[trial.id]
        left = [stage.name for stage in stages if stage.key in made.missing]
        state = "done" if trial.id in made.finished else "to do: " + ", ".join(left)
        row = (*trial.axes.values(), f"{total:,}", f"{trainable:,}", f"{trainable / max(total, 1):.1%}")
        table.add_row(*map(escape, row), " > ".join(phase.name for phase in trial.phases), state)
    console.print(table)
    every = sum(len(stages) for stages in made.chains.values())
    distinct = len({stage.key for stages in made.chains.values() for stage in stages})
    console.print(
        f"{len(experiment.trials)} trials, {len(made.finished)} done; {distinct} distinct stages of {every},"
        f" {len(made.missing)} to do",
        highlight=False,
    )


def show_outcome(console: Console, experiment: Experiment, outcome: Outcome, results: Path) -> None:
    """How many trials are done, which failed, and what to do next."""
    total = len(experiment.trials)
    console.print(f"{len(outcome.done) + len(outcome.kept)} of {total} trials done", highlight=False, end="")
    console.print(f" ({len(outcome.kept)} before this run)" if outcome.kept else "", highlight=False)
    for id_, reason in outcome.failed.items():
        console.print(f"failed: {id_}: {reason}", style="red", markup=False, soft_wrap=True)
    console.print(f"results in {results / experiment.name}", markup=False, highlight=False, soft_wrap=True)


def _option(option: Option) -> str:
    default = "" if option.required else f" = {_yaml(option.default)}"
    return f"{option.name}: {option.type_name}{default}"


def _yaml(value: object) -> str:
    """A default as it would stand in YAML."""
    if value is None:
        return "null"
    if value is inspect.Parameter.empty:
        return "..."
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_yaml(each) for each in value) + "]"
    return f'"{value}"' if isinstance(value, str) and not value.replace("_", "").isalnum() else str(value)
