"""The command line: `workbench plugins | new | check | plan | match | power | run | ...`, in the order of the work.

Only typer is imported here; each command imports what it needs, so that `--help` answers at once.
"""

from __future__ import annotations

import typer

from workbench.cli.data_commands import make_vqa
from workbench.cli.exit_codes import MISTAKE
from workbench.cli.experiment_commands import match, plan, power, run
from workbench.cli.plugin_commands import check, new, plugins
from workbench.cli.result_commands import clean, report, verify
from workbench.cli.streams import plain_streams
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
    app.command()(command)


def main() -> None:
    """Entry point: a user's mistake is told in plain words and ends with exit code 2."""
    import atexit
    import errno
    import gc
    import sys

    from workbench.errors import UserError

    # A large plan is many small things that stay: looking again and again which can go takes a fifth of its time.
    gc.set_threshold(200_000)
    # The end of the process frees it all: to look for what can go first takes a third of a second.
    atexit.register(gc.freeze)
    with plain_streams():
        try:
            app()
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(MISTAKE)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            print(f"error: no name on a disk is so long: {error.filename}", file=sys.stderr)
            sys.exit(MISTAKE)


if __name__ == "__main__":
    main()
