"""Whether a name in a file of data leads out of the folder it is to be found in."""

from __future__ import annotations

import os
from pathlib import Path


def leads_out(name: str, folder: Path) -> bool:
    """Whether a name is the way to somewhere outside the folder, as `../x.jpg` or `/x.jpg`. Links that lie in the
    folder are its owner's, who may have put them there to keep the files elsewhere."""
    absolute, upwards = name.startswith("/"), ".." in name.split("/")
    if not absolute and not upwards:
        return False
    way = os.path.join(folder.absolute(), name)  # noqa: PTH118 (a Path would be another way where `..` is in it)
    if not upwards and Path(way).is_relative_to(folder.absolute()):
        return False
    there = os.path.realpath(os.path.dirname(way))  # noqa: PTH120
    return os.path.basename(name) in ("", "..") or not Path(there).is_relative_to(folder.resolve())  # noqa: PTH119
