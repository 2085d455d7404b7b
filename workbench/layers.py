"""Building blocks that plugins share: attention, cross-attention, MLP, normalisation, rotary positions, KV cache.

Letters in shapes: R rows, S sequence, K keys, M image tokens, D width, H heads, E width of a head.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from workbench.errors import UserError

KeysValues = tuple[Tensor, Tensor, Tensor | None]  # with the mask of the keys, None where all of them are there
FEW_ROWS = 16  # up to here a normalisation takes the time of asking for its operations
JOINED = "joined"  # what `ready_to_answer` hangs on the first of several layers for `beside`


def heads_of(width: int, heads: int) -> int:
    """The width of one head; `UserError` when `heads` does not divide `width`."""
    if width % heads:
        raise UserError(
            f"{heads} heads do not divide the width {width}; choose a width that is a multiple of the heads"
        )
    return width // heads


class MLP(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, width: int, hidden: int, output: int | None = None):
        super().__init__()
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, output or width)

    def forward(self, hidden: Tensor) -> Tensor:
        """hidden [..., width] -> [..., output]."""
        return self.down(functional.gelu(self.up(hidden)))


def beside(hidden: Tensor, *layers: nn.Module) -> Sequence[Tensor]:
    """What each of several layers makes of the same hidden [..., I]. A model that is ready to answer does it as one
    product, when the module that has the layers lists their names in `beside`."""
    joined = vars(layers[0]).get(JOINED)
    return joined(hidden) if joined else [layer(hidden) for layer in layers]


def beside_as_one(hidden: Tensor, *layers: nn.Module) -> Tensor | None:
    """The same, one behind the other [..., all O], where the model is ready to answer; else None, as it would cost."""
    joined = vars(layers[0]).get(JOINED)
    return joined.product(hidden) if joined else None


class RMSNorm(nn.Module):
    """Root mean square normalisation (Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467).

    On a CPU torch makes it of eight operations and its gradient of more; in fp32 there are fewer here.
    """

    def __init__(self, width: int, epsilon: float = 1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, hidden: Tensor) -> Tensor:
        """hidden [..., D] -> [..., D]."""
        if hidden.device.type == "cpu" and hidden.dtype == self.weight.dtype == torch.float32:
            if torch.is_grad_enabled() or hidden.numel() > FEW_ROWS * hidden.shape[-1]:
                return _RMSNormOnCPU.apply(hidden, self.weight, self.epsilon)
            return self._few_rows(hidden)
        return functional.rms_norm(hidden, self.weight.shape, self.weight, self.epsilon)

    def _few_rows(self, hidden: Tensor) -> Tensor:
        """Layer normalisation, which is one operation: numbers beside their negatives have the mean 0, and what is
        left of it divides by the root mean square."""
        width = hidden.shape[-1]
        both = torch.cat((hidden, -hidden), dim=-1)
        return functional.layer_norm(both, (2 * width,), eps=self.epsilon).narrow(-1, 0, width) * self.weight


class _RMSNormOnCPU(torch.autograd.Function):
    """With the gradient written out: autograd takes 1.4 times as long and more for both directions."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        """hidden [..., D], weight [D] -> [..., D]."""
        norm = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)
        factor = norm.square_().mul_(1 / hidden.shape[-1]).add_(epsilon).rsqrt_()  # [..., 1]
        normed = hidden * factor
        ctx.save_for_backward(normed, factor, weight)
        return normed * weight

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """What comes from above [..., D] -> the gradients of hidden [..., D] and weight [D]."""
        [gradient] = gradients
        normed, factor, weight = ctx.saved_tensors
        of_hidden, of_weight, _ = ctx.needs_input_grad
        into_weight = (gradient * normed).flatten(0, -2).sum(0) if of_weight else None
        if not of_hidden:
            return None, into_weight, None
        change = gradient * weight
        along = (change * normed).mean(dim=-1, keepdim=True)  # what would change the root mean square alone
        return change.addcmul_(normed, along, value=-1).mul_(factor), into_weight, None


class KeyValueCache:
    """Keys and values of every block, each in a buffer allocated once.

    They keep their type, but on a CPU bf16 becomes fp32, in which `attend` needs all of them for every token.
    `length` tokens are filled. Blocks write behind it with `extend`; `advance` moves it once a forward pass.
    """

    def __init__(self, depth: int, capacity: int):
        self.capacity = capacity
        self.length = 0
        self._blocks: list[tuple[Tensor, Tensor] | None] = [None] * depth  # keys and values [R,H,capacity,E]

    def keep_rows(self, rows: Tensor) -> KeyValueCache:
        """A cache with these rows [R'] alone."""
        kept = copy.copy(self)
        kept._blocks = [block and (block[0][rows], block[1][rows]) for block in self._blocks]
        return kept

    def extend(self, index: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append block `index`'s keys and values [R,H,S,E]; returns all of that block's [R,H,K,E]."""
        block = self._blocks[index]
        if block is None:
            block = self._blocks[index] = self._room(keys), self._room(values)
        kept_keys, kept_values = block
        start, new = self.length, keys.shape[2]
        kept_keys.narrow(2, start, new).copy_(keys)
        kept_values.narrow(2, start, new).copy_(values)
        return kept_keys.narrow(2, 0, start + new), kept_values.narrow(2, 0, start + new)

    def advance(self, tokens: int) -> None:
        """The `tokens` new tokens of this pass are now part of the cache."""
        self.length += tokens

    def _room(self, new: Tensor) -> Tensor:
        rows, heads, _, width = new.shape
        widens = new.device.type == "cpu" and new.dtype == torch.bfloat16
        return new.new_empty((rows, heads, self.capacity, width), dtype=torch.float32 if widens else new.dtype)


class Rotary(nn.Module):
    """Rotary positions (Su et al. 2021, https://arxiv.org/abs/2104.09864); a head's two halves turn together.

    `scaled` changes the frequencies [E/2], for a decoder that reads longer texts than it was first trained on.
    """

    def __init__(self, head_width: int, base: float = 10_000.0, scaled: Callable[[Tensor], Tensor] | None = None):
        super().__init__()
        if head_width % 2:
            raise UserError(f"rotary positions need an even width of a head, not {head_width}")
        self.head_width = head_width
        self.base = base
        self.scaled = scaled
        self._frequencies: dict[torch.device, Tensor] = {}

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """positions [R,S] -> what `rotate` takes: the cosine, and the sine with its first half negated [R,1,S,E]."""
        frequencies = self._frequencies.get(positions.device)
        if frequencies is None:
            frequencies = self._frequencies[positions.device] = self._signed_frequencies(positions.device)
        angles = positions[:, None, :, None] * frequencies  # [R,1,S,E]
        return angles.cos(), angles.sin()

    def _signed_frequencies(self, device: torch.device) -> Tensor:
        """By how much each number of a head turns from one position to the next [E], its first half backwards."""
        pairs = torch.arange(0, self.head_width, 2, device=device, dtype=torch.float32)
        frequencies = self.base ** (-pairs / self.head_width)
        if self.scaled is not None:
            frequencies = self.scaled(frequencies)
        return torch.cat([-frequencies, frequencies])


def rotate(heads: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """heads [R,H,S,E] turned by what `Rotary` gives: (first, second) cos + (-second, first) sin."""
    cosine, sine = rotation
    if cosine.dtype != heads.dtype:
        cosine, sine = cosine.to(heads.dtype), sine.to(heads.dtype)
    return torch.addcmul(heads * cosine, heads.roll(heads.shape[-1] // 2, dims=-1), sine)


def attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor | None,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Scaled dot-product attention: queries [R,H,S,E], keys [R,G,K,E] and values [R,G,K,F] -> [R,H,S,F].

    mask [R,1,S,K] bool, None: everything may be looked at. With fewer heads G of keys than of queries, H / G
    neighbouring heads of queries share one (Ainslie et al. 2023, https://arxiv.org/abs/2305.13245). Products are
    multiplied by `scale`, 1 / sqrt(E) by default, and weights dropped with the chance `dropout`.

    On a CPU the kernel is slower in bf16 than in fp32, and its backward pass several times so: it runs in fp32.
    """
    if queries.shape[1] != keys.shape[1]:
        return _attend_grouped(queries, keys, values, mask, scale, dropout)
    if queries.device.type == "cpu" and _is_bf16(queries):
        with torch.autocast("cpu", enabled=False):
            wide = queries.float(), keys.float(), values.float()
            return functional.scaled_dot_product_attention(*wide, mask, dropout, scale=scale).bfloat16()
    return functional.scaled_dot_product_attention(queries, keys, values, mask, dropout, scale=scale)


def _is_bf16(tensor: Tensor) -> bool:
    """Whether a kernel would see it in bf16, of itself or by a CPU's autocast."""
    autocast = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return autocast or tensor.dtype == torch.bfloat16


def _attend_grouped(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scale: float | None, dropout: float
) -> Tensor:
    """The heads of queries that share one of keys as if they were more queries: keys and values are not repeated."""
    rows, heads, length, width = queries.shape
    sharing = heads // keys.shape[1]
    queries = queries.reshape(rows, keys.shape[1], sharing * length, width)
    if mask is not None and length > 1:
        mask = mask.repeat(1, 1, sharing, 1)  # [R,1,H/G S,K]; for one query it is broadcast
    return attend(queries, keys, values, mask, scale, dropout).reshape(rows, heads, length, -1)


def pick(hidden: Tensor, places: Tensor) -> Tensor:
    """hidden [R,S,D] at the places [R,L] of its sequence -> [R,L,D]."""
    return hidden.gather(1, places[..., None].expand(-1, -1, hidden.shape[-1]))


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762)."""

    def __init__(self, width: int, heads: int, bias: bool = True):
        super().__init__()
        self.heads = heads
        self.head_width = heads_of(width, heads)
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.output = nn.Linear(width, width, bias=bias)

    def forward(
        self,
        hidden: Tensor,
        mask: Tensor | None = None,
        rotation: tuple[Tensor, Tensor] | None = None,
        cache: KeyValueCache | None = None,
        index: int = 0,
        places: Tensor | None = None,
    ) -> Tensor:
        """hidden [R,S,D], mask [R,1,S,K] bool or None for everything -> [R,S,D].

        `rotation` as `Rotary` gives it; `cache` and `index` keep the keys and values of block `index`. With `places`
        [R,L] only these look, the mask is [R,1,L,K], and so comes out [R,L,D].
        """
        rows, length, width = hidden.shape
        qkv = self.qkv(hidden).view(rows, length, 3, self.heads, self.head_width)
        qkv = qkv.permute(2, 0, 3, 1, 4)  # [3,R,H,S,E]
        queries, keys = qkv[:2] if rotation is None else rotate(qkv[:2], rotation)
        values = qkv[2]
        if cache is not None:
            keys, values = cache.extend(index, keys, values)
        if places is not None:
            queries = queries.gather(2, places[:, None, :, None].expand(-1, self.heads, -1, self.head_width))
        mixed = attend(queries, keys, values, mask)
        return self.output(mixed.transpose(1, 2).reshape(rows, queries.shape[2], width))


class CrossAttention(nn.Module):
    """Queries from one sequence, keys and values from another, computed apart so that they can be kept.

    The last layer starts at zero when `closed`: the block then adds nothing until it has learned something.
    """

    def __init__(self, width: int, source_width: int, heads: int, closed: bool = True):
        super().__init__()
        self.heads = heads
        self.head_width = heads_of(width, heads)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(source_width, 2 * width)
        self.output = nn.Linear(width, width)
        if closed:
            nn.init.zeros_(self.output.weight)
            nn.init.zeros_(self.output.bias)

    def keys_values(self, source: Tensor, mask: Tensor | None = None) -> KeysValues:
        """source [R,M,Ds] -> keys and values [R,H,M,E], and the mask [R,1,1,M] of what of it is there."""
        rows, tokens, _ = source.shape
        both = self.key_value(source).view(rows, tokens, 2, self.heads, self.head_width)
        keys, values = both.permute(2, 0, 3, 1, 4)
        return keys, values, mask

    def forward(self, hidden: Tensor, source: Tensor | KeysValues, mask: Tensor | None = None) -> Tensor:
        """hidden [R,S,D], source [R,M,Ds] or what `keys_values` gave of it, mask [R,1,S or 1,M] bool -> [R,S,D]."""
        rows, length, width = hidden.shape
        keys, values, there = self.keys_values(source) if isinstance(source, Tensor) else source
        queries = self.query(hidden).view(rows, length, self.heads, self.head_width).transpose(1, 2)
        mixed = attend(queries, keys, values, there if mask is None else mask)
        return self.output(mixed.transpose(1, 2).reshape(rows, length, width))


class ViewPlaces(nn.Module):
    """Tells an example's images (or the tiles of one) apart, for a fusion that looks at all of them at once.

    Each of the first `views` has a learned place, which is added to its `tokens` image tokens; those behind share the
    last. Places start at zero, so that a model begins as without them; for one view there is nothing to tell apart.
    """

    def __init__(self, width: int, tokens: int, views: int):
        super().__init__()
        self.tokens = tokens
        self.places = nn.Parameter(torch.zeros(views, width)) if views > 1 else None

    def forward(self, vision: Tensor) -> Tensor:
        """vision [G,KM,D], M tokens of each of K views -> [G,KM,D]."""
        if self.places is None:
            return vision
        view = torch.arange(vision.shape[1], device=vision.device) // self.tokens
        return vision + self.places[view.clamp(max=len(self.places) - 1)]


def all_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Apply `change` to every tensor in a tensor, tuple, list or dict."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: all_tensors(item, change) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(all_tensors(item, change) for item in value)
    return value
