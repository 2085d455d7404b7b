"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HERE = Path("any.yaml")  # without an experiment file, the folder `plugins/` of the current folder counts

PluginFolders = Annotated[
    list[Path] | None, typer.Option("--plugins", metavar="DIR", help="a folder of your own plugins; may be repeated")
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="change a key of the experiment; may be repeated")
]
Results = Annotated[Path, typer.Option("--results", metavar="DIR", help="where results are kept")]
Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        envvar="WORKBENCH_STORE",
        help="keep stages there, as s3://bucket/folder (extra `remote-store`); the folder of results remembers it",
    ),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps ...; auto takes the GPUs there are")]
ExperimentFile = Annotated[Path, typer.Argument(metavar="FILE", help="an experiment file (YAML)")]
SnapshotSeconds = Annotated[
    float,
    typer.Option(
        "--snapshot-seconds",
        "--checkpoint-seconds",  # as it was called, and is still typed
        min=0,
        metavar="SECONDS",
        envvar=["WORKBENCH_SNAPSHOT_SECONDS", "WORKBENCH_CHECKPOINT_SECONDS"],
        help="between two snapshots of a phase; 0: after every step",
    ),
]
