"""The commands about an experiment file: `workbench plan | match | power | run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.exit_codes import FAILED
from workbench.cli.interruptions import interruptible
from workbench.cli.loading import load
from workbench.cli.options import Device, ExperimentFile, Overrides, PluginFolders, Results, SnapshotSeconds, Store
from workbench.cli.streams import console
from workbench.errors import UserError

KEPT = "; what is finished is kept"

if TYPE_CHECKING:
    from rich.console import Console

    from workbench.config.experiment import Experiment
    from workbench.conformance.verdicts import Judgement
    from workbench.registry import Registry

FeatureSize = Annotated[
    float | None,
    typer.Option("--features-gb", min=0, help="what kept features may take; half of the free disk by default"),
]
Probe = Annotated[
    bool, typer.Option("--probe", help="measure a few steps of what is to do, to say how long it will take")
]
Decode = Annotated[bool, typer.Option("--decode", help="decode every image first, and tell which are damaged within")]
Workers = Annotated[int | None, typer.Option(min=1, help="worker processes; one for each core by default")]
Retry = Annotated[
    str | None, typer.Option(metavar="failed", help="'failed': try trials again whose failure would only repeat")
]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="stop at the first failure")]
TimeLimit = Annotated[float | None, typer.Option(min=0.1, metavar="SECONDS", help="the longest a stage may take")]
Share = Annotated[
    bool, typer.Option("--share/--no-share", help="no-share: every trial does all its work, to check the sharing")
]
Final = Annotated[
    bool, typer.Option("--final", help="ask the test split, about the trials that the file names under 'final'")
]
Assume = Annotated[
    list[str] | None,
    typer.Option(
        "--assume",
        metavar="NAME=VALUE",
        help="say what the plan takes elsewhere: device=h100, gpus, mfu, price, bandwidth (Gbit/s); may be repeated",
    ),
]
AsCSV = Annotated[bool, typer.Option("--csv", help="every trial as a line of CSV, and nothing else")]
AsJSON = Annotated[bool, typer.Option("--json", help="every trial, and what is to do, as JSON")]
Unchecked = Annotated[
    bool, typer.Option("--unchecked", help="run plugins that break their contract; records and report say so")
]


def plan(
    file: ExperimentFile,
    overrides: Overrides = None,
    folders: PluginFolders = None,
    results: Results = Path("results"),
    device: Device = "auto",
    probe: Probe = False,
    decode: Decode = False,
    feature_gb: FeatureSize = None,
    final: Final = False,
    assume: Assume = None,
    as_csv: AsCSV = False,
    as_json: AsJSON = False,
    store: Store = None,
) -> None:
    """Show an experiment's trials, the distinct stages they share, what is to do, why, and how much it is."""
    from workbench.cli.display import show_askings, show_plan
    from workbench.cli.plan_rows import written_plan
    from workbench.runs.assumptions import read_assumptions
    from workbench.runs.device_counts import device_notes
    from workbench.runs.experiment_folder import ExperimentFolder
    from workbench.runs.launch import runs_elsewhere
    from workbench.runs.planner import Planner

    assumptions = read_assumptions(assume or ())
    experiment, registry = load(file, overrides, folders, results, device, assumptions and assumptions.automatic)
    (folder := ExperimentFolder(experiment, results)).check_same()
    experiment, notes = experiment.on_test() if final else experiment, folder.notes()
    planner = Planner(experiment, registry, results, _bytes(feature_gb), store=store)
    beside = console(stderr=_for_programs(as_csv, as_json))
    if decode:
        beside.print(f"{planner.decode():,} images decoded", highlight=False)
    if not assumptions:  # of a machine that is not here, this one cannot tell what a precision costs
        notes += device_notes(experiment, folder.path, device, runs_elsewhere(experiment, registry))
    if as_csv or as_json:
        typer.echo(written_plan(experiment, planner, notes, as_json, assumptions), nl=False)
    else:
        show_plan(console(), experiment, planner, probe, notes, assumptions)
        show_askings(console(), experiment, results)
    _show_contracts(beside, experiment, registry, results)


def match(
    file: ExperimentFile,
    overrides: Overrides = None,
    folders: PluginFolders = None,
    results: Results = Path("results"),
    device: Device = "auto",
    again: Annotated[
        bool, typer.Option("--again", help="measure all steps anew: other numbers of steps, so other trials")
    ] = False,
) -> None:
    """Show what a file's `match` sets to make its variants alike; where that is by time, measure it once."""
    from workbench.cli.match import Asked, show_match

    show_match(console(), Asked(file, overrides or (), folders or (), results, device), again)


def power(
    file: ExperimentFile,
    overrides: Overrides = None,
    folders: PluginFolders = None,
    results: Results = Path("results"),
    difference: Annotated[
        float | None, typer.Option(min=0, help="what is to be found, in points for shares: how many seeds that takes")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=2, help="a row for so many seeds as well")] = None,
    images: Annotated[int | None, typer.Option(min=2, help="a column for so many images as well")] = None,
    pilot: Annotated[
        Path | None, typer.Option("--from", metavar="RESULTS", help="results folder to take the errors from")
    ] = None,
) -> None:
    """Show which differences an experiment would find with more seeds or images, from runs there are."""
    from workbench.cli.power import PowerQuestion, show_power

    experiment, registry = load(file, overrides, folders, results)
    show_power(console(), experiment, registry, PowerQuestion(results, difference, seeds, images, pilot))


def run(
    file: ExperimentFile,
    overrides: Overrides = None,
    folders: PluginFolders = None,
    results: Results = Path("results"),
    workers: Workers = None,
    device: Device = "auto",
    retry: Retry = None,
    fail_fast: FailFast = False,
    time_limit: TimeLimit = None,
    snapshot_seconds: SnapshotSeconds = 60.0,
    feature_gb: FeatureSize = None,
    share: Share = True,
    unchecked: Unchecked = False,
    final: Final = False,
    store: Store = None,
) -> None:
    """Run what is missing of an experiment. Ctrl-C keeps what is finished, SIGTERM last snapshots too; run again."""
    from workbench.cli.display import show_outcome
    from workbench.runs.launch import device_for, make_launcher
    from workbench.runs.scheduler import RunOptions, run as run_experiment

    if retry not in (None, "failed"):
        raise UserError(f"--retry {retry}: only failed trials can be tried again. Write --retry failed")
    with interruptible(f"{KEPT}, run again to continue", f"{KEPT}, and the last snapshots; run again to continue"):
        experiment, registry = load(file, overrides, folders, results, device)
        launcher = make_launcher(experiment, registry, workers)
        device = device_for(launcher, device)
        judgement = _judgement_for(file, experiment, registry, results, unchecked)
        retrying, most = retry is not None, _bytes(feature_gb)
        options = RunOptions(retrying, fail_fast, time_limit, snapshot_seconds, most, share, judgement, final, store)
        outcome = run_experiment(experiment, registry, results, launcher, device, console(), options)
    asked = experiment.on_test() if final else experiment
    show_outcome(console(), asked, outcome, results)
    if len(outcome.done) + len(outcome.kept) < len(asked.trials):
        raise typer.Exit(FAILED)


def _show_contracts(beside: Console, experiment: Experiment, registry: Registry, results: Path) -> None:
    """What a plan says of plugins of one's own."""
    from workbench.cli.display import show_contracts
    from workbench.conformance.verdicts import judge
    from workbench.storage.artifacts import ARTIFACTS

    judgement = judge(experiment, registry, results / ARTIFACTS)
    if results.is_dir():  # a plan makes none
        judgement.remember()
    show_contracts(beside, judgement.judged)


def _judgement_for(file: Path, experiment: Experiment, registry: Registry, results: Path, unchecked: bool) -> Judgement:
    """What a run goes by: `UserError` where a plugin breaks its contract, unless it is to run `unchecked`."""
    from workbench.cli.display import show_contracts
    from workbench.conformance.verdicts import judge
    from workbench.storage.artifacts import ARTIFACTS

    judgement = judge(experiment, registry, results / ARTIFACTS, ask=not unchecked)
    if not unchecked:
        judgement.refuse_broken(file)
    show_contracts(console(), judgement.judged)
    return judgement


def _for_programs(as_csv: bool, as_json: bool) -> bool:
    """Whether what is printed is for other programs: then all else goes where errors go."""
    if as_csv and as_json:
        raise UserError("--csv and --json are two forms of one answer: give one of them")
    return as_csv or as_json


def _bytes(gigabytes: float | None) -> int | None:
    return None if gigabytes is None else int(1e9 * gigabytes)
