"""What the command line writes to: plain words wherever they come from, in whatever characters the other side takes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from workbench.errors import UserError, plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


class AnyText:
    """A stream that takes any character: one that its encoding lacks is written by its number, as in a Python text.
    All else is the stream's own."""

    def __init__(self, stream: TextIO):
        self.stream = stream

    def write(self, text: str) -> int:
        """Write a text."""
        encoding = self.stream.encoding or "utf-8"  # of text in memory it is None
        with _refusals_in_words():
            self.stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        with _refusals_in_words():
            self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def _refusals_in_words() -> Iterator[None]:
    """A full disk behind a redirection is nothing that is wrong here. A pipe whose reader left is no error at all."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"cannot write what is to be shown: {error.strerror}. Is it redirected to a file?") from error


class PlainStream(AnyText):
    """One that takes words alone: what plugins print in this process, and what models answer, does nothing to a
    terminal."""

    def __init__(self, stream: TextIO):
        super().__init__(stream)
        self.rich_proxied_file = AnyText(stream)  # where rich writes, whose styles are ours

    def write(self, text: str) -> int:
        """Write the words of a text."""
        return super().write(plain(text))


@contextmanager
def plain_streams() -> Iterator[None]:
    """Inside, standard output and errors take any character, and show words alone."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (None if each is None else PlainStream(each) for each in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def console(stderr: bool = False) -> Console:
    """Where commands show things; labels, notes and errors are shown as words alone."""
    from rich.console import Console

    class PlainConsole(Console):
        def render_str(self, text: str, **how: Any) -> Text:
            return super().render_str(plain(text), **how)

        def on_broken_pipe(self) -> None:
            raise  # noqa: PLE0704 (within rich's handler; the command line knows how to end then)

    return PlainConsole(stderr=stderr)
