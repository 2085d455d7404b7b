"""Which device to compute on, and that it computes the same bits each time: the one place where that is decided."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from workbench.errors import UserError

if TYPE_CHECKING:
    import torch


log = logging.getLogger(__name__)

KINDS = ("cpu", "cuda", "mps")
_WRITE = f"Use {', '.join(KINDS)} or auto"


def find_device(wanted: str) -> str:
    """`auto` -> `cuda` where there is a GPU, else `cpu`; any other name is checked, and so is the processor's."""
    import torch

    from workbench.devices.capabilities import check_processor

    check_processor()
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(wanted).type
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0].partition(". ")[0].rstrip(".")  # what follows is for torch's own authors
        raise UserError(f"--device {wanted}: there is no such device here ({reason}). {_WRITE}") from error
    if kind not in KINDS:
        raise UserError(f"--device {wanted}: nothing can be trained on it. {_WRITE}")
    return wanted


def sent(tensor: torch.Tensor, device: torch.device | str) -> torch.Tensor:
    """The tensor on the device. A GPU copies from page-locked memory: nothing then waits for what it still computes
    (https://docs.pytorch.org/docs/stable/notes/cuda.html#use-pinned-memory-buffers)."""
    if tensor.is_cpu and str(device).startswith("cuda"):
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def device_name(device: str) -> str:
    """What messages call a device."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    if device != "cpu":
        return f"the device {device}"
    from workbench.devices.capabilities import instructions

    return f"this processor ({instructions()})"


def facts_of(device: str) -> dict[str, Any]:
    """What a record says of a device."""
    if not device.startswith("cuda"):
        from workbench.devices.capabilities import instructions

        return {"device": device, "instructions": instructions()}
    import torch

    return {"device": device, "gpu": torch.cuda.get_device_name(device), "cuda": torch.version.cuda}


def compute_repeatably(device: str | torch.device) -> None:
    """From now on this process gets the same bits from the same inputs. A CPU's kernels do so anyway; on a GPU the sums
    of atomic additions and some of cuBLAS' kernels depend on who comes first, unless they are told not to
    (https://docs.pytorch.org/docs/stable/notes/randomness.html). Called before the process first uses the GPU."""
    if not str(device).startswith("cuda"):
        return
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    # Nothing here reads memory before it is written; the module is one with properties, which pyright does not know.
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010


def repeatably_if_possible(work: Callable[[str | None], None]) -> None:
    """Do the work; when an operation of it has no way to give the same bits each time, do it again from its beginning
    with that operation as it is. The work is told the name of such an operation, the first time None."""
    try:
        work(None)
        return
    except RuntimeError as error:
        operation, told, _ = str(error).partition(" does not have a deterministic implementation")
        if not told:
            raise
    import torch

    before = torch.are_deterministic_algorithms_enabled()
    log.warning("%s differs in its last bits from run to run on this GPU; the record says so", operation)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        work(operation)
    finally:
        torch.use_deterministic_algorithms(before)
