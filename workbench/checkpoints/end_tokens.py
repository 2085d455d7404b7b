"""Which tokens end an answer: Llama 3, Gemma and Qwen have several, and their files name them all."""

from __future__ import annotations

import json
from pathlib import Path

from workbench.checkpoints.json_files import object_if_there
from workbench.checkpoints.weights import CheckpointError

GENERATION = "generation_config.json"
ENDS = (GENERATION, "config.json")  # the first is what transformers generates by


def end_tokens(file: Path) -> list[int]:
    """The ids that a checkpoint's file names as `eos_token_id`, one or a list; none where it names none, or there is no
    such file. `CheckpointError` where it names what is no id."""
    told = object_if_there(file).get("eos_token_id")
    ids = told if isinstance(told, list) else [] if told is None else [told]
    if not all(isinstance(id_, int) and not isinstance(id_, bool) for id_ in ids):
        raise CheckpointError(
            f"{file}: eos_token_id is the number of a token, or a list of them, not {json.dumps(told)}"
        )
    return [id_ for id_ in ids if id_ >= 0]
