"""Models of Hugging Face transformers from a folder: quietly, with every weight, or as a shape alone for a plan."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from workbench.checkpoints.weights import INDEX, CheckpointError, sharded
from workbench.errors import first_of


def transformers_for(what: str) -> ModuleType:
    """The package, or how to install it for `what`."""
    try:
        import transformers
    except ImportError as error:
        raise CheckpointError(f"{what} needs transformers: pip install workbench[hf]") from error
    return transformers


def read_pretrained(
    auto: str,
    folder: Path,
    dtype: torch.dtype = torch.float32,
    part: str | None = None,
    unneeded: tuple[str, ...] = (),
) -> Any:
    """The model of a folder in Hugging Face layout by one of transformers' classes, such as `AutoModelForCausalLM`.

    It lies on torch's default device. On the meta device no weight is read. A weight that the folder lacks is an
    error, unless its name begins as an `unneeded` one: transformers would draw it at random. `part` names the part of
    the config that is wanted alone, where there is one, such as `vision_config`. Code that a folder brings along is not
    run.
    """
    transformers = transformers_for(str(folder))
    for index in folder.glob(f"*{INDEX}"):
        sharded(index)  # transformers follows any name in it
    kind, device = getattr(transformers, auto), torch.get_default_device()
    try:
        with quiet_transformers():
            config = transformers.AutoConfig.from_pretrained(folder)
            config = getattr(config, part, config) if part else config
            if device.type == "meta":
                maker = kind.from_config if hasattr(kind, "from_config") else kind._from_config
                return maker(config, dtype=dtype)
            model, report = kind.from_pretrained(folder, config=config, dtype=dtype, output_loading_info=True)
    except Exception as error:  # transformers raises many kinds for a folder that it cannot read
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(f"transformers makes no model of {folder}: {reason or type(error).__name__}") from error
    lacking = {*report["missing_keys"], *(str(each) for each in report["mismatched_keys"])}
    lacking = sorted(name for name in lacking if not name.startswith(unneeded))
    if lacking:
        raise CheckpointError(
            f"the checkpoint {folder} does not fit its config.json: no weights for {first_of(lacking)}"
        )
    return model.to(device)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Inside, transformers shows no progress and warns of nothing; its own settings come back."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
