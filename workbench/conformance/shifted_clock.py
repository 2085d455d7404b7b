"""A clock that is a day ahead: what depends on the time shows by it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

ANOTHER_DAY = 86401.5  # seconds


@contextmanager
def another_day() -> Iterator[None]:
    """In the body it is tomorrow, and another half of the second."""
    now, now_ns = time.time, time.time_ns
    with (
        mock.patch.object(time, "time", lambda: now() + ANOTHER_DAY),
        mock.patch.object(time, "time_ns", lambda: now_ns() + int(ANOTHER_DAY * 1e9)),
    ):
        yield
