"""Tables that are printed whole: a row is a line, however narrow the terminal, and no number is cut.

Where nobody looks (a pipe, a file) there is no width to fit into; a terminal goes on in its next line.
"""

from __future__ import annotations

from rich.console import Console
from rich.segment import Segments
from rich.table import Table

MOST = 100_000  # letters of a line


def print_whole(console: Console, table: Table) -> None:
    """Print a table as wide as it is."""
    wanted = console.measure(table, options=console.options.update_width(MOST)).maximum
    segments = list(console.render(table, console.options.update_width(max(1, wanted))))
    console.print(Segments(segments), end="", soft_wrap=True)


def print_where_it_fits(console: Console, table: Table) -> None:
    """Print a table of long texts: folded to the width of a terminal, whole where there is none."""
    if console.is_terminal:
        console.print(table)
    else:
        print_whole(console, table)
