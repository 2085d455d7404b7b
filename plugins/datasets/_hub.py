"""The library `datasets`, and where it keeps what it fetches from the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench import UserError


def library() -> Any:
    """The library itself; `UserError` where it is not installed."""
    try:
        import datasets
    except ImportError as error:
        raise UserError("this needs the library datasets: pip install workbench[data]") from error
    return datasets


def places(hub: str) -> list[Path]:
    """Where the library keeps what it fetches from the hub, and the folder itself where the name is that of one."""
    config = library().config
    kept = [config.HF_DATASETS_CACHE, config.HF_CACHE_HOME, config.DOWNLOADED_DATASETS_PATH]
    return [*([Path(hub)] if Path(hub).is_dir() else []), *map(Path, kept)]
