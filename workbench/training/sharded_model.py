"""A model whose weights lie in parts on several ranks, by torch's `fully_shard`, and what a single device would hold.

Each rank keeps a part of every weight, of its gradient and of its moments. A block of the decoder is put together for
its own pass and taken apart behind it; what is in no block, for the whole pass. A frozen encoder stays whole, since its
tokens are made outside of steps. Gradients are added up as those of whole models are, in the order of micro-batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from workbench.errors import UserError
from workbench.training.distributed_gradients import LocalRounds, OrderedSums, Pass, Rounds, SharedRounds
from workbench.training.ranks import Ranks
from workbench.training.tensor_parts import whole_of

if TYPE_CHECKING:
    from workbench.config.component import Part
    from workbench.config.phase import Phase
    from workbench.model.vision_language_model import VisionLanguageModel
    from workbench.training.objectives import Objective

    Parts = dict[Part, list[nn.Parameter]]

NUMBERS = -1  # the bucket of weights that are single numbers


class ShardedModel:
    """The rounds of ranks that hold a part of the model each. Behind this, its parameters are others than before."""

    def __init__(self, model: VisionLanguageModel, objective: Objective, ranks: Ranks):
        from torch.distributed.fsdp import FSDPModule, fully_shard

        types = sorted({str(each.dtype) for each in model.parameters() if each.requires_grad})
        if len(types) > 1:
            raise UserError(
                f"weights of several types train ({', '.join(types)}), which fsdp cannot: write 'strategy: ddp'"
            )
        wrapped = Pass(objective.module, objective.mean)
        numbers = [each for each in model.parameters() if not each.ndim]  # which cannot be parted, as some gates
        frozen = not any(each.requires_grad for each in model.encoder.parameters())
        whole = {*numbers, *(model.encoder.parameters() if frozen else ())}
        self.numbers = [each for each in numbers if each.requires_grad]
        for block in model.language_model.blocks:
            fully_shard(block, ignored_params=whole)
        root: Any = fully_shard(wrapped, ignored_params=whole)
        self.sums = OrderedSums(ranks)
        self.modules = [each for each in root.modules() if isinstance(each, FSDPModule)]
        for number, each in enumerate(self.modules):
            each.set_custom_reduce_scatter(_reduce_scatter(self.sums, number))
        root.set_gradient_divide_factor(1.0)  # with the next: a sum and no mean
        root.set_force_sum_reduction_for_comms(True)
        # As the encoder may have no part in text alone: every rank sends something for every weight.
        root.set_reduce_scatter_unused_params(True)
        self.root, self.ranks = root, ranks
        objective.hot = root
        self._used: set[str] = set()  # weights that had a gradient in this step, on this rank
        with self.whole():
            for name, weight in root.named_parameters():
                if weight.requires_grad:
                    weight.register_post_accumulate_grad_hook(lambda _, name=name: self._used.add(name))

    def begin(self, number: int, last: bool) -> None:
        """A round begins without gradients: what earlier ones came to is kept where it is added up."""
        self.sums.begin(number, last)
        for parameter in self.root.parameters():
            parameter.grad = None
        if number == 0:
            self._used.clear()

    def end(self, last: bool) -> None:
        """What no rank has used has no gradient, where those that were sent for it are zero: a weight that has none is
        not moved, by its decay neither."""
        self._add_up_numbers()
        if not last:
            return
        used = set().union(*self.ranks.gathered(self._used))
        for name, parameter in self.root.named_parameters():
            if name not in used:
                parameter.grad = None

    def _add_up_numbers(self) -> None:
        """The gradients of weights that every rank has whole."""
        if not self.numbers:
            return
        own = [each.new_zeros(()) if each.grad is None else each.grad for each in self.numbers]
        for number, gradient in zip(self.numbers, self.sums.add(NUMBERS, torch.stack(own)), strict=True):
            number.grad = gradient.clone()

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Inside, every rank has all weights, and may do with them what it likes but for changing them."""
        for each in self.modules:
            each.set_reshard_after_forward(False, recurse=False)
            each.unshard()
        try:
            yield
        finally:
            for each in self.modules:
                each.reshard()
                each.set_reshard_after_forward(each is not self.root, recurse=False)

    def put_together(self) -> None:
        """From now on every rank has all weights: the phase is over."""
        put: dict[int, nn.Parameter] = {}  # a weight may stand in several places
        for module in self.root.modules():
            for name, part in list(module.named_parameters(recurse=False, remove_duplicate=False)):
                if id(part) not in put:
                    whole = whole_of(part)
                    put[id(part)] = part if whole is part else nn.Parameter(whole, part.requires_grad)
                module.register_parameter(name, put[id(part)])


def rounds_of(
    model: VisionLanguageModel, objective: Objective, parts: Parts, phase: Phase, ranks: Ranks
) -> tuple[Rounds, Parts]:
    """How these ranks train these parts of a model together, and the parameters that then are these parts'. The
    objective's passes go through it from here on."""
    if ranks.count == 1:
        return LocalRounds(), parts
    if phase.strategy == "ddp":
        return SharedRounds(objective, [each for chosen in parts.values() for each in chosen], ranks), parts
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rounds = ShardedModel(model, objective, ranks)
    now = dict(model.named_parameters())
    return rounds, {part: [now[names[id(each)]] for each in chosen] for part, chosen in parts.items()}


def _reduce_scatter(sums: OrderedSums, bucket: int) -> Any:
    """How `fully_shard` adds up the gradients of a block: every rank gets the sum of its part."""
    from torch.distributed.fsdp._fully_shard._fsdp_api import ReduceScatter

    class InOrder(ReduceScatter):
        def allocate(self, size: Sequence[Any], *, dtype: torch.dtype, device: torch.device) -> Tensor:
            return torch.empty(*size, dtype=dtype, device=device)

        def __call__(self, output_tensor: Tensor, input_tensor: Tensor, *_: Any, **__: Any) -> None:
            output_tensor.copy_(sums.own_part(bucket, input_tensor))

    return InOrder()
