"""Which device to compute on: the one place where that is decided."""

from __future__ import annotations

from workbench.errors import UserError


class DeviceError(UserError):
    """A device that is not there."""


def find_device(wanted: str) -> str:
    """`auto` -> `cuda` where there is a GPU, else `cpu`; any other name is checked."""
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(f"--device {wanted}: {str(error).splitlines()[0]}. Use cpu, cuda or auto") from error
    return wanted
