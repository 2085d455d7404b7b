"""The folder for what can be made again at any time, the same for all experiments of a user."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(name: str) -> Path:
    """`~/.cache/workbench/NAME`, or below `XDG_CACHE_HOME`; it need not be there yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "workbench" / name
