"""A file that is not there, and one whose name differs from it in case, in slashes or in its Unicode form alone.

Such names are one on some systems and two on others: what was written on a Mac or Windows is then not found on Linux.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from workbench.errors import folded
from workbench.storage.places import is_there


def similar_file(file: Path) -> str:
    """`" Did you mean 'images/A.jpg'?"` when there is such a file or folder, else `""`."""
    whole = Path(str(file).replace("\\", "/"))
    here = Path(whole.anchor)
    for part in whole.relative_to(here).parts:
        if is_there(here / part):
            here /= part
            continue
        name = _names(here).get(folded(part))
        if name is None:
            return ""
        here /= name
    return "" if here == file else f" Did you mean '{here}'? It differs in case, slashes or the form of its letters"


def _names(folder: Path) -> Mapping[str, str]:
    try:
        return _listed(folder, folder.stat().st_mtime_ns)
    except OSError:
        return {}


@lru_cache(maxsize=16)
def _listed(folder: Path, _: int) -> Mapping[str, str]:
    """By what they are without these differences: one list for all files that miss."""
    return {folded(each.name): each.name for each in folder.iterdir()}
