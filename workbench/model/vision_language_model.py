"""One vision-language model, composed of an encoder, a connector, a fusion and a language model.

Scheme A fuses before the decoder, scheme B inside it. Scheme B hangs on forward hooks of the decoder's blocks, so
that a pretrained decoder keeps its code and its weight names. The hooks are partials of bound methods, not
closures: a deep copy or a pickle of the model then calls its own fusion.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from workbench.contracts.connector import Connector
from workbench.contracts.encoder import Encoder
from workbench.contracts.fusion import Fusion, Inputs
from workbench.contracts.language_model import LanguageModel
from workbench.data.collator import Batch, Collator
from workbench.data.image_views import Views
from workbench.layers.tensors import all_tensors, pick
from workbench.model.context import check_context
from workbench.model.fusion_pass import FusionPass


@dataclass
class Conversation:
    """A prompt that was read and can be answered token by token."""

    cache: Any
    seen: FusionPass
    segments: Tensor  # [R,K], of every token in the cache, with room for those to come
    length: int  # how many tokens are in the cache
    positions: Tensor  # [R,T], of every text token that was read
    text_at: Tensor  # [R,T], where each of them stands in the cache

    def forget(self, tokens: Tensor) -> None:
        """Let no later token see these text tokens [R,T]: right answers that were read along for their loss."""
        seen = self.segments.gather(1, self.text_at)
        self.segments.scatter_(1, self.text_at, seen.masked_fill(tokens, -1))

    def keep(self, rows: Tensor, language_model: LanguageModel) -> Conversation:
        """The same conversation with these rows [R'] alone."""
        kept: dict[int, Tensor] = {}  # several blocks may have seen the same tensor, which stays one

        def keep(tensor: Tensor) -> Tensor:
            if id(tensor) not in kept:
                kept[id(tensor)] = tensor[rows]
            return kept[id(tensor)]

        by_block = all_tensors(self.seen.by_block, keep)
        return Conversation(
            cache=language_model.keep_rows(self.cache, rows),
            seen=FusionPass(None, None, by_block, bare=None if self.seen.bare is None else self.seen.bare[rows]),
            segments=self.segments[rows],
            length=self.length,
            positions=self.positions[rows],
            text_at=self.text_at[rows],
        )


class VisionLanguageModel(nn.Module):
    """Images and questions to hidden states, logits and loss."""

    def __init__(self, encoder: Encoder, connector: Connector, fusion: Fusion, language_model: LanguageModel):
        super().__init__()
        self.encoder = encoder
        self.connector = connector
        self.fusion = fusion
        self.language_model = language_model
        self._pass: FusionPass | None = None
        self._hang_hooks()
        language_model.recomputing = self._recomputing

    def collator(self, prompt: str) -> Collator:
        """What makes batches of questions that this model reads, in a prompt."""
        return Collator(self.language_model.tokenizer, prompt, self.fusion.reads_text)

    def see(self, images: Tensor, views: Views | None = None) -> Any:
        """images [P,3,H,W] -> what the fusion needs of them, one entry for each set of images."""
        return self.see_tokens(self.encoder(images), views)

    def see_tokens(self, tokens: Tensor, views: Views | None = None) -> Any:
        """The encoder's tokens [P,N,Dv] -> what the fusion needs of them, one entry for each set of images."""
        vision = self.connector(tokens)
        if views is None:
            return self.fusion.prepare(vision, None)
        return self.fusion.prepare(*views.together(vision, hides_bare=not self._fuses_inside()))

    def hidden(self, vision: Any, batch: Batch) -> Tensor:
        """`vision` as `see` gives it -> the decoder's last hidden state of every text token [R,T,D]. Raises
        `UserError` where the decoder has no positions for it."""
        inputs, seen = self.fuse(vision, batch)
        check_context(self.language_model.context, inputs)
        return self.hidden_of(inputs, seen)

    def fuse(self, vision: Any, batch: Batch) -> tuple[Inputs, FusionPass]:
        """`vision` as `see` gives it -> the decoder's input sequence, and what the fusion will need in its blocks."""
        if batch.image_set is not None:
            vision = all_tensors(vision, lambda tensor: tensor[batch.image_set])
        text_at = torch.arange(batch.ids.shape[1], device=batch.ids.device).expand_as(batch.ids)
        image = batch.ids == self.language_model.tokenizer.image
        embeds = self.language_model.embed(batch.ids)
        inputs = Inputs(embeds, batch.positions, batch.segments, batch.prompt, image, text_at)
        inputs = self.fusion.fuse_inputs(vision, inputs)
        bare = _bare_rows(batch)
        if bare is not None:
            unseen = inputs.image & bare[:, None]
            inputs = replace(inputs, segments=inputs.segments.masked_fill(unseen, -1))
        return inputs, FusionPass(vision, inputs.prompt, bare=bare)

    def hidden_of(self, inputs: Inputs, seen: FusionPass) -> Tensor:
        """What `fuse` gave -> the decoder's last hidden state of every text token [R,T,D]."""
        hidden = self._decode(inputs.embeds, inputs.positions, visible(inputs.segments, inputs.segments), seen)
        return pick(hidden, inputs.text_at)

    def logits(self, batch: Batch) -> Tensor:
        """The images of a batch and its text -> the logits of every text token [R,T,V]."""
        return self.language_model.head(self.hidden(self.see(batch.images, batch.views), batch))

    def loss(self, batch: Batch) -> Tensor:
        """The mean negative log-likelihood of the answers' tokens, in nats."""
        return self.token_losses(self.see(batch.images, batch.views), batch).mean()

    def token_losses(self, vision: Any, batch: Batch) -> Tensor:
        """The negative log-likelihood of each answer token, in the order of `batch.labels >= 0` [answer tokens].

        Logits are computed only where there is a label, and so is what the last block makes of its tokens.
        """
        inputs, seen = self.fuse(vision, batch)
        at_text = _labelled(batch.labels)  # [R,L]
        seen.places = inputs.text_at.gather(1, at_text)
        mask = visible(inputs.segments, inputs.segments)
        with self._handing(seen):
            hidden = self.language_model.hidden_at(inputs.embeds, inputs.positions, mask, seen.places)
        return self._losses(hidden, batch.labels.gather(1, at_text))

    def losses_of(self, hidden: Tensor, batch: Batch) -> Tensor:
        """The same from the last hidden states [R,T,D] of a batch that was read already."""
        return self._losses(hidden, batch.labels)

    def read(self, vision: Any, batch: Batch, room: int, longest: int = 1) -> tuple[Tensor, Conversation]:
        """Read prompts into a cache with room for `room` more tokens a row -> hidden [R,T,D] and the conversation.

        Raises `UserError` where the decoder has no positions for them and an answer of `longest` tokens.
        """
        inputs, seen = self.fuse(vision, batch)
        check_context(self.language_model.context, inputs, longest)
        rows, length = inputs.segments.shape
        cache = self.language_model.new_cache(rows, length + room)
        mask = visible(inputs.segments, inputs.segments)
        hidden = self._decode(inputs.embeds, inputs.positions, mask, seen, cache)
        segments = functional.pad(inputs.segments, (0, room), value=-1)
        positions = inputs.positions.gather(1, inputs.text_at)
        return pick(hidden, inputs.text_at), Conversation(cache, seen, segments, length, positions, inputs.text_at)

    def answer(self, conversation: Conversation, ids: Tensor, positions: Tensor, segments: Tensor) -> Tensor:
        """The next token of each question, ids, positions and segments [R,Q] -> hidden [R,Q,D]; extends the cache.

        No two of a row's segments may be equal, but for -1: questions that are answered, whose hidden is no matter.
        """
        start, conversation.length = conversation.length, conversation.length + ids.shape[1]
        conversation.segments[:, start : conversation.length] = segments
        seen = FusionPass(None, None, conversation.seen.by_block, bare=conversation.seen.bare)
        keys = conversation.segments[:, None, : conversation.length]
        mask = ((segments[:, :, None] == keys) | (keys == 0))[:, None]  # as `visible`: all but itself came earlier
        return self._decode(self.language_model.embed(ids), positions, mask, seen, conversation.cache)

    def _decode(self, embeds: Tensor, positions: Tensor, mask: Tensor, seen: FusionPass, cache: Any = None) -> Tensor:
        """Run the decoder while its hooks see `seen`."""
        with self._handing(seen):
            return self.language_model(embeds, positions, mask, cache)

    @contextmanager
    def _handing(self, seen: FusionPass) -> Iterator[None]:
        """In the body, the decoder's hooks see `seen`."""
        self._pass = seen
        try:
            yield
        finally:
            self._pass = None

    def _recomputing(self) -> tuple[AbstractContextManager, AbstractContextManager]:
        """For a part of a pass that is computed again in the backward pass: its hooks then see what they saw."""
        return nullcontext(), nullcontext() if self._pass is None else self._handing(self._pass)

    def _losses(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """hidden [R,L,D] and what comes next there [R,L], or -100 -> [answer tokens]."""
        labelled = labels >= 0
        logits = self.language_model.head(hidden[labelled])
        return functional.cross_entropy(logits.float(), labels[labelled], reduction="none")

    def _fuses_inside(self) -> bool:
        """Whether the fusion works in the decoder's blocks, where a row of which nothing is there would be no number:
        what they make of such rows is dropped."""
        kind = type(self.fusion)
        return kind.fuse_block is not Fusion.fuse_block or kind.fuse_attention is not Fusion.fuse_attention

    def _hang_hooks(self) -> None:
        """Only where the fusion overrides a method: scheme A then costs nothing here."""
        kind = type(self.fusion)
        if kind.fuse_block is not Fusion.fuse_block:
            for index, block in enumerate(self.language_model.blocks):
                block.register_forward_pre_hook(functools.partial(self._before_block, index), with_kwargs=True)
        if kind.fuse_attention is not Fusion.fuse_attention:
            for index, attention in enumerate(self.language_model.attentions):
                attention.register_forward_hook(functools.partial(self._after_attention, index), with_kwargs=True)

    def _before_block(self, index: int, block: nn.Module, arguments: tuple, options: dict) -> tuple | None:
        seen = self._pass
        if seen is None:  # the decoder is used by itself, as for plain text
            return None
        vision = seen.by_block.setdefault(index, seen.vision)  # there already when answering, or computing it again
        hidden = _hidden_of(arguments, options)
        fuse = seen.watched(self.fusion.fuse_block)
        fused, seen.vision = fuse(index, self._for_fusion(hidden), vision, seen.prompt)
        fused = fused.to(hidden.dtype)
        if seen.bare is not None:
            fused = torch.where(seen.bare[:, None, None], hidden, fused)
        return _with_hidden(fused, arguments, options)

    def _after_attention(self, index: int, module: nn.Module, arguments: tuple, options: dict, output: Any) -> Any:
        seen = self._pass
        if seen is None:
            return output
        vision = seen.by_block.setdefault(index, seen.vision)
        hidden = _hidden_of(arguments, options)
        mixed = output[0] if isinstance(output, tuple) else output
        if seen.places is not None and mixed.shape[1] != hidden.shape[1]:  # the last block made these alone
            hidden = pick(hidden, seen.places)
        added = seen.watched(self.fusion.fuse_attention)(index, self._for_fusion(hidden), vision)
        if added is None:
            return output
        if seen.bare is not None:
            added = added.masked_fill(seen.bare[:, None, None], 0)
        mixed = mixed + added.to(mixed.dtype)
        return (mixed, *output[1:]) if isinstance(output, tuple) else mixed

    def _for_fusion(self, hidden: Tensor) -> Tensor:
        """hidden in the type of the fusion's weights, those that are no integers: a decoder's own may be narrower."""
        numbers = (each for each in self.fusion.parameters() if each.is_floating_point())
        return hidden.to(next(numbers, hidden).dtype)


def visible(segments: Tensor, all_segments: Tensor) -> Tensor:
    """Which keys each query may look at, as a mask [R,1,S,K].

    segments [R,S] of the queries, which are the last S of the K tokens in all_segments [R,K]. A token sees earlier
    tokens of its own segment and of segment 0, and always itself, so that no row of the mask is empty.
    """
    length, total = segments.shape[1], all_segments.shape[1]
    queries, keys = segments[:, :, None], all_segments[:, None, :]
    order = torch.arange(total, device=segments.device)
    earlier = order[None, :] <= order[total - length :, None]  # [S,K]
    itself = order[None, :] == order[total - length :, None]
    together = (queries == keys) | (keys == 0)
    return ((together & (keys >= 0) & earlier) | itself)[:, None]


def _bare_rows(batch: Batch) -> Tensor | None:
    """Which rows [R] are text alone; None where none is."""
    bare = None if batch.views is None else batch.views.bare
    return bare if bare is None or batch.image_set is None else bare[batch.image_set]


def _labelled(labels: Tensor) -> Tensor:
    """The places [R,L] of the labels >= 0 in each row [R,T], in order, among others where a row has fewer than L."""
    labelled = (labels >= 0).int()
    most = int(labelled.sum(1).max())
    return labelled.argsort(dim=1, descending=True, stable=True)[:, :most].sort(dim=1).values


def _hidden_of(arguments: tuple, options: dict) -> Tensor:
    return arguments[0] if arguments else options["hidden_states"]


def _with_hidden(hidden: Tensor, arguments: tuple, options: dict) -> tuple[tuple, dict]:
    if arguments:
        return (hidden, *arguments[1:]), options
    return arguments, {**options, "hidden_states": hidden}
