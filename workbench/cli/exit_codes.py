"""How a command ends: 0 when it did all it was asked to, else one of these."""

from __future__ import annotations

FAILED = 1  # a trial failed, a plugin breaks its contract, or results are not what they claim
MISTAKE = 2  # what the user wrote cannot be used
SIGNALLED = 128  # ended by a signal: so much more than its number, as shells count; SIGTERM 143, SIGHUP 129
INTERRUPTED = SIGNALLED + 2  # Ctrl-C
