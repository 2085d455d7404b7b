"""Files below a URL that fsspec reaches: `s3://`, `gs://`, `file://`, `memory://` and others (extra `remote-store`)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workbench.errors import UserError, words_of
from workbench.storage.atomic import StorageError

# What puts a file whole under its name, or not at all; elsewhere it is written beside it and then given the name.
OBJECTS = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "r2", "memory"}
UNABLE = (NotImplementedError, ValueError, TypeError)  # what modes that a file system lacks end with


class RemoteFiles:
    """The files below a URL, by their names there. What goes wrong on the way is a `StorageError` with the URL."""

    def __init__(self, url: str):
        self.url = url.rstrip("/")
        self._files, root = _opened(self.url)
        self._root = root.rstrip("/")

    def exists(self, name: str) -> bool:
        """Whether a file is there now."""
        with self._reaching():
            self._files.invalidate_cache()
            return self._files.exists(f"{self._root}/{name}")

    def read(self, name: str) -> bytes | None:
        """What a file holds; None where there is none."""
        try:
            with self._reaching():
                self._files.invalidate_cache()
                return self._files.cat_file(f"{self._root}/{name}")
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole, in the place of another one."""
        with self._writing(name) as path:
            self._files.pipe_file(path, content)

    def make(self, name: str, content: bytes) -> bool:
        """Write a file unless there is one, which one of all can do; whether it was this one."""
        try:
            with self._reaching():
                self._make_parent(name)
                with self._files.open(f"{self._root}/{name}", "xb") as new:
                    new.write(content)
        except FileExistsError:
            return self.read(name) == content  # a server may say so of what it did when it is asked twice
        return True

    def can_make(self, name: str) -> bool:
        """Whether `make` does what it says here, tried with a file of this name: some write over what is there."""
        probe = f"{name}-{uuid.uuid4().hex[:12]}"
        try:
            with self._reaching(passed_on=(FileExistsError, *UNABLE)):
                self._make_parent(name)
                for content in (b"first", b"second"):
                    with self._files.open(f"{self._root}/{probe}", "xb") as new:
                        new.write(content)
        except FileExistsError:
            return True
        except UNABLE:
            return False
        finally:
            self.remove(probe)
        return False

    def put(self, file: Path, name: str) -> None:
        """Bring a file of this machine there."""
        with self._writing(name) as path:
            self._files.put_file(str(file), path)

    def get(self, name: str, file: Path) -> None:
        """Bring a file from there to this machine; `FileNotFoundError` where there is none."""
        with self._reaching():
            self._files.get_file(f"{self._root}/{name}", str(file))

    def remove(self, name: str) -> None:
        """Remove a file, or a folder with all that is in it, if there is one."""
        with self._reaching():
            path = f"{self._root}/{name}"
            self._files.invalidate_cache()
            if self._files.exists(path):
                self._files.rm(path, recursive=True)

    def names(self, folder: str = "") -> list[str]:
        """What lies in a folder there."""
        try:
            with self._reaching():
                self._files.invalidate_cache()
                found = self._files.ls(f"{self._root}/{folder}".rstrip("/"), detail=False)
        except FileNotFoundError:
            return []
        return sorted(each.rstrip("/").rpartition("/")[2] for each in found)

    @contextmanager
    def _writing(self, name: str) -> Iterator[str]:
        path = f"{self._root}/{name}"
        with self._reaching():
            self._make_parent(name)
            if _protocols(self._files) & OBJECTS:
                yield path
                return
            temporary = f"{path}.{uuid.uuid4().hex[:12]}.tmp"
            yield temporary
            self._files.mv(temporary, path)

    def _make_parent(self, name: str) -> None:
        self._files.makedirs(f"{self._root}/{name}".rpartition("/")[0], exist_ok=True)

    @contextmanager
    def _reaching(
        self, passed_on: tuple[type[Exception], ...] = (FileNotFoundError, FileExistsError)
    ) -> Iterator[None]:
        try:
            yield
        except passed_on:
            raise
        except Exception as error:  # every library that reaches something has exceptions of its own
            found = StorageError(f"{self.url} cannot be used: {words_of(error)}")
            found.transient = True
            raise found from error


def _opened(url: str) -> tuple[Any, str]:
    """The file system of a URL, and its path there; `UserError` where what reaches it is not installed."""
    if "://" not in url:
        raise UserError(f"--store {url} is no URL: give one such as s3://bucket/folder. A folder is given by --results")
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise UserError(f"--store {url} needs fsspec: pip install workbench[remote-store]") from error
    try:
        return url_to_fs(url, use_listings_cache=False)
    except ImportError as error:  # it names the package
        raise UserError(f"--store {url}: {words_of(error)}") from error
    except ValueError as error:
        raise UserError(
            f"--store {url}: {words_of(error)}. Give a URL that fsspec knows, as s3://bucket/folder"
        ) from error
    except Exception as error:
        raise UserError(f"--store {url} cannot be used: {words_of(error)}") from error


def _protocols(files: Any) -> set[str]:
    return {files.protocol} if isinstance(files.protocol, str) else set(files.protocol)
