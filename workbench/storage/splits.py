"""The names of splits that results are told by: what trains, what choices are made on, what is asked at the end."""

from __future__ import annotations

TRAIN, HELD_OUT, TEST = "train", "held_out", "test"
CHOOSING = (HELD_OUT, "validation", "valid", "val", "dev")  # splits that are there to choose on


def is_for_choosing(split: str) -> bool:
    """Whether a split may be asked as often as one likes. Any other is taken for a test split: who asks it to choose
    has no unseen images left to report on."""
    return split in CHOOSING
