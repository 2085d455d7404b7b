"""The command line: `workbench plugins | new | check | plan | match | power | run | ...`.

Nothing is imported before `main` has seen to it that a Ctrl-C meanwhile shows no traceback.
"""

from __future__ import annotations


def main() -> None:
    """Entry point: a user's mistake is told in plain words and ends with exit code 2."""
    import atexit
    import gc
    import signal
    import sys

    interrupts = signal.getsignal(signal.SIGINT)
    if interrupts is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until a command begins there is nothing to leave in order
    from workbench.cli.commands import app
    from workbench.cli.exit_codes import MISTAKE
    from workbench.cli.noticed_exits import noticed_exits
    from workbench.cli.streams import plain_streams
    from workbench.errors import UserError

    # A large plan is many small things that stay: looking again and again which can go takes a fifth of its time.
    gc.set_threshold(200_000)
    # The end of the process frees it all: to look for what can go first takes a third of a second.
    atexit.register(gc.freeze)
    with plain_streams(), noticed_exits():
        try:
            app()
        except (UserError, OSError) as error:
            print(f"error: {_words_of(error)}", file=sys.stderr)
            sys.exit(MISTAKE)
        finally:
            if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
                signal.signal(signal.SIGINT, interrupts)


def _words_of(error: Exception) -> str:
    """What the user is told; raises what is no mistake of theirs."""
    import errno

    if not isinstance(error, OSError):
        return str(error)
    if error.errno != errno.ENAMETOOLONG:
        raise error
    return f"no name on a disk is so long: {error.filename}"


if __name__ == "__main__":
    main()
