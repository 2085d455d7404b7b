"""The commands about plugins: `workbench plugins | new | check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.exit_codes import FAILED
from workbench.cli.loading import load
from workbench.cli.options import HERE, PluginFolders
from workbench.cli.streams import console

EXPERIMENTS = (".yaml", ".yml")  # how the names of experiment files end


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
        show_plugin(console(), registry.plugin(kind, name))
    else:
        show_plugins(console(), registry, kind)


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
        console().print(f"wrote {file}", highlight=False, markup=False)


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
        experiment, registry = load(path, overrides, folders, Path("results"))
        kept = check_experiment(experiment, registry, kind, console())
    else:
        kept = check_path(path, kind, console(), overrides or ())
    if not kept:
        raise typer.Exit(FAILED)
