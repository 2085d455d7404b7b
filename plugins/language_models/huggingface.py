"""Any causal decoder of Hugging Face transformers, with its own code, weight names and tokenizer."""

from __future__ import annotations

import functools
import inspect
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
    LanguageModel,
    Tokenizer,
    TransformersPart,
    UserError,
    checkpoint_files,
    checkpoint_folder,
    hookimpl,
    pretrained_tokenizer,
    read_pretrained,
    small_decoder,
    tokenizer_for,
)

from ._transformers_attention import DecoderCache, distances, own_attention
from ._transformers_head import FamilyHead, logits_of_transformers
from ._transformers_parts import attention_of, check_decoder, context_of, list_of_blocks, name_of

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
LIKENESS_TOKENS = 300


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
        tokenizer = pretrained_tokenizer(folder)
        decoder = read_pretrained("AutoModelForCausalLM", folder, TYPES[dtype])
        check_decoder(decoder, checkpoint)
        _make_room(decoder, tokenizer.size)
        self._take_over(decoder, tokenizer, attention, gradient_checkpointing)

    @classmethod
    def likeness(cls, corpus: Corpus, options: Mapping[str, Any]) -> HuggingFaceDecoder:
        """A small decoder of the checkpoint's own class and configuration, with weights drawn at random."""
        tokenizer = tokenizer_for(corpus, LIKENESS_TOKENS)
        decoder = small_decoder(checkpoint_folder(options["checkpoint"]), tokenizer.size)
        check_decoder(decoder, options["checkpoint"])
        made = cls.__new__(cls)
        LanguageModel.__init__(made)
        made._take_over(decoder, tokenizer, options["attention"], options["gradient_checkpointing"])
        return made

    def _take_over(self, decoder: Any, tokenizer: Tokenizer, attention: str, gradient_checkpointing: bool) -> None:
        """Make the parts of a decoder ours, so that weights have the names that they have in its own checkpoints."""
        self.tokenizer, self.config, self.attention = tokenizer, decoder.config, attention
        if gradient_checkpointing:
            newer = getattr(decoder, "activation_checkpointing_enable", decoder.gradient_checkpointing_enable)
            newer({"use_reentrant": False, "context_fn": self._recomputing})
        self._use_own_attention()
        for name, part in decoder.named_children():
            self.add_module(name, part)
        self._head, self._embedding = (
            name_of(decoder, part) for part in (decoder.get_output_embeddings(), decoder.get_input_embeddings())
        )
        self._base = self._embedding.partition(".")[0]
        self._blocks = name_of(decoder, list_of_blocks(decoder))
        family = FamilyHead(decoder, self._base)
        self._family = None if family.is_product(decoder) else family
        self.context = context_of(self.config)
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
        return [attention_of(block) for block in self.blocks]

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
            "attention_mask": distances(mask, positions, before),
            "use_cache": cache is not None,
        }
        if cache is not None:
            given[_name_of_cache(type(base))] = cache
        hidden = base(**given).last_hidden_state
        if cache is not None:
            cache.advance(embeds.shape[1])
        return hidden

    def head(self, hidden: Tensor) -> Tensor:
        """hidden [..., D] -> logits [..., V], as the family makes them of it."""
        if self._family is None:
            return self.get_submodule(self._head)(hidden)
        return self._family.logits(dict(self.named_children()), hidden)

    def own_logits(self, ids: Tensor) -> Tensor | None:
        """ids [R,T] -> logits [R,T,V] by transformers' own class, its masks and its plain attention."""
        if next(self.parameters()).dtype != torch.float32:
            return None
        return logits_of_transformers(self.config, self.state_dict(), ids)

    def new_cache(self, rows: int, capacity: int) -> DecoderCache:
        """An empty cache for `rows` rows of at most `capacity` tokens."""
        return DecoderCache(self.shape.depth, capacity)

    def for_transformers(self) -> TransformersPart:
        """The decoder as it was loaded; LLaVA does not scale or bound logits."""
        if self._family is not None:
            raise UserError(
                f"the head of {self._family.kind.__name__} does more than one matrix does (it scales or bounds logits,"
                " or has further layers), which LLaVA would leave out"
            )
        marks = {f"{self._base}.": "", f"{self._head}.": "lm_head."}
        weights = {
            name.replace(mark, new, 1): weight
            for name, weight in self.state_dict().items()
            for mark, new in marks.items()
            if name.startswith(mark)
        }
        config = {name: value for name, value in self.config.to_dict().items() if not name.startswith("_")}
        tied = self.get_submodule(self._head).weight is self.get_submodule(self._embedding).weight
        return TransformersPart({**config, "tie_word_embeddings": tied}, weights)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._use_own_attention()  # a new process knows nothing of it yet

    def _recomputing(self) -> Any:
        """Asked for in every pass: which model this decoder is part of is not known when it is built."""
        return self.recomputing()

    def _use_own_attention(self) -> None:
        self.config._attn_implementation = own_attention(self.attention == "eager")


def _make_room(decoder: Any, tokens: int) -> None:
    """A row for every token of the tokenizer; new ones are the mean of those there, and so none in particular."""
    had = decoder.get_input_embeddings().weight.shape[0]
    if tokens <= had:
        return
    decoder.resize_token_embeddings(tokens, mean_resizing=False)
    with torch.no_grad():
        for layer in (decoder.get_input_embeddings(), decoder.get_output_embeddings()):
            layer.weight[had:] = layer.weight[:had].float().mean(0).to(layer.weight.dtype)


@functools.cache
def _name_of_cache(base: type[nn.Module]) -> str:
    """Newer versions of transformers call it `cache`."""
    return "cache" if "cache" in inspect.signature(base.forward).parameters else "past_key_values"


@hookimpl
def register_language_models(register):
    """Every causal decoder of transformers."""
    register("huggingface", HuggingFaceDecoder)
