"""Images in folders: opened by key, listed for the fingerprint, and looked at before anything trains on them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from PIL import Image

from workbench.contracts.rgb_images import WHITE, check_background, read_rgb, too_large
from workbench.data.annotations import DataError, Entry, Line
from workbench.data.outside_paths import leads_out
from workbench.data.similar_names import similar_file
from workbench.data.video_frames import UNREADABLE, frame_in, frames_of

OF_A_FOLDER = "Write frames: 8 to take 8 images of it"
# How files begin and how whole ones end: what is cut off or is no image is found without decoding any.
WHOLE = {b"\xff\xd8\xff": b"\xff\xd9", b"\x89PNG\r\n\x1a\n": b"IEND\xaeB`\x82"}


class ImageFiles:
    """The images of a dataset, in one folder for all splits or in one for each.

    A key is the name of a file below its folder; where there are several folders, with the folder's own name before it.
    `names` says how files are called, as `COCO_{folder}_{image_id:0>12}.jpg`: `{folder}` is the folder's name, the
    other `fields` come from the annotations. A frame within a file has its number behind it: `clip.gif/12`. No name
    from the annotations may lead out of its folder, unless images may lie `outside`. What is transparent is seen on
    `background`, a colour.
    """

    def __init__(
        self,
        folders: Path | Mapping[str, Path],
        names: str = "{image}",
        fields: Sequence[str] = ("image",),
        outside: bool = False,
        background: str = WHITE,
    ):
        check_background(background)
        self.background = background
        self.single = None if isinstance(folders, Mapping) else folders
        self.by_split = dict(folders) if isinstance(folders, Mapping) else {}
        distinct: dict[Path, str] = {}  # the first split that names the folder
        for split, folder in self.by_split.items():
            distinct.setdefault(folder, split)
        for folder in distinct or {self.single: ""}:
            if folder is None or not folder.is_dir():
                hint = "" if folder is None else similar_file(folder)
                raise DataError(
                    f"there is no folder of images {folder}.{hint} Give its place in the experiment as images"
                )
        unique = len({folder.name for folder in distinct}) == len(distinct)
        self._labels = {folder: folder.name if unique else split for folder, split in distinct.items()}
        self._folders = {label: folder for folder, label in self._labels.items()}
        self.names = names
        _check_names(names, fields)
        self._unbound = outside or leads_out(names.format(folder="1", **dict.fromkeys(fields, "1")), Path("1"))
        self.outside = outside

    def lend(self, split: str, other: str) -> None:
        """Another split has the images of this one."""
        if self.single is None:
            self.by_split[other] = self.by_split[split]

    def key(self, split: str, source: tuple[Entry | Line, str] | None = None, /, **fields: str) -> str:
        """The key of the image of a split with these fields, which come from a key of `source`, where that is told;
        `DataError` for a split without a folder, or a name that leads out of it."""
        folder = self.single
        if folder is None:
            if split not in self.by_split:
                raise DataError(f"images gives no folder for the split '{split}'. It has: {', '.join(self.by_split)}")
            folder = self.by_split[split]
        name = self.names.format(folder=folder.name, **fields)
        # A way out that the experiment file itself names is no way for what comes from the annotations.
        for each in (name,) if not self._unbound else () if self.outside else fields.values():
            if fault := _fault_of(each, folder):
                raise _wrong(source, fields, fault)
        return name if folder is self.single else f"{self._labels[folder]}/{name}"

    def frames(self, key: str, count: int | None) -> tuple[str, ...]:
        """The keys of `count` frames, evenly spaced, of a folder, a pattern or a file; with None, that of an image."""
        if count is None:
            return (key,)
        place = self.path(key)
        above = key.removesuffix(place.name)
        return tuple(above + each.relative_to(place.parent).as_posix() for each in frames_of(place, count))

    def path(self, key: str) -> Path:
        """The file of a key; a frame within a file is `<file>/<number>`, as `frame_in` takes it apart."""
        folder, name = self.single, key
        if folder is None:
            label, _, name = key.partition("/")
            folder = self._folders[label]
        if not self._unbound and (fault := _fault_of(name, folder)):
            raise DataError(f"the image {name!r} {fault}")
        return folder / name

    def open(self, key: str) -> Image.Image:
        """The RGB image, turned as its camera says; `DataError` when it is missing or cannot be decoded."""
        file, frame = frame_in(self.path(key))
        try:
            return read_rgb(file, self.background, frame)
        except FileNotFoundError as error:
            raise DataError(f"the image {file} is missing{_hint(file)}") from error
        except IsADirectoryError as error:
            raise DataError(f"{file} cannot be read: it is a folder. {OF_A_FOLDER}") from error
        except Image.DecompressionBombError as error:
            raise DataError(f"the image {file} is too large: {error}") from error
        except UNREADABLE as error:
            message = f"the image {file} cannot be decoded ({error}). Delete it: then it counts as missing"
            raise DataError(message) from error

    def fault(self, key: str) -> str | None:
        """Why the image cannot be shown; None when it is there and whole.

        A JPEG or PNG that begins and ends as it should is taken to be whole; what does not is decoded, to be sure.
        """
        file, frame = frame_in(self.path(key))
        try:
            begin, tail = ends_of(file)
        except FileNotFoundError:
            return f"{file} is missing{_hint(file)}"
        except IsADirectoryError:
            return f"{file} cannot be read: it is a folder. {OF_A_FOLDER}"
        except OSError as error:
            return f"{file} cannot be read ({error.strerror})"
        fault = fault_of_image(begin, b"" if frame else tail, lambda: self.open(key))
        return fault and f"{file} {fault}"

    def fingerprint(self) -> str:
        """Changes when a file comes, goes, or has another name or size; none is opened."""
        found = hashlib.sha256()
        folders = self._folders or {"": self.single}
        for label, folder in sorted(folders.items()):
            for name, size in sorted(_sizes(str(folder), "")):
                found.update(f"{label}/{name} {size}\n".encode(errors="surrogateescape"))
        return found.hexdigest()[:16]


def ends_of(file: Path) -> tuple[bytes, bytes]:
    """The first and the last bytes of a file, by which `fault_of_image` judges it."""
    with file.open("rb") as opened:
        begin = opened.read(32)
        end = os.fstat(opened.fileno()).st_size
        opened.seek(max(end - 16, 0))
        return begin, opened.read()


def fault_of_image(begin: bytes, tail: bytes, decoded: Callable[[], Image.Image]) -> str | None:
    """Why an image that begins and ends with these bytes cannot be shown, as "is empty"; None where it can.

    A JPEG or PNG that begins and ends as it should is taken to be whole; any other is `decoded`, to be sure, which
    raises `DataError` from what Pillow raises.
    """
    if not begin:
        return "is empty"
    if large := too_large(begin):
        return f"is too large: {large}"
    if any(begin.startswith(head) and tail.endswith(last) for head, last in WHOLE.items()):
        return None
    try:
        decoded().load()
    except DataError as error:
        large = isinstance(error.__cause__, Image.DecompressionBombError)
        return f"is too large: {error.__cause__}" if large else f"cannot be decoded ({error.__cause__})"
    return None


def _fault_of(name: str, folder: Path) -> str:
    """Why a file of that name is none of the folder; nothing where it is."""
    if "\0" in name:
        return "is no name of a file"
    return f"leads out of the folder of images {folder}" if leads_out(name, folder) else ""


def _wrong(source: tuple[Entry | Line, str] | None, fields: Mapping[str, str], fault: str) -> DataError:
    """That says where the name of an image stands."""
    ways = "Put the image there, or write outside_paths: true for the dataset"
    told = f"{', '.join(map(repr, fields.values()))} {fault}. {ways}"
    return source[0].wrong(f"'{source[1]}': {told}") if source else DataError(f"the image {told}")


def _hint(file: Path) -> str:
    similar = similar_file(file)
    return f".{similar}" if similar else ""


def _check_names(names: str, fields: Sequence[str]) -> None:
    known = ("folder", *fields)
    try:
        names.format(**dict.fromkeys(known, "1"))
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        there = ", ".join(f"{{{field}}}" for field in known)
        message = f"'{names}' is no name of an image ({type(error).__name__}: {error}). It may hold {there}"
        raise DataError(message) from error


def _sizes(folder: str, below: str) -> Iterator[tuple[str, int]]:
    """The files of a folder and its folders, by name."""
    with os.scandir(folder) as found:
        for each in found:
            if each.is_dir():
                yield from _sizes(each.path, f"{below}{each.name}/")
            else:
                yield f"{below}{each.name}", each.stat().st_size
