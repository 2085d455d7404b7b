"""Whether something lies where a user's words say: what may be a text as well as a place never ends in an `OSError`.

`Path.exists` and its kin raise for a name that is longer than any disk takes (255 bytes nearly everywhere), which a
question easily is, and for a folder that may not be entered.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TypeVar

Named = TypeVar("Named", Path, str)


def is_file(place: Path | str) -> bool:
    """Whether a file lies there that can be reached."""
    return is_there(place) and Path(place).is_file()


def is_folder(place: Path | str) -> bool:
    """Whether a folder lies there that can be reached."""
    return is_there(place) and Path(place).is_dir()


def is_there(place: Path | str) -> bool:
    """Whether anything lies there that can be reached."""
    try:
        Path(place).stat()
    except (OSError, ValueError):  # a null character is a ValueError, a name that is too long an OSError
        return False
    return True


def regular(file: Named) -> Named:
    """The file that is to be read; `OSError` for a pipe or a device there, which might keep its reader waiting for
    ever, and as `open` does where nothing lies there."""
    mode = os.stat(file).st_mode  # noqa: PTH116 (a Path takes longer)
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "it is no regular file", str(file))
    return file


def unusable(place: Path | str) -> str:
    """Why nothing can lie there, whatever is on the disk; empty where something could."""
    parts = Path(place).parts
    if "\0" in str(place):
        return "no name on a disk has a null character"
    long = next((part for part in parts if len(part.encode("utf-8", "surrogatepass")) > 255), None)
    return "" if long is None else f"no name on a disk is so long ('{long[:40]}...' has {len(long)} characters)"
