"""The claims of a run: taken before a stage begins, renewed while it is done, given back when it ended.

Two runs never need to agree on more than this: a file of a name can be made by one of them alone, and renamed by one
of them alone. Where a file system has locks (`flock`) and both runs are on one machine, the second one knows at once
that the first is dead; otherwise when its claims were not renewed for a minute.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from workbench.storage.atomic import storage_errors, temporary_sibling
from workbench.storage.claims import (
    CLAIMS,
    OF_RUN,
    RENEWED,
    STALE,
    Holder,
    boot_id,
    content_of,
    holder_of,
    id_of,
    is_gone,
    seconds_since,
)
from workbench.storage.locks import LOCKS, kept_locked, locked

NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.EXDEV, errno.EACCES}
TAKING_OVER = "taking-over"  # the lock that is held meanwhile, where there are locks
SURE = RENEWED + 2.0  # seconds that a stale claim is watched: where a clock was set, its run renews it meanwhile


class RunClaims:
    """What a run has claimed in the folder of a store; use it in a `with`."""

    def __init__(self, store: Path, now: Callable[[], float] = time.monotonic):
        self.folder = store / CLAIMS
        place = str(self.folder.absolute())
        self.me = Holder(platform.node(), boot_id(), os.getpid(), uuid.uuid4().hex, folder=place)
        self._now = now
        self._held: dict[str, str] = {}  # key -> token
        self._watched: dict[str, tuple[object, float]] = {}  # key -> what its claim was, and since when it is so
        self._open, self._ended = ExitStack(), threading.Event()

    def __enter__(self) -> RunClaims:
        own = self.folder / f"{OF_RUN}{self.me.run}"
        with storage_errors(own), ExitStack() as opened:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = opened.enter_context(kept_locked(own))
            self.me = dataclasses.replace(self.me, lock=lock, folder_id=id_of(self.folder))
            opened.callback(own.unlink, missing_ok=True)
            own.write_bytes(self.me.content())
            self._open = opened.pop_all()
        renewing = threading.Thread(target=self._renew_until_the_end, name="claims", daemon=True)
        renewing.start()
        self._open.callback(renewing.join, RENEWED)
        self._open.callback(self._ended.set)
        return self

    def __exit__(self, *reason: object) -> None:
        for key in list(self._held):
            self.release(key)
        with contextlib.suppress(OSError):  # what cannot be removed is stale in a minute
            self._open.close()

    def take(self, key: str) -> str | None:
        """Claim a stage: returns the token that its worker has to show, another one each time. None when another run is
        at it, or may be."""
        file, token = self.folder / key, uuid.uuid4().hex
        with storage_errors(file):
            self.folder.mkdir(parents=True, exist_ok=True)  # somebody may have removed it during the run
            self._held[key] = token  # first: it is given back even where the run is interrupted here
            while not self._make(file, dataclasses.replace(self.me, token=token).content()):
                if not self._set_aside(file):
                    del self._held[key]
                    return None
            self._watched.pop(key, None)
            return token

    def holder(self, key: str) -> str:
        """Who is at a stage, in words; empty where nobody is."""
        with storage_errors(self.folder / key):
            return str(holder_of(content_of(self.folder / key)) or "")

    def release(self, key: str) -> bool:
        """The stage has ended, however it did: its worker, should it live on, keeps nothing any more. Returns whether
        the claim was still this run's."""
        token = self._held.pop(key, None)
        with contextlib.suppress(OSError):
            if token is not None and self._is_mine(key, token):
                (self.folder / key).unlink()
                return True
        return False

    def renew(self) -> None:
        """Say that this run lives. What another one has taken over meanwhile is not touched."""
        with contextlib.suppress(OSError):
            os.utime(self.folder / f"{OF_RUN}{self.me.run}")
        for key, token in list(self._held.items()):
            with contextlib.suppress(OSError):  # the disk may be away for a while; workers look before they keep things
                if self._is_mine(key, token):
                    os.utime(self.folder / key)

    def others(self) -> bool:
        """Whether another run may be going on."""
        return any_alive(self.folder, self.me.run)

    def _renew_until_the_end(self) -> None:
        while not self._ended.wait(RENEWED):
            self.renew()

    def _is_mine(self, key: str, token: str) -> bool:
        holder = holder_of(content_of(self.folder / key))
        return holder is not None and holder.token == token

    def _make(self, file: Path, content: bytes) -> bool:
        """Make the file, whole, unless there is one."""
        temporary = temporary_sibling(file)
        try:
            temporary.write_bytes(content)
            os.link(temporary, file)
        except FileExistsError:
            return content_of(file) == content  # a file server may say so of what it did when it is asked twice
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            return _make_in_place(file, content)
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def _set_aside(self, file: Path) -> bool:
        """Make way for a new claim where the one there is nobody's any more; whether there is none now."""
        with locked(
            self.folder.parent / LOCKS / TAKING_OVER
        ) as mine:  # another run that does the same is waited for, as others are
            content = content_of(file)
            if content is None:
                return True
            return mine and self._is_stale(file, content) and self._rename(file, content)

    def _rename(self, file: Path, content: bytes) -> bool:
        """Where there are no locks another run may be faster: what has then been renamed is its new claim, and is put
        back. Should a third one have made its own meanwhile, the worker of the second finds that out."""
        aside = file.with_name(f".stale-{getattr(holder_of(content), 'token', '')}-{uuid.uuid4().hex}")
        try:
            file.rename(aside)
        except FileNotFoundError:
            return True
        found = content_of(aside)
        if found not in (content, None):
            self._make(file, found)
        aside.unlink(missing_ok=True)
        return found == content

    def _is_stale(self, file: Path, content: bytes) -> bool:
        """Whether the run of a claim has died: known at once on one machine, otherwise by its age."""
        holder = holder_of(content)
        if holder is not None and (holder.run == self.me.run or is_gone(self.folder, holder)):
            return True
        try:
            state, age = (content, file.stat().st_mtime_ns), seconds_since(file)
        except FileNotFoundError:
            return False
        before, since = self._watched.get(file.name, (None, 0.0))
        if before != state:
            self._watched[file.name] = state, self._now()
            return False
        return self._now() - since >= (SURE if age > STALE else STALE)


def any_alive(claims: Path, but: str = "") -> bool:
    """Whether a run may be going on there, `but` that one: its file, or a claim, was renewed within a minute, and it is
    not known to be dead."""
    return any(_may_live(file, but) for file in _files(claims))


def remove_dead_claims(claims: Path) -> None:
    """Remove what runs that ended have left."""
    for file in [file for file in _files(claims) if not _may_live(file)]:
        file.unlink(missing_ok=True)


def _files(claims: Path) -> list[Path]:
    return [file for file in sorted(claims.glob("*")) if file.is_file() and not file.is_symlink()]


def _may_live(file: Path, but: str = "") -> bool:
    try:
        holder = holder_of(content_of(file))
        if holder is not None and (holder.run == but or is_gone(file.parent, holder)):
            return False
        return seconds_since(file) <= STALE
    except FileNotFoundError:  # it was given back just now
        return False


def _make_in_place(file: Path, content: bytes) -> bool:
    """The same where a file has one name alone. What is half written names nobody, and is judged by its age."""
    try:
        with file.open("xb") as new:
            new.write(content)
            new.flush()
            os.fsync(new.fileno())
    except FileExistsError:
        return False
    return True
