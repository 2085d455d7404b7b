"""Phases that several processes train together, forked with all that is loaded; what each of them ends with."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from tests.processes import forked
from workbench.training.ranks import Ranks


def on_ranks(count: int, folder: Path, do: Callable[[Ranks, Path], Any]) -> list[Any]:
    """What a function of a module gives on each of so many ranks, which meet in a folder of their own."""
    folder.mkdir(parents=True)
    processes = [forked(_as_rank, rank, count, folder, do) for rank in range(count)]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * count
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(count)]


def same(one: Any, other: Any) -> bool:
    """Whether two results hold the same bits."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, Sequence) and not isinstance(one, str):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def _as_rank(rank: int, count: int, folder: Path, do: Callable[[Ranks, Path], Any]) -> None:
    os.environ |= {"GLOO_SOCKET_IFNAME": "lo", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    torch.set_num_threads(1)
    store = distributed.FileStore(str(folder / "store"), count)  # pyright: ignore[reportPrivateImportUsage]
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=count)
    torch.save(do(Ranks(rank, count), folder), folder / f"{rank}.pt")
    Ranks(rank, count).gathered(None)
    distributed.destroy_process_group()
