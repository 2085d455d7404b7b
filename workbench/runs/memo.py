"""Remembers what many trials have in common, so that it is worked out once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from workbench.model.build import CompositionError


class Memo:
    """What was made, by what it was made of; that something cannot be made is remembered as well."""

    def __init__(self):
        self._made: dict[tuple[Hashable, ...], Any] = {}

    def once(self, parts: tuple[Hashable, ...], make: Callable[[], Any]) -> Any:
        """What `make` gives, once for equal parts; `CompositionError` each time when it raised one. Components and
        settings are equal when they do the same."""
        if parts not in self._made:
            try:
                self._made[parts] = make()
            except CompositionError as error:
                self._made[parts] = error
        found = self._made[parts]
        if isinstance(found, CompositionError):
            raise found
        return found
