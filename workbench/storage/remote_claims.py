"""The claims of a run among all that use a store behind a URL.

A claim is a file that one of all can make (a conditional write, where the server has it); a run shows that it lives by
one other file that it writes anew. Where a server cannot say which of two was first, one run at a time uses the store.
What clocks say plays no part: a run is dead when the other one has watched for a minute that it wrote nothing.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.storage.atomic import StorageError
from workbench.storage.claims import CLAIMS, OF_RUN, RENEWED, STALE, Holder, check_holder, holder_of, is_gone

if TYPE_CHECKING:
    from workbench.storage.remote_files import RemoteFiles
    from workbench.storage.run_claims import RunClaims


class RemoteClaims:
    """What a run has claimed there and in its own folder, by the same tokens; use it in a `with`."""

    def __init__(self, files: RemoteFiles, here: RunClaims, now: Callable[[], float] = time.monotonic):
        self.files, self.here = files, here
        self._now = now
        self._held: dict[str, str] = {}  # key -> token
        self._watched: dict[str, tuple[object, float]] = {}  # name -> what was there, and since when it is so
        self._ended = threading.Event()
        self._renewing = threading.Thread(target=self._renew_until_the_end, name="remote claims", daemon=True)

    def __enter__(self) -> RemoteClaims:
        self.renew()
        try:
            self._exclusive = self.files.can_make(f"{CLAIMS}/.probe")
            if not self._exclusive:
                self._refuse_others()
        except BaseException:
            self.files.remove(_of_run(self.here.me.run))
            raise
        self._renewing.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._ended.set()
        self._renewing.join(RENEWED)
        for key in list(self._held):
            self.release(key)
        with suppress(StorageError):  # what cannot be removed is seen to be dead in a minute
            self.files.remove(_of_run(self.here.me.run))

    def take(self, key: str) -> str | None:
        """Claim a stage in the folder, then there; None where another run has it in either."""
        token = self.here.take(key)
        if token is None:
            return None
        content = dataclasses.replace(self.here.me, token=token).content()
        self._held[key] = token
        while not self._make(key, content):
            if not self._set_aside(key):
                del self._held[key]
                self.here.release(key)
                return None
        self._watched.pop(key, None)
        return token

    def release(self, key: str) -> bool:
        """Give back both claims; whether both were still this run's."""
        token, ours = self._held.pop(key, None), False
        with suppress(StorageError):
            holder = holder_of(self.files.read(f"{CLAIMS}/{key}"))
            if token is not None and holder is not None and holder.token == token:
                self.files.remove(f"{CLAIMS}/{key}")
                ours = True
        return self.here.release(key) and ours

    def holder(self, key: str) -> str:
        """Who is at a stage, in the folder or elsewhere."""
        return self.here.holder(key) or str(holder_of(self.files.read(f"{CLAIMS}/{key}")) or "")

    def renew(self) -> None:
        """Write that this run lives; what is written is never the same twice."""
        content = dataclasses.replace(self.here.me, token=f"{time.time_ns()}").content()
        self.files.write(_of_run(self.here.me.run), content)

    def _renew_until_the_end(self) -> None:
        while not self._ended.wait(RENEWED):
            with suppress(StorageError):  # it may be out of reach for a while; workers look before they keep things
                self.renew()

    def _make(self, key: str, content: bytes) -> bool:
        name = f"{CLAIMS}/{key}"
        if self._exclusive:
            return self.files.make(name, content)
        self.files.write(name, content)  # for the run's own workers: there is no other run
        return True

    def _set_aside(self, key: str) -> bool:
        """Make way for a new claim where the one there is nobody's any more; whether there is none now."""
        name = f"{CLAIMS}/{key}"
        content = self.files.read(name)
        if content is None:
            return True
        if not self._is_dead(key, content) or self.files.read(name) != content:
            return False
        self.files.remove(name)
        return True

    def _is_dead(self, name: str, content: bytes) -> bool:
        holder = holder_of(content)
        if holder is not None and (holder.run == self.here.me.run or _is_gone_here(holder)):
            return True
        state = content, self.files.read(_of_run(holder.run)) if holder else None
        before, since = self._watched.get(name, (None, 0.0))
        if before != state:
            self._watched[name] = state, self._now()
            return False
        return self._now() - since >= STALE

    def _refuse_others(self) -> None:
        """`StorageError` where another run may be going on in a store that cannot tell runs apart."""
        for name in self.files.names(CLAIMS):
            holder = holder_of(self.files.read(f"{CLAIMS}/{name}")) if name.startswith(OF_RUN) else None
            if holder is None or holder.run == self.here.me.run:
                continue
            if _is_gone_here(holder):
                self.files.remove(f"{CLAIMS}/{name}")
                continue
            raise StorageError(
                f"{self.files.url} cannot make a file that only one run can make, so one run at a time may use it:"
                f" {holder} does. Run again when it has ended; if it was killed, delete"
                f" {self.files.url}/{CLAIMS}/{name}"
            )


def check_remote_claim(files: RemoteFiles, key: str, token: str) -> None:
    """`ClaimLost` unless the claim of a stage has this token still."""
    check_holder(holder_of(files.read(f"{CLAIMS}/{key}")), token, f"{files.url}/{CLAIMS}/{key}")


def _of_run(run: str) -> str:
    return f"{CLAIMS}/{OF_RUN}{run}"


def _is_gone_here(holder: Holder) -> bool:
    return bool(holder.folder) and is_gone(Path(holder.folder), holder)
