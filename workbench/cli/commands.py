"""The commands of the command line, in the order of the work.

Only typer is imported here; each command imports what it needs, so that `--help` answers at once.
"""

from __future__ import annotations

import typer

from workbench.cli.data_commands import make_vqa
from workbench.cli.experiment_commands import match, plan, power, run
from workbench.cli.interruptions import in_order
from workbench.cli.plugin_commands import check, new, plugins
from workbench.cli.result_commands import clean, report, verify
from workbench.cli.trial_commands import ask, attention, demo, export, preview

app = typer.Typer(
    name="workbench",
    help="Which encoder, which fusion, which adapter, which precision, and is the difference real?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    plugins,
    new,
    check,
    plan,
    match,
    power,
    run,
    clean,
    make_vqa,
    report,
    verify,
    ask,
    attention,
    preview,
    demo,
    export,
):
    app.command()(in_order(command))
