"""The commands about a folder of results: `workbench clean | report | verify`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.exit_codes import FAILED
from workbench.cli.loading import command_line, load
from workbench.cli.options import HERE, Overrides, PluginFolders, Results
from workbench.cli.streams import console
from workbench.errors import UserError

FEW = 5  # stages that are removed without being listed


def clean(
    results: Results = Path("results"),
    dry: Annotated[bool, typer.Option("--dry-run", help="say what would go, and remove nothing")] = False,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="also what unfinished runs left, which they would go on from")
    ] = False,
    sure: Annotated[bool, typer.Option("--yes", help=f"remove more than {FEW} stages without being asked")] = False,
) -> None:
    """Remove what no record needs: stages of earlier versions, features, what killed and failed runs left half done."""
    from workbench.runs.clean import clean as clean_results, left_alone
    from workbench.storage.artifacts import ARTIFACTS

    def say(text: str) -> None:
        console().print(text, highlight=False, markup=False, soft_wrap=True)

    removed, kept = clean_results(results, True, unfinished)
    if dry or len(removed) > FEW:
        for key, size in removed.items():
            say(f"  {results / ARTIFACTS / key}  {size / 1e6:.1f} MB")
    if not dry:
        if len(removed) > FEW and not sure:
            _ask_whether_to_remove(len(removed))
        removed, kept = clean_results(results, False, unfinished)
    verb = "would remove" if dry else "removed"
    say(f"{verb} {len(removed)} stages, {sum(removed.values()) / 1e6:.1f} MB")
    for folder in left_alone(results):
        say(f"left alone: {folder} is no stage as a run left it")
    if kept:
        told = f"{len(kept)} stages, {sum(kept.values()) / 1e6:.1f} MB, are kept for runs that are not finished"
        say(f"{told}; --unfinished removes them too")


def _ask_whether_to_remove(count: int) -> None:
    """Go on when somebody says yes; `UserError` where nobody can be asked."""
    if not sys.stdin.isatty():
        raise UserError(f"{count} stages would be removed: see above. Nothing was. Add --yes to remove them")
    typer.confirm(f"Remove these {count} stages?", abort=True)


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
            experiment, registry = load(source, overrides, folders, results)
        except ExperimentError as error:  # such as a plugin that is not on this machine
            same = None if overrides else last_run_of(source, results)
            if same is None:
                raise
            page = of_folder(same)
            told = f"note: {error}\nso this is the report of the trials that its last run asked for"
            console().print(told, style="yellow", markup=False, soft_wrap=True)
        else:
            found = ExperimentFolder(experiment, results)
            found.check_same()
            command = command_line("run", source, overrides, folders, results)
            page = make_report(found.path, registry, experiment, command)
    console().print(f"wrote {page}", highlight=False, markup=False, soft_wrap=True)


def verify(
    source: Annotated[Path, typer.Argument(metavar="RESULTS|REPORT", help="a results folder, or the report in one")],
    folders: PluginFolders = None,
) -> None:
    """Score every answer anew, make records' numbers, tables and sentences anew, and tell what is not as it stands
    there: exit code 1 where anything is. What cannot be checked is said."""
    from workbench.config.experiment import plugin_folders
    from workbench.registry import load_registry
    from workbench.runs.experiment_folder import origin_of
    from workbench.verification.results import find, verify as verify_results

    found = find(source)
    origin = origin_of(found.results) if found.results else None
    registry = load_registry(plugin_folders(HERE, folders or ()) or plugin_folders(origin))
    outcome = verify_results(found, registry)

    def say(text: object, style: str = "") -> None:
        console().print(str(text), style=style, highlight=False, markup=False, soft_wrap=True)

    for told in outcome.shown():
        say(told, "red")
    for unchecked in outcome.unchecked:
        say(unchecked, "yellow")
    for checked in outcome.checked:
        say(f"checked: {checked.what} ({checked.count:,})")
    wrong = len(outcome.disagreements)
    say(f"{wrong:,} disagreements" if wrong else "everything that was checked agrees")
    if wrong:
        raise typer.Exit(FAILED)
