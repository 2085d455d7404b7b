"""What the command line shows: plugins, a plan, the outcome of a run."""

from __future__ import annotations

import inspect
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from workbench.cli.elsewhere import show_elsewhere
from workbench.cli.plan_rows import NUMBERS, planned_trials, shared_cells
from workbench.cli.whole_table import print_where_it_fits, print_whole
from workbench.registry import Option, Plugin, Registry

if TYPE_CHECKING:
    from workbench.config.experiment import Experiment
    from workbench.conformance.verdicts import Judged
    from workbench.runs.assumptions import Assumptions
    from workbench.runs.costs import Costs
    from workbench.runs.plan import Plan
    from workbench.runs.planner import Planner
    from workbench.runs.run_outcome import RunOutcome

MOST_ROWS = 200  # trials that a plan lists one by one


def show_plugins(console: Console, registry: Registry, kind: str | None = None) -> None:
    """Kind, name, options with types and defaults, one line of what it is, and where it came from."""
    from workbench.conformance.unread import show_unread

    if kind is not None:
        registry.check_kind(kind)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("kind", "name", "what it is", "options", "source"):
        table.add_column(title, overflow="fold")
    for plugin in registry.plugins(kind):
        options = "\n".join(escape(_option(option)) for option in plugin.options.values())
        table.add_row(plugin.kind, plugin.name, escape(plugin.summary), options, escape(plugin.source))
    print_where_it_fits(console, table)
    for failure in registry.failures:
        console.print(f"not loaded: {failure.source}: {failure.reason}", style="red", markup=False)
    for plugin in registry.plugins(kind):
        show_unread(console, plugin)


def show_plugin(console: Console, plugin: Plugin) -> None:
    """A plugin's docstring, its options with what they mean, and a line to copy into an experiment file."""
    from workbench.conformance.unread import show_unread

    console.print(f"{plugin.kind} {plugin.name}  ({plugin.source})", style="bold", markup=False, highlight=False)
    console.print(inspect.getdoc(plugin.factory) or "", markup=False, highlight=False)
    if plugin.options:
        console.print("\nOptions:")
    for line in _meanings(plugin.options.values(), console.width):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    example = ", ".join(
        [f"name: {plugin.name}", *(f"{each.name}: {_yaml(each.default)}" for each in plugin.options.values())]
    )
    console.print(f"\nIn an experiment file:\n  {plugin.kind}: {{{example}}}", markup=False, highlight=False)
    show_unread(console, plugin)


def show_plan(
    console: Console,
    experiment: Experiment,
    planner: Planner,
    probe: bool = False,
    notes: Iterable[str] = (),
    assumptions: Assumptions | None = None,
) -> None:
    """The trials with their sizes; the distinct stages, what is to do and why; what that takes, and sharing saves.
    With `assumptions`, what that would be on other machines."""
    from workbench.reports.match_notes import match_lines
    from workbench.runs.costs import Costs

    plan = planner.plan()
    plan.sizes = plan.sizes or planner.sizes()
    _show_trials(console, experiment, plan)
    for line in match_lines(experiment.summary()["matched"]):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    _show_missing(console, plan)
    for note in (*notes, *plan.notes):
        console.print(f"note: {note}", style="yellow", markup=False, soft_wrap=True)
    _show_costs(console, plan, Costs(plan, planner.store), planner, probe)
    if assumptions is not None:
        show_elsewhere(console, planner, plan, assumptions)


def show_contracts(console: Console, judged: Sequence[Judged]) -> None:
    """The plugins that are not known to keep their contract."""
    for each in judged:
        for line in each.lines:
            console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)


def _show_trials(console: Console, experiment: Experiment, plan: Plan) -> None:
    """What all trials share once, and of each what it has of its own."""
    trials = planned_trials(experiment, plan)
    shared = shared_cells(trials)
    for heading, text in shared.items():
        console.print(f"{heading}, of all trials: {text}", markup=False, highlight=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    own = [heading for heading in trials[0].cells() if heading not in shared]
    for heading in own:
        table.add_column(escape(heading), justify="right" if heading in NUMBERS else "left", no_wrap=True)
    for trial in trials[:MOST_ROWS]:
        cells = trial.cells()
        table.add_row(*(escape(cells[heading]) for heading in own))
    print_whole(console, table)
    if len(trials) > MOST_ROWS:
        told = f"... and {len(trials) - MOST_ROWS:,} more trials; --csv and --json list all"
        console.print(told, highlight=False, soft_wrap=True)


def _show_missing(console: Console, plan: Plan) -> None:
    """What is to do: as many stages as have one name and one reason in a line."""
    counts: Counter[tuple[str, str]] = Counter((plan.missing[key].name, why) for key, why in plan.reasons.items())
    for (name, why), count in counts.items():
        console.print(f"to do: {count} x {name} ({why})", highlight=False, markup=False, soft_wrap=True)


def _show_costs(console: Console, plan: Plan, costs: Costs, planner: Planner, probe: bool) -> None:
    every = [stage for stages in plan.chains.values() for stage in stages]
    distinct, missing = plan.distinct(), list(plan.missing.values())
    features = {stage.key for stages in plan.features.values() for stage in stages}
    passes = f" and {len(features)} parts of features" if features else ""
    console.print(
        f"{len(plan.chains):,} trials, {len(plan.finished):,} done, {len(plan.failed):,} failed; {len(distinct):,}"
        f" distinct stages of {len(every):,}{passes}, {len(missing):,} to do",
        highlight=False,
    )
    if not missing:
        return
    disk, memory = sum(map(costs.disk_bytes, missing)), max(map(costs.memory_bytes, missing))
    console.print(
        f"to be written: about {disk / 1e6:,.0f} MB; memory: about {memory / 1e6:,.0f} MB a worker", highlight=False
    )
    measure = None
    if probe:
        from workbench.runs.timing_probe import Probe

        measure = Probe(planner, plan).seconds
    seconds = {key: costs.seconds(stage, measure) for key, stage in plan.missing.items()}
    known = list(seconds.values())
    if any(each is None for each in known):
        unknown = sum(each is None for each in known)
        told = f"time: not known for {unknown:,} of the {len(missing):,} to do, whose kind was never measured"
        console.print(f"{told}; --probe measures a little of each", highlight=False, soft_wrap=True)
        return
    total = sum(each for each in known if each is not None)
    unshared = sum(seconds[stage.key] or 0 for stage in every if stage.key in plan.missing)
    console.print(f"time: about {_duration(total)} for one worker", highlight=False)
    if unshared > total:
        console.print(f"sharing saves about {_duration(unshared - total)} of {_duration(unshared)}", highlight=False)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def show_outcome(console: Console, experiment: Experiment, outcome: RunOutcome, results: Path) -> None:
    """How many trials are done, which failed, and what to do next."""
    total = len(experiment.trials)
    console.print(f"{len(outcome.done) + len(outcome.kept)} of {total} trials done", highlight=False, end="")
    console.print(f" ({len(outcome.kept)} before this run)" if outcome.kept else "", highlight=False)
    for id_, reason in outcome.failed.items():
        console.print(f"failed: {id_}: {reason}", style="red", markup=False, soft_wrap=True)
    show_askings(console, experiment, results)
    console.print(f"results in {results / experiment.name}", markup=False, highlight=False, soft_wrap=True)


def show_askings(console: Console, experiment: Experiment, results: Path) -> None:
    """How often the test split was asked so far, where the trials shown ask it."""
    from workbench.storage.askings import askings_of
    from workbench.storage.splits import is_for_choosing

    split = next(
        (each.evaluation.split for each in experiment.trials if not is_for_choosing(each.evaluation.split)), ""
    )
    if split:
        console.print(f"{split} split: {askings_of(results / experiment.name)} so far", highlight=False)


def _meanings(options: Iterable[Option], width: int) -> Iterator[str]:
    """Each option with what it means beside it; where one of both is long, it goes on in the lines below."""
    wrap = partial(textwrap.wrap, break_long_words=False, break_on_hyphens=False)
    written = [
        (wrap(_option(each), max(width * 2 // 5, 20), subsequent_indent="  "), each.description) for each in options
    ]
    column = max((len(line) for lines, _ in written for line in lines), default=0)
    for lines, meaning in written:
        beside = wrap(meaning, max(width - column - 4, 20))
        yield from (f"  {left:{column}}  {right}".rstrip() for left, right in zip_longest(lines, beside, fillvalue=""))


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
