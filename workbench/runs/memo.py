"""Remembers what many trials have in common, so that it is worked out once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workbench.model.build import CompositionError


class Memo:
    """What was made, by what it was made of; that something cannot be made is remembered as well."""

    def __init__(self):
        self._by_text: dict[str, Any] = {}
        self._by_parts: dict[tuple, Any] = {}

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` gives, once for all keys that read the same; `CompositionError` each time it raised one."""
        name = repr(key)
        if name not in self._by_text:
            try:
                self._by_text[name] = make()
            except CompositionError as error:
                self._by_text[name] = error
        found = self._by_text[name]
        if isinstance(found, CompositionError):
            raise found
        return found

    def of_parts(self, parts: tuple, make: Callable[[], Any]) -> Any:
        """What `make` gives, once for equal `parts`: components and settings are equal when they do the same."""
        if parts not in self._by_parts:
            self._by_parts[parts] = make()
        return self._by_parts[parts]
