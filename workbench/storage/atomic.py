"""Writes that happen whole or not at all: to a temporary name beside the final one, synced, then renamed.

A reader never sees half a file or half a folder, and a killed or failed write leaves what was there before.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from workbench.errors import UserError

_REASONS = {
    errno.ENOSPC: "the disk is full. Free some space and run again",
    errno.EDQUOT: "your disk quota is used up. Free some space and run again",
    errno.EFBIG: "the file would be larger than the system allows here",
    errno.EROFS: "the file system is read-only. Give another folder",
    errno.EACCES: "there is no permission to write there. Give a folder that you may write to",
    errno.EPERM: "there is no permission to write there. Give a folder that you may write to",
    errno.ENOTDIR: "a part of that path is a file, not a folder. Give another folder",
    errno.EISDIR: "there is a folder of that name. Move it away or give another name",
    errno.EEXIST: "there is a file of that name. Move it away or give another name",
    errno.ENOENT: "its folder was removed while it was being written. Run again",
    errno.ENAMETOOLONG: "the name is too long. Give a shorter one",
}

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")


class StorageError(UserError):
    """The border to the disk: something could not be written."""


@contextmanager
def storage_errors(path: Path, error_type: type[UserError] = StorageError) -> Iterator[None]:
    """Turn an `OSError` of the body, which writes `path`, into a plain message that names the path."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, f"{error.strerror or error}")
        found = error_type(f"cannot write {path}: {reason}")
        found.transient = True  # the place is at fault, not what was to be written there
        raise found from error


def temporary_sibling(final: Path) -> Path:
    """A name beside `final` that nobody else uses: hidden, so that readers which list the folder pass it by."""
    return final.with_name(f".{final.name}.{uuid.uuid4().hex[:12]}.tmp")


def is_temporary(path: Path) -> bool:
    """Whether a path has a name that `temporary_sibling` gave."""
    return _TEMPORARY.fullmatch(path.name) is not None


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8); the folder must exist."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file; the folder must exist."""
    temporary = temporary_sibling(path)
    with storage_errors(path):
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync(path.parent)


def always() -> None:
    """Nothing forbids it."""


@contextmanager
def new_folder(
    final: Path, error_type: type[UserError] = StorageError, check: Callable[[], None] = always
) -> Iterator[Path]:
    """A temporary folder to fill; it becomes `final` when the body ends well, and is removed when it does not, or when
    `check` raises, which is called last, with everything on the disk."""
    with storage_errors(final, error_type):
        temporary = temporary_sibling(final)
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        try:
            yield temporary
            replace_folder(temporary, final, check)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def replace_folder(temporary: Path, final: Path, check: Callable[[], None] = always) -> None:
    """Give a complete folder its final name, unless `check` raises; a folder of that name moves aside first and is then
    removed."""
    for file in temporary.rglob("*"):
        if file.is_file():
            _sync(file)
    _sync(temporary)
    check()
    # No portable call swaps two folders: between these renames a reader sees none, but never half of one.
    aside = _moved_aside(final)
    try:
        try:
            temporary.rename(final)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not final.is_dir():
                raise
            # Another process has put its own there meanwhile; the last one stays.
            remove(_moved_aside(final))
            temporary.rename(final)
    except OSError:
        if aside is not None and not final.exists():
            aside.rename(final)
        raise
    _sync(final.parent)
    remove(aside)


def remove(path: Path | None) -> None:
    """Remove a file or a folder as far as that can be done; what stays is in nobody's way."""
    if path is None:
        return
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def remove_at_once(folder: Path) -> None:
    """Remove a folder, if there is one; none is there under its name from the beginning on, whatever is killed then."""
    aside = temporary_sibling(folder)
    with suppress(FileNotFoundError):  # there is none, or somebody else was faster
        folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def _moved_aside(folder: Path) -> Path | None:
    """Where the folder is now, if there was one."""
    if not folder.is_dir():
        return None
    aside = temporary_sibling(folder)
    try:
        folder.rename(aside)
    except FileNotFoundError:  # another process did the same
        return None
    return aside


def _sync(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk."""
    if path.is_dir() and os.name == "nt":  # Windows cannot open folders
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
