"""Gradients that several ranks compute, added up in the order of the micro-batches: as one device would, to the bit.

A floating-point sum depends on its order, and that of an all-reduce is its backend's: so N devices usually differ from
one in the last bits. Here each rank is sent its part of every rank's gradients, adds them up in the order of the ranks
behind what earlier rounds came to, and in the last round sends the sums to all. In a phase without `accumulate` that
moves as many bytes as an all-reduce does; with it, every round but the last moves half of them again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from workbench.errors import UserError
from workbench.training.ranks import Ranks

if TYPE_CHECKING:
    from workbench.training.objectives import Objective


class Rounds(Protocol):
    """How the micro-batches of a step add up: in a round, each rank works through one."""

    def begin(self, number: int, last: bool) -> None:
        """Before the passes of round `number`, counted from 0; behind those of the `last`, every rank has the sum, of
        the weights that it moves."""
        ...

    def end(self, last: bool) -> None:
        """Behind the passes of a round."""
        ...

    def whole(self) -> AbstractContextManager[None]:
        """Inside, the model is what it is on a single device, but must not be changed."""
        ...

    def put_together(self) -> None:
        """The model is what it is on a single device, from now on: no round follows."""
        ...


class LocalRounds:
    """Those of a single device: torch adds up by itself."""

    def begin(self, number: int, last: bool) -> None:
        """Nothing is to be done."""

    def end(self, last: bool) -> None:
        """Nothing is to be done."""

    def whole(self) -> AbstractContextManager[None]:
        """It is."""
        return nullcontext()

    def put_together(self) -> None:
        """It is."""


class SharedRounds(LocalRounds):
    """Those of ranks which hold the whole model each, by torch's `DistributedDataParallel`: it tells when a bucket of
    gradients is there, and goes on with the backward pass of a GPU meanwhile."""

    def __init__(self, objective: Objective, parameters: Sequence[nn.Parameter], ranks: Ranks):
        from torch.nn.parallel import DistributedDataParallel

        self.parameters = parameters
        self.sums = OrderedSums(ranks)
        # A parameter may have no part in a micro-batch, as the encoder has none in text alone; one that has none in any
        # keeps no gradient. Weights and buffers are alike already, or `check_alike` would have told.
        wrapped = DistributedDataParallel(
            Pass(objective.module, objective.mean),
            init_sync=False,
            forward_sync_buffers=False,
            find_unused_parameters=True,
        )
        wrapped.register_comm_hook(self.sums, lambda sums, bucket: _add_up(sums, bucket))
        objective.hot = wrapped

    def begin(self, number: int, last: bool) -> None:
        """A round begins without gradients: what earlier ones came to is kept where it is added up."""
        self.sums.begin(number, last)
        for parameter in self.parameters:
            parameter.grad = None


class OrderedSums:
    """Adds up buckets of gradients, of which every rank owns a part: in a round in the order of the ranks."""

    def __init__(self, ranks: Ranks):
        self.ranks = ranks
        self._sums: dict[int, Tensor] = {}  # by bucket: this rank's part of all earlier rounds
        self._last = True
        self._streams: dict[torch.device, torch.cuda.Stream] = {}

    def stream(self, device: torch.device) -> torch.cuda.Stream:
        """In which a GPU sends and adds up."""
        if device not in self._streams:
            self._streams[device] = torch.cuda.Stream(device)
        return self._streams[device]

    def begin(self, number: int, last: bool) -> None:
        """The next round of a step."""
        self._last = last
        if number == 0:
            self._sums.clear()

    def add(self, bucket: int, gradients: Tensor) -> Tensor:
        """gradients [G] of a bucket on this rank -> in the last round, the sum [G] over all ranks and rounds."""
        from torch import distributed

        size = len(gradients)
        sent = functional.pad(gradients, (0, -size % self.ranks.count))
        own = self.own_part(bucket, sent)
        if not self._last:
            return gradients
        distributed.all_gather_single(sent, own)
        return sent[:size]

    def own_part(self, bucket: int, gradients: Tensor) -> Tensor:
        """gradients [ranks * P] of a bucket on this rank -> the sum [P] of this rank's part over all ranks and the
        rounds so far."""
        from torch import distributed

        received = torch.empty_like(gradients)
        distributed.all_to_all_single(received, gradients)
        own = self._sum(bucket, received.view(self.ranks.count, -1))
        if not self._last:
            self._sums[bucket] = own
        return own

    def _sum(self, bucket: int, parts: Tensor) -> Tensor:
        """parts [ranks,P] -> [P], one after the other."""
        before = self._sums.pop(bucket, None)
        total = parts[0].clone() if before is None else before.add_(parts[0])
        for part in parts[1:]:
            total += part
        return total


def check_alike(weights: dict[str, Tensor], ranks: Ranks) -> None:
    """`UserError` names a weight that is not the same on every rank: with it, they would train different models."""
    if ranks.count == 1:
        return
    sums = {name: _checksum(each) for name, each in weights.items() if type(each) in (Tensor, nn.Parameter)}
    everywhere = ranks.gathered(sums)
    different = sorted(name for name in sums if any(each.get(name) != sums[name] for each in everywhere))
    if different or any(each.keys() != sums.keys() for each in everywhere):
        raise UserError(
            f"{different[0] if different else 'a weight'} is another one on each device, so that they do not train one"
            " model. It follows the images that a device sees, as the running mean of a batch norm does, or is drawn"
            " by a random generator of its own. Leave out 'devices'"
        )


class Pass(nn.Module):
    """A forward pass and its loss, as a module: what torch wraps."""

    def __init__(self, module: nn.Module, mean: Callable[..., Tensor]):
        super().__init__()
        self.module = module
        self.mean = mean

    def forward(self, seen: Tensor, text: Any) -> Tensor:
        """What the objective takes a micro-batch as -> its loss []."""
        return self.mean(seen, text)


def _add_up(sums: OrderedSums, bucket: Any) -> torch.futures.Future[Tensor]:
    """The hook of `DistributedDataParallel`. What a GPU sends lies in a stream of its own, beside its backward pass."""
    gradients = bucket.buffer()
    if gradients.is_cpu:
        found: torch.futures.Future[Tensor] = torch.futures.Future()
        found.set_result(sums.add(bucket.index(), gradients))
        return found
    stream = sums.stream(gradients.device)
    stream.wait_stream(torch.cuda.current_stream(gradients.device))
    with torch.cuda.stream(stream):
        found = torch.futures.Future(devices=[gradients.device])
        found.set_result(sums.add(bucket.index(), gradients))
    return found


def _checksum(weight: Tensor) -> int:
    """The sum of all bytes: the same for the same bits, made where the weight lies."""
    return int(weight.detach().contiguous().reshape(-1).view(torch.uint8).sum(dtype=torch.int64))
