"""How a command ends: 0 when it did all it was asked to, else one of these."""

from __future__ import annotations

FAILED = 1  # a trial failed, a plugin breaks its contract, or results are not what they claim
MISTAKE = 2  # what the user wrote cannot be used
INTERRUPTED = 130  # Ctrl-C, as shells count it
