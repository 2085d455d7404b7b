"""The command line: `workbench plugins | new | check | plan | run | report | clean | make-vqa`; more: `cli_using.py`.

Only typer is imported here; each command imports what it needs, so that `--help` answers at once.
"""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.options import HERE, Device, ExperimentFile, Overrides, PluginFolders, Results
from workbench.cli.trial_commands import commands

if TYPE_CHECKING:
    from rich.console import Console

    from workbench.config.experiment import Experiment
    from workbench.registry import Registry

FAILED, MISTAKE, INTERRUPTED = 1, 2, 130
EXPERIMENTS = (".yaml", ".yml")  # how the names of experiment files end

app = typer.Typer(
    name="workbench",
    help="Which encoder, which fusion, which adapter, which precision, and is the difference real?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

FeatureSize = Annotated[
    float | None,
    typer.Option("--features-gb", min=0, help="what kept features may take; half of the free disk by default"),
]


@app.command()
def plugins(
    kind: Annotated[str | None, typer.Argument(help="encoder, connector, fusion ...")] = None,
    name: Annotated[str | None, typer.Argument(help="show this one in full, with what its options mean")] = None,
    folders: PluginFolders = None,
) -> None:
    """List the plugins there are, with their options."""
    from workbench.cli.display import show_plugin, show_plugins
    from workbench.config.experiment import plugin_folders
    from workbench.registry import load_registry

    registry = load_registry(plugin_folders(HERE, folders or ()))
    if kind and name:
        show_plugin(_console(), registry.entry(kind, name))
    else:
        show_plugins(_console(), registry, kind)


@app.command()
def new(
    kind: Annotated[str, typer.Argument(help="encoder, connector, fusion ...")],
    name: Annotated[str, typer.Argument(help="the name that experiment files will use")],
    folder: Annotated[Path, typer.Option("--in", metavar="DIR", help="the plugin folder to write to")] = Path(
        "plugins"
    ),
) -> None:
    """Write a new plugin that works as it stands, with a test."""
    from workbench.cli.scaffold import write_plugin

    for file in write_plugin(kind, name, folder):
        _console().print(f"wrote {file}", highlight=False, markup=False)


@app.command()
def check(
    path: Annotated[
        Path | None,
        typer.Argument(help="a plugin file, a folder of them or an experiment; the built-in plugins by default"),
    ] = None,
    kind: Annotated[str | None, typer.Option(help="only this kind")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="an option, as fusion.heads=2; may be repeated"),
    ] = None,
    folders: PluginFolders = None,
) -> None:
    """Run the contract tests on plugins and say in plain words what is wrong."""
    from workbench.conformance import check_experiment, check_path
    from workbench.devices.device import find_device

    find_device("cpu")  # where they run
    if path is not None and path.suffix in EXPERIMENTS:
        experiment, registry = _load(path, overrides, folders, Path("results"))
        kept = check_experiment(experiment, registry, kind, _console())
    else:
        kept = check_path(path, kind, _console(), overrides or ())
    if not kept:
        raise typer.Exit(FAILED)


@app.command()
def plan(
    file: ExperimentFile,
    overrides: Overrides = None,
    folders: PluginFolders = None,
    results: Results = Path("results"),
    device: Device = "auto",
    probe: Annotated[
        bool, typer.Option("--probe", help="measure a few steps of what is to do, to say how long it will take")
    ] = False,
    decode: Annotated[
        bool, typer.Option("--decode", help="decode every image first, and tell which are damaged within")
    ] = False,
    feature_gb: FeatureSize = None,
) -> None:
    """Show an experiment's trials, the distinct stages they share, what is to do, why, and how much it is."""
    from workbench.cli.display import show_contracts, show_plan
    from workbench.conformance.verdicts import judge
    from workbench.devices.device import find_device
    from workbench.runs.auto_precision import precision_notes
    from workbench.runs.planner import Planner
    from workbench.storage.artifacts import ARTIFACTS

    experiment, registry = _load(file, overrides, folders, results, device)
    planner = Planner(experiment, registry, results, _bytes(feature_gb))
    if decode:
        _console().print(f"{planner.decode():,} images decoded", highlight=False)
    notes = precision_notes(experiment, results / experiment.name, find_device(device))
    show_plan(_console(), experiment, planner, probe, notes)
    judgement = judge(experiment, registry, results / ARTIFACTS)
    if results.is_dir():  # a plan makes none
        judgement.remember()
    show_contracts(_console(), judgement.judged)


@app.command()
def run(
    file: ExperimentFile,
    overrides: Overrides = None,
    folders: PluginFolders = None,
    results: Results = Path("results"),
    workers: Annotated[int | None, typer.Option(min=1, help="worker processes; one for each core by default")] = None,
    device: Device = "auto",
    retry: Annotated[
        str | None, typer.Option(metavar="failed", help="'failed': try trials again whose failure would only repeat")
    ] = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="stop at the first failure")] = False,
    time_limit: Annotated[
        float | None, typer.Option(min=0.1, metavar="SECONDS", help="the longest a stage may take")
    ] = None,
    checkpoint_seconds: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            envvar="WORKBENCH_CHECKPOINT_SECONDS",
            help="between two checkpoints of a phase; 0: after every step",
        ),
    ] = 60.0,
    feature_gb: FeatureSize = None,
    share: Annotated[
        bool, typer.Option("--share/--no-share", help="no-share: every trial does all its work, to check the sharing")
    ] = True,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="run plugins that break their contract; records and report say so")
    ] = False,
) -> None:
    """Run what is missing of an experiment. Ctrl-C keeps what is finished; run again to continue."""
    from workbench.cli.display import show_contracts, show_outcome
    from workbench.conformance.verdicts import judge
    from workbench.devices.device import find_device
    from workbench.errors import UserError
    from workbench.runs.launch import make_launcher
    from workbench.runs.scheduler import RunOptions, run as run_experiment
    from workbench.storage.artifacts import ARTIFACTS

    if retry not in (None, "failed"):
        raise UserError(f"--retry {retry}: only failed trials can be tried again. Write --retry failed")
    with _interruptible():
        experiment, registry = _load(file, overrides, folders, results, device)
        launcher, where = make_launcher(experiment, registry, workers), find_device(device)
        judgement = judge(experiment, registry, results / ARTIFACTS, ask=not unchecked)
        if not unchecked:
            judgement.refuse_broken(file)
        show_contracts(_console(), judgement.judged)
        options = RunOptions(
            retry is not None,
            fail_fast,
            time_limit,
            checkpoint_seconds,
            _bytes(feature_gb),
            share,
            judgement,
        )
        outcome = run_experiment(experiment, registry, results, launcher, where, _console(), options)
    show_outcome(_console(), experiment, outcome, results)
    if len(outcome.done) + len(outcome.kept) < len(experiment.trials):
        raise typer.Exit(FAILED)


@app.command()
def clean(
    results: Results = Path("results"),
    dry: Annotated[bool, typer.Option("--dry-run", help="say what would go, and remove nothing")] = False,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="also what unfinished runs left, which they would go on from")
    ] = False,
) -> None:
    """Remove what no record needs: stages of earlier versions, features, what killed and failed runs left half done."""
    from workbench.runs.clean import clean as clean_results

    removed, kept = clean_results(results, dry, unfinished)
    verb = "would remove" if dry else "removed"
    _console().print(f"{verb} {len(removed)} stages, {sum(removed.values()) / 1e6:.1f} MB", highlight=False)
    if kept:
        told = f"{len(kept)} stages, {sum(kept.values()) / 1e6:.1f} MB, are kept for runs that are not finished"
        _console().print(f"{told}; --unfinished removes them too", highlight=False)


@app.command("make-vqa")
def make_vqa(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="COCO_ANNOTATIONS... OUT", help="instances or captions, or both; then *.jsonl"),
    ],
    seed: Annotated[int, typer.Option(help="another choice of questions")] = 0,
    most: Annotated[int, typer.Option(min=1, help="questions of each kind about an image")] = 3,
) -> None:
    """Make questions and answers of COCO annotations: is there, how many, what color."""
    from workbench.cli.make_vqa import make_vqa as make
    from workbench.errors import UserError

    if len(files) < 2:
        raise UserError("give COCO annotations and the file to write: instances_train2017.json train.jsonl")
    *annotations, out = files
    counts = make(annotations, out, seed, most)
    told = ", ".join(f"{count:,} {group}" for group, count in counts.items())
    _console().print(f"wrote {counts.total():,} questions to {out}: {told}", highlight=False, soft_wrap=True)


@app.command()
def report(
    source: Annotated[Path, typer.Argument(metavar="FILE|DIR", help="an experiment file or its results folder")],
    overrides: Overrides = None,
    folders: PluginFolders = None,
    results: Results = Path("results"),
) -> None:
    """Write tables, plots and one page from the results: of the trials that the experiment file has, or of those that
    the last run of the folder asked for."""
    from workbench.cli.report import make_report
    from workbench.config.experiment import ExperimentError, plugin_folders
    from workbench.registry import load_registry
    from workbench.runs.experiment_folder import ExperimentFolder, last_run_of, origin_of

    def of_folder(folder: Path) -> Path:
        found = plugin_folders(HERE, folders or ()) or plugin_folders(origin_of(folder))
        return make_report(folder, load_registry(found))

    if source.is_dir():
        page = of_folder(source)
    else:
        try:
            experiment, registry = _load(source, overrides, folders, results)
        except ExperimentError as error:  # such as a plugin that is not on this machine
            same = None if overrides else last_run_of(source, results)
            if same is None:
                raise
            page = of_folder(same)
            told = f"note: {error}\nso this is the report of the trials that its last run asked for"
            _console().print(told, style="yellow", markup=False, soft_wrap=True)
        else:
            folder = ExperimentFolder(experiment, results)
            folder.check_same()
            command = _command("run", source, overrides, folders, results)
            page = make_report(folder.path, registry, experiment, command)
    _console().print(f"wrote {page}", highlight=False, markup=False, soft_wrap=True)


app.add_typer(commands)


def _load(
    file: Path, overrides: list[str] | None, folders: list[Path] | None, results: Path, device: str = "auto"
) -> tuple[Experiment, Registry]:
    """The checked experiment, and the plugins it was checked against."""
    from workbench.config.experiment import load_experiment, plugin_folders
    from workbench.registry import load_registry
    from workbench.runs.auto_precision import precision_for

    registry = load_registry(plugin_folders(file, folders or ()))
    return load_experiment(file, registry, overrides or (), precision_for(results, device)), registry


def _command(name: str, file: Path, overrides: list[str] | None, folders: list[Path] | None, results: Path) -> str:
    """What to type for another command to do the same."""
    words = ["workbench", name, str(file)]
    words += [word for each in overrides or () for word in ("--set", each)]
    words += [word for each in folders or () for word in ("--plugins", str(each))]
    return shlex.join([*words, *(["--results", str(results)] if results != Path("results") else [])])


@contextmanager
def _interruptible() -> Iterator[None]:
    """The first Ctrl-C ends the command in order; any more would only disturb that."""

    def interrupt(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except KeyboardInterrupt as interruption:
        typer.echo("interrupted; what is finished is kept, run again to continue", err=True)
        raise typer.Exit(INTERRUPTED) from interruption
    signal.signal(signal.SIGINT, before)


def _bytes(gigabytes: float | None) -> int | None:
    return None if gigabytes is None else int(1e9 * gigabytes)


def _console() -> Console:
    from rich.console import Console

    return Console()


def main() -> None:
    """Entry point: a user's mistake is told in plain words and ends with exit code 2."""
    import atexit
    import gc
    import sys

    from workbench.errors import UserError

    # A large plan is many small things that stay: looking again and again which can go takes a fifth of its time.
    gc.set_threshold(200_000)
    # The end of the process frees it all: to look for what can go first takes a third of a second.
    atexit.register(gc.freeze)
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(MISTAKE)


if __name__ == "__main__":
    main()
