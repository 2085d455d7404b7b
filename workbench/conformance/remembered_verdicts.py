"""Verdicts on plugins in a file beside what stages left, for all experiments of a folder of results: what was tried
once is not tried again."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from workbench.errors import UserError
from workbench.storage.atomic import storage_errors, write_text
from workbench.storage.hashing import digest

CHECKS = "checks.json"
MOST_REMEMBERED = 1000


class Verdict(BaseModel):
    """The rules that a plugin breaks, with why, or why that is not known."""

    model_config = ConfigDict(frozen=True, strict=True)

    broken: dict[str, str] = {}  # by title
    obstacle: str = ""

    @property
    def kept(self) -> bool:
        """Whether every rule is known to be kept."""
        return not self.broken and not self.obstacle


class Remembered(BaseModel):
    """What the file holds: verdicts by key, and the checksum of them."""

    model_config = ConfigDict(strict=True)

    verdicts: dict[str, Verdict]
    checksum: str


def read_verdicts(file: Path) -> dict[str, Verdict]:
    """What is remembered; nothing where the file is missing or damaged."""
    try:
        found = Remembered.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return {}
    return found.verdicts if found.checksum == _checksum(found.verdicts) else {}


def remember_verdicts(file: Path, new: Mapping[str, Verdict]) -> None:
    """Add what is new to what is remembered; where nothing can be written, the next one asks again."""
    if new:
        verdicts = dict(list({**read_verdicts(file), **new}.items())[-MOST_REMEMBERED:])
        with suppress(UserError), storage_errors(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            text = Remembered(verdicts=verdicts, checksum=_checksum(verdicts)).model_dump_json(indent=1)
            write_text(file, text)


def _checksum(verdicts: Mapping[str, Verdict]) -> str:
    return digest({key: each.model_dump() for key, each in verdicts.items()})
