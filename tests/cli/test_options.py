"""Options that several commands have: what may be typed for them."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from workbench.cli.options import SnapshotSeconds


@pytest.mark.parametrize("word", ["snapshot", "checkpoint"])
def test_the_seconds_between_snapshots_may_be_typed_by_their_earlier_name_as_well(word, monkeypatch):
    app = typer.Typer()

    @app.command()
    def show(snapshot_seconds: SnapshotSeconds = 60.0) -> None:
        print(snapshot_seconds)

    assert CliRunner().invoke(app, []).output == "60.0\n"
    assert CliRunner().invoke(app, [f"--{word}-seconds", "5"]).output == "5.0\n"
    monkeypatch.setenv(f"WORKBENCH_{word.upper()}_SECONDS", "7")
    assert CliRunner().invoke(app, []).output == "7.0\n"
