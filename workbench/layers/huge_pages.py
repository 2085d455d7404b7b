"""Room for weights that are read from end to end for every token, in large pages of memory where Linux gives them."""

from __future__ import annotations

import mmap
from contextlib import suppress

import torch
from torch import Tensor

PAGE = 2 * 2**20
BLOCK = 64 * 2**20  # asked for at once: what is never written to is never taken
LINE = 64  # bytes that a processor reads at once


class HugePages:
    """Copies of tensors, one behind the other. In pages of 2 MB a processor looks up one address for 2 MB that it
    reads, not for every 4 KB (https://docs.kernel.org/admin-guide/mm/transhuge.html).

    On another system, or on a GPU, these are plain copies.
    """

    def __init__(self):
        self._block = torch.empty(0, dtype=torch.uint8)

    def copy(self, tensor: Tensor) -> Tensor:
        """A contiguous copy. Its memory is given back with the last copy of the same block."""
        if tensor.device.type != "cpu" or not hasattr(mmap, "MADV_HUGEPAGE"):
            return tensor.clone(memory_format=torch.contiguous_format)
        if tensor.nbytes > len(self._block):
            self._block = _block(max(BLOCK, tensor.nbytes))
        place, self._block = self._block[: tensor.nbytes], self._block[-(-tensor.nbytes // LINE) * LINE :]
        return place.view(tensor.dtype).view(tensor.shape).copy_(tensor)


def _block(size: int) -> Tensor:
    memory = mmap.mmap(-1, size + PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel without them: its pages are small
        memory.madvise(mmap.MADV_HUGEPAGE)
    block = torch.frombuffer(memory, dtype=torch.uint8)
    return block[-block.data_ptr() % PAGE :]
