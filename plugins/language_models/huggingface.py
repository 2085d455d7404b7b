"""Any causal decoder of Hugging Face transformers, with its own code, weight names and tokenizer."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from workbench import (
    Checkpoint,
    Corpus,
    DecoderShape,
    KeyValueCache,
    LanguageModel,
    TransformersPart,
    UserError,
    attend,
    checkpoint_files,
    checkpoint_folder,
    hookimpl,
    pretrained_tokenizer,
    read_pretrained,
)

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
ATTENTIONS = ("self_attn", "attn", "attention", "self_attention")  # what families call a block's self-attention
BENT = ("final_logit_softcapping", "logit_scale", "logits_scaling")
HIDDEN = -1  # the distance to a token that may not be looked at


class HuggingFaceDecoder(LanguageModel):
    """Any causal decoder of transformers: Llama, Qwen, Gemma, Phi, GPT-2, Mistral, SmolLM ...

    Weights keep the names that the checkpoint has for them. A token that it lacks, as `<image>`, starts as the mean of
    all. Gradient checkpointing (Chen et al. 2016, https://arxiv.org/abs/1604.06174) is of what is inside a block.
    """

    packages = ("transformers",)

    def __init__(
        self,
        corpus: Corpus,
        *,
        checkpoint: Annotated[Checkpoint, Field(description="folder, hub id or GGUF file of a causal decoder")],
        dtype: Annotated[
            Literal["fp32", "bf16", "fp16"],
            Field(description="type of the weights; with any but fp32, train and evaluate in precision: bf16"),
        ] = "fp32",
        attention: Annotated[
            Literal["kernel", "eager"],
            Field(description="kernel: torch's fused attention; eager: the family's own plain code"),
        ] = "kernel",
        gradient_checkpointing: Annotated[
            bool, Field(description="compute blocks again in the backward pass: less memory, a third more arithmetic")
        ] = False,
    ):
        super().__init__()
        folder = checkpoint_folder(checkpoint)
        self.tokenizer = pretrained_tokenizer(folder)
        decoder = read_pretrained("AutoModelForCausalLM", folder, TYPES[dtype])
        _check(decoder, checkpoint)
        _make_room(decoder, self.tokenizer.size)
        if gradient_checkpointing:
            newer = getattr(decoder, "activation_checkpointing_enable", decoder.gradient_checkpointing_enable)
            newer({"use_reentrant": False, "context_fn": self._recomputing})
        self.config = decoder.config
        self.attention = attention
        self._use_own_attention()
        # Its parts become ours, so that weights have the names that they have in its own checkpoints.
        for name, part in decoder.named_children():
            self.add_module(name, part)
        self._head, self._embedding = (
            _name_of(decoder, part) for part in (decoder.get_output_embeddings(), decoder.get_input_embeddings())
        )
        self._base = self._embedding.partition(".")[0]
        self._blocks = _name_of(decoder, _list_of_blocks(decoder))
        self.context = getattr(self.config, "max_position_embeddings", None)
        width = decoder.get_input_embeddings().weight.shape[1]
        self.shape = DecoderShape(width, self.config.num_hidden_layers, self.config.num_attention_heads)

    @classmethod
    def files(cls, options: Mapping[str, Any]) -> Sequence[Path]:
        """The files of the checkpoint, its tokenizer among them."""
        return checkpoint_files(options["checkpoint"])

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The decoder's blocks, in order."""
        return list(self.get_submodule(self._blocks).children())

    @property
    def attentions(self) -> Sequence[nn.Module]:
        """The self-attention of each block, in order."""
        return [_attention_of(block) for block in self.blocks]

    def embed(self, ids: Tensor) -> Tensor:
        """ids [R,T] -> embeddings [R,T,D], as the family scales them; learned positions are added in `forward`."""
        return self.get_submodule(self._embedding)(ids)

    def forward(self, embeds: Tensor, positions: Tensor, mask: Tensor, cache: DecoderCache | None = None) -> Tensor:
        """embeds [R,S,D], positions [R,S], mask [R,1,S,K] -> hidden [R,S,D]."""
        base = self.get_submodule(self._base)
        before = positions if cache is None else cache.positions_with(positions)  # [R,K]
        given: dict[str, Any] = {
            "inputs_embeds": embeds.to(next(each.dtype for each in self.parameters() if each.is_floating_point())),
            "position_ids": positions,
            "attention_mask": _distances(mask, positions, before),
            "use_cache": cache is not None,
        }
        if cache is not None:
            given[_name_of_cache(type(base))] = cache
        hidden = base(**given).last_hidden_state
        if cache is not None:
            cache.advance(embeds.shape[1])
        return hidden

    def head(self, hidden: Tensor) -> Tensor:
        """hidden [..., D] -> logits [..., V], scaled and bounded as the family does it."""
        logits = self.get_submodule(self._head)(hidden)
        logits = logits * getattr(self.config, "logit_scale", 1.0) / getattr(self.config, "logits_scaling", 1.0)
        bound = getattr(self.config, "final_logit_softcapping", None)
        return logits if bound is None else bound * torch.tanh(logits / bound)

    def new_cache(self, rows: int, capacity: int) -> DecoderCache:
        """An empty cache for `rows` rows of at most `capacity` tokens."""
        return DecoderCache(self.shape.depth, capacity)

    def for_transformers(self) -> TransformersPart:
        """The decoder as it was loaded; LLaVA does not scale or bound logits."""
        bent = [name for name in BENT if getattr(self.config, name, None) not in (None, 1.0)]
        if bent:
            raise UserError(f"its config.json has {', '.join(bent)}, which LLaVA would leave out")
        marks = {f"{self._base}.": "", f"{self._head}.": "lm_head."}
        weights = {
            name.replace(mark, new, 1): weight
            for name, weight in self.state_dict().items()
            for mark, new in marks.items()
            if name.startswith(mark)
        }
        config = {name: value for name, value in self.config.to_dict().items() if not name.startswith("_")}
        return TransformersPart(config, weights)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._use_own_attention()  # a new process knows nothing of it yet

    def _recomputing(self) -> Any:
        """Asked for in every pass: which model this decoder is part of is not known when it is built."""
        return self.recomputing()

    def _use_own_attention(self) -> None:
        """Let every attention of the decoder call ours, by transformers' own interface for that."""
        from transformers import AttentionInterface

        name = f"workbench_{self.attention}"
        AttentionInterface.register(name, functools.partial(_attention, self.attention == "eager"))
        self.config._attn_implementation = name


class DecoderCache(KeyValueCache):
    """What transformers' attention asks of a cache, on buffers allocated once; the position of each token as well."""

    def __init__(self, depth: int, capacity: int):
        super().__init__(depth, capacity)
        self._positions: Tensor | None = None  # [R,capacity]

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Append block `layer_idx`'s keys and values [R,H,S,E]; returns all of that block's [R,H,K,E]."""
        return self.extend(layer_idx, keys, values)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """How many tokens are in it."""
        return self.length

    def positions_with(self, new: Tensor) -> Tensor:
        """Append positions [R,S]; returns all [R,K]."""
        if self._positions is None:
            self._positions = new.new_empty(len(new), self.capacity)
        end = self.length + new.shape[1]
        self._positions[:, self.length : end] = new
        return self._positions[:, :end]

    def keep_rows(self, rows: Tensor) -> DecoderCache:
        """A cache with these rows [R'] alone."""
        kept = super().keep_rows(rows)
        assert isinstance(kept, DecoderCache)
        kept._positions = None if self._positions is None else self._positions[rows]
        return kept


def _distances(mask: Tensor, positions: Tensor, all_positions: Tensor) -> Tensor:
    """mask [R,1,S,K], positions of queries [R,S] and keys [R,K] -> how far back each key is [R,1,S,K], or HIDDEN.

    In this form one mask serves blocks with and without a sliding window: several questions stand in a row, so that a
    token's place does not tell its distance, and transformers passes a mask with four dimensions on as it is.
    """
    distance = positions[:, :, None] - all_positions[:, None, :]  # [R,S,K]
    return distance.clamp_(min=0)[:, None].masked_fill(~mask, HIDDEN)


def _attention(
    eager: bool,
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """transformers' interface of an attention: query [R,H,S,E], key and value [R,G,K,E], distances -> [R,S,H,E].

    Scores that a family bends (`softcap`) or adds to (`s_aux`) need its own plain code.
    """
    visible = attention_mask >= 0
    if sliding_window is not None:
        visible = visible & (attention_mask < sliding_window)
    if not eager and all(others.get(name) is None for name in ("softcap", "s_aux", "position_bias")):
        return attend(query, key, value, visible, scaling, dropout).transpose(1, 2), None
    plain = sys.modules[type(module).__module__].eager_attention_forward
    kind = query.dtype if query.dtype == key.dtype else torch.float32  # a cache on a CPU keeps bf16 as fp32
    query, key, value = (each.to(kind) for each in (query, key, value))
    added = torch.zeros(visible.shape, dtype=kind, device=query.device).masked_fill_(~visible, torch.finfo(kind).min)
    mixed, _ = plain(module, query, key, value, added, dropout=dropout, scaling=scaling, **others)
    return mixed, None


def _check(decoder: Any, checkpoint: str) -> None:
    """A decoder of text whose attention can be told what to look at, in every block."""
    kind = type(decoder).__name__
    if decoder.config.get_text_config() is not decoder.config:
        raise UserError(f"{checkpoint} is a {kind}, which sees images by itself: give a decoder of text alone")
    # A family without the interface would apply the mask in a way of its own, or none.
    if not hasattr(sys.modules[type(decoder).__module__], "ALL_ATTENTION_FUNCTIONS"):
        raise UserError(
            f"{checkpoint} is a {kind}, whose attention does not go through transformers' AttentionInterface, so it"
            " cannot be told which tokens to look at. Llama, Qwen, Gemma, Phi, GPT-2, Mistral and most others can"
        )
    if not all(_attention_of(block, None) for block in _list_of_blocks(decoder)):
        raise UserError(f"{checkpoint} is a {kind}, which has blocks without self-attention: these cannot be used here")


def _make_room(decoder: Any, tokens: int) -> None:
    """A row for every token of the tokenizer; new ones are the mean of those there, and so none in particular."""
    had = decoder.get_input_embeddings().weight.shape[0]
    if tokens <= had:
        return
    decoder.resize_token_embeddings(tokens, mean_resizing=False)
    with torch.no_grad():
        for layer in (decoder.get_input_embeddings(), decoder.get_output_embeddings()):
            layer.weight[had:] = layer.weight[:had].float().mean(0).to(layer.weight.dtype)


def _list_of_blocks(decoder: Any) -> nn.ModuleList:
    depth = decoder.config.num_hidden_layers
    return next(each for each in decoder.modules() if isinstance(each, nn.ModuleList) and len(each) == depth)


def _attention_of(block: nn.Module, *default: None) -> Any:
    return next((block._modules[name] for name in ATTENTIONS if name in block._modules), *default)


def _name_of(decoder: nn.Module, part: nn.Module) -> str:
    return next(name for name, module in decoder.named_modules() if module is part)


@functools.cache
def _name_of_cache(base: type[nn.Module]) -> str:
    """Newer versions of transformers call it `cache`."""
    return "cache" if "cache" in inspect.signature(base.forward).parameters else "past_key_values"


@hookimpl
def register_language_models(register):
    """Every causal decoder of transformers."""
    register("huggingface", HuggingFaceDecoder)
