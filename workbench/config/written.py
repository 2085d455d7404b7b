"""What the file says about a part of a trial, and what that comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.config.problems import Keys
from workbench.config.validation_messages import Fault


@dataclass(frozen=True)
class Written:
    """What the file says about a part: its value in base or on its own axis, and single settings on axes."""

    value: Any
    keys: Keys
    swept: Mapping[str, tuple[Any, Keys]] = field(default_factory=dict)  # setting -> its value and where it was written


@dataclass(frozen=True)
class Resolved:
    """A part of a trial, or None and what is wrong with it."""

    value: Any
    faults: tuple[Fault, ...] = ()
