"""The one exception a user is meant to read: what is wrong, where, and what to write instead.

The command line prints it without a traceback and ends with exit code 2. At each border where the outside world enters
(experiment file, plugins, checkpoints, data, results, the disk) one subclass says so, declared there. Any other
subclass is one that somebody catches by its name.
"""

from __future__ import annotations

import bdb
import difflib
import re
import traceback
import unicodedata
from collections.abc import Iterable
from pathlib import Path

RENAMED = {"picture": "image", "pictures": "images"}
"""Words that options, columns, keys and examples had in earlier versions, and what they are called now."""

# What terminals obey: CSI and OSC sequences and other escapes, ECMA-48.
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]?|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)|\x1b[ -/]*[0-~]?", re.DOTALL)
# Control characters but tab and line feed, and those that turn the direction of text around.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

_DEBUGGERS = (bdb.__file__, f"{Path(bdb.__file__).parent / 'pdb.py'}")


class UserError(Exception):
    """A mistake in what the user gave; the message says how to mend it.

    Where it ends the work of a stage, its record holds what these say, and the run goes on by it.
    """

    transient: bool = False
    """Whether the same may go well another time: the stage is tried again."""
    key: str | None = None
    """The key of an earlier stage whose result cannot be read: that one is made again."""
    reason: str | None = None
    """Why a worker had to end, in a word of `workers/failure.py`, where that is nothing the stage did."""


class EndedProcess(SystemExit):
    """`os._exit` was called where that would have ended a command without a word."""

    def __init__(self, status: int, place: str):
        super().__init__(status)
        self.place = place

    def __str__(self) -> str:
        return f"os._exit({self.code}) was called in {self.place}"


class RenamedError(UserError, AttributeError):
    """A name of an earlier version, which is another one now."""


def first_of(names: Iterable[str], shown: int = 4) -> str:
    """The first names in words, and how many more there are: `a, b, c, d and 3 more`."""
    found = list(names)
    more = f" and {len(found) - shown} more" if len(found) > shown else ""
    return ", ".join(found[:shown]) + more


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`" Did you mean 'cross_attention'?"` when a known word is close, or means the same, else `""`."""
    names = [str(name) for name in known]
    # Files and experiments may be of different age: the new word for an old one, or the old one for a new one.
    same = [new if word == old else old for old, new in RENAMED.items() if word in (old, new)]
    close = [name for name in same if name in names] or [name for name in names if folded(name) == folded(word)]
    close = close or difflib.get_close_matches(str(word), names, n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""


def folded(name: object) -> str:
    """A name without case, with slashes one way and accents in one form: what many take for the same is the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(name)).casefold()).replace("\\", "/")


def plain(text: str) -> str:
    """Text of others as it may be shown on a terminal: its words, without anything that a terminal obeys."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n"))


def words_of(error: BaseException) -> str:
    """What went wrong, in plain words and never in none: an exception that says nothing is told by its type, and by
    where it was raised; so is one that means to end the process."""
    said = plain(str(error)).strip()
    if isinstance(error, EndedProcess):
        return said
    if isinstance(error, SystemExit):
        return f"sys.exit({said}) was called{_place_of(error)}"
    if isinstance(error, bdb.BdbQuit):
        return f"a debugger was started, or left,{_place_of(error)}: a worker process has no terminal to debug at"
    return said or f"{type(error).__name__} without a message{_place_of(error)}"


def _place_of(error: BaseException) -> str:
    frames = [each for each in traceback.extract_tb(error.__traceback__) if each.filename not in _DEBUGGERS]
    return f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
