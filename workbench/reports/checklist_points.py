"""What a point of the reviewers' checklist is answered with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.storage.records import Record

YES, PARTLY, NO, UNKNOWN, NEEDLESS = "yes", "in part", "no", "not on record", "not applicable"


@dataclass(frozen=True)
class Point:
    """What is asked, the answer in a word or two, and the sentences that back it."""

    asked: str
    answer: str
    told: Sequence[str]


def values_of(records: Sequence[Record], *path: str) -> list[Any]:
    """Every value that the records have at that place of their content, each once: ("spec", "evaluation", "split")."""
    found: dict[str, Any] = {}
    for record in records:
        value: Any = getattr(record, path[0])
        for name in path[1:]:
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None:
            found.setdefault(json.dumps(value, sort_keys=True), value)
    return list(found.values())


def made_of(records: Sequence[Record], kind: str) -> list[str]:
    """What the results were made of, of that kind: `plugin`, `data`, `file`; by the names that records have."""
    names = {name for record in records for name in record.provenance.get("made_of", {})}
    return sorted(name.removeprefix(f"{kind}:") for name in names if name.startswith(f"{kind}:"))
