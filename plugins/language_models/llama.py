"""A Llama-architecture decoder in plain PyTorch, small and new or with the weights and tokenizer of a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from workbench import (
    Checkpoint,
    Corpus,
    DecoderShape,
    KeyValueCache,
    LanguageModel,
    RMSNorm,
    SideBySide,
    TransformersPart,
    UserError,
    attend,
    beside,
    beside_as_one,
    checkpoint_files,
    checkpoint_folder,
    hookimpl,
    load_into,
    pick,
    pretrained_tokenizer,
    rotate,
    tokenizer_for,
)

from ._llama_checkpoint import Sizes, biases_of, read_decoder, rotary_of


class SelfAttention(SideBySide):
    """Rotary self-attention in which several heads of queries may share one of keys and values."""

    beside = (("q_proj", "k_proj", "v_proj"),)

    def __init__(self, sizes: Sizes, biases: frozenset[str]):
        super().__init__()
        width, self.head_width = sizes.hidden_size, sizes.head_width
        heads = sizes.num_attention_heads
        key_value_heads = sizes.num_key_value_heads or heads
        if heads % key_value_heads:
            raise UserError(f"{heads} heads of queries cannot share {key_value_heads} of keys and values evenly")
        self.q_proj = nn.Linear(width, heads * self.head_width, bias="q_proj" in biases)
        self.k_proj = nn.Linear(width, key_value_heads * self.head_width, bias="k_proj" in biases)
        self.v_proj = nn.Linear(width, key_value_heads * self.head_width, bias="v_proj" in biases)
        self.o_proj = nn.Linear(heads * self.head_width, width, bias="o_proj" in biases)

    def forward(
        self,
        hidden: Tensor,
        mask: Tensor | None,
        rotation: tuple[Tensor, Tensor],
        cache: KeyValueCache | None,
        index: int,
        places: Tensor | None = None,
    ) -> Tensor:
        """hidden [R,S,D], mask [R,1,S,K] bool or None for everything -> [R,S,D].

        With `places` [R,L] only these look, the mask is [R,1,L,K], and so comes out [R,L,D].
        """
        queries, keys, values = self._queries_keys_values(hidden, rotation, places)
        if cache is not None:
            keys, values = cache.extend(index, keys, values)
        mixed = attend(queries, keys, values, mask)
        return self.o_proj(mixed.transpose(1, 2).flatten(2))

    def _queries_keys_values(
        self, hidden: Tensor, rotation: tuple[Tensor, Tensor], places: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [R,H,S or L,E] and keys [R,G,S,E] with their positions, and values [R,G,S,E]."""
        if places is None and (all_three := beside_as_one(hidden, self.q_proj, self.k_proj, self.v_proj)) is not None:
            shared = self.k_proj.out_features // self.head_width
            heads = self._heads(all_three)  # [R,H+2G,S,E]
            turned, values = heads.split((heads.shape[1] - shared, shared), dim=1)
            queries, keys = rotate(turned, rotation).split((turned.shape[1] - shared, shared), dim=1)
            return queries, keys, values
        looking, (cosine, sine) = hidden, rotation  # the latter [R,1,S,E] each
        if places is not None:
            looking, cosine, sine = (pick(each, places) for each in (hidden, cosine[:, 0], sine[:, 0]))
            cosine, sine = cosine[:, None], sine[:, None]
        queries = rotate(self._heads(self.q_proj(looking)), (cosine, sine))
        return queries, rotate(self._heads(self.k_proj(hidden)), rotation), self._heads(self.v_proj(hidden))

    def _heads(self, projected: Tensor) -> Tensor:
        rows, length, _ = projected.shape
        return projected.view(rows, length, -1, self.head_width).transpose(1, 2)


class SwiGLU(SideBySide):
    """A gated MLP (Shazeer 2020, https://arxiv.org/abs/2002.05202)."""

    beside = (("gate_proj", "up_proj"),)

    def __init__(self, sizes: Sizes, biases: frozenset[str]):
        super().__init__()
        width, inner = sizes.hidden_size, sizes.intermediate_size
        self.gate_proj = nn.Linear(width, inner, bias="gate_proj" in biases)
        self.up_proj = nn.Linear(width, inner, bias="up_proj" in biases)
        self.down_proj = nn.Linear(inner, width, bias="down_proj" in biases)

    def forward(self, hidden: Tensor) -> Tensor:
        """hidden [R,S,D] -> [R,S,D]."""
        gate, up = beside(hidden, self.gate_proj, self.up_proj)
        return self.down_proj(functional.silu(gate) * up)


class Block(nn.Module):
    """Self-attention and MLP, each behind a normalisation and around a residual."""

    def __init__(self, sizes: Sizes, biases: frozenset[str]):
        super().__init__()
        self.input_layernorm = RMSNorm(sizes.hidden_size, sizes.rms_norm_eps)
        self.self_attn = SelfAttention(sizes, biases)
        self.post_attention_layernorm = RMSNorm(sizes.hidden_size, sizes.rms_norm_eps)
        self.mlp = SwiGLU(sizes, biases)

    def forward(
        self,
        hidden: Tensor,
        mask: Tensor | None,
        rotation: tuple[Tensor, Tensor],
        cache: KeyValueCache | None,
        index: int,
        places: Tensor | None = None,
    ) -> Tensor:
        """hidden [R,S,D] -> hidden [R,S,D], or [R,L,D] at the places [R,L] alone."""
        mixed = self.self_attn(self.input_layernorm(hidden), mask, rotation, cache, index, places)
        hidden = (hidden if places is None else pick(hidden, places)) + mixed
        return hidden + self.mlp(self.post_attention_layernorm(hidden))


class Trunk(nn.Module):
    """Embedding, blocks and last norm, under the names that checkpoints have for them."""

    def __init__(self, sizes: Sizes, biases: frozenset[str]):
        super().__init__()
        self.embed_tokens = nn.Embedding(sizes.vocab_size, sizes.hidden_size)
        self.layers = nn.ModuleList(Block(sizes, biases) for _ in range(sizes.num_hidden_layers))
        self.norm = RMSNorm(sizes.hidden_size, sizes.rms_norm_eps)


class Llama(LanguageModel):
    """Llama decoder (Touvron et al. 2023, https://arxiv.org/abs/2302.13971, section 2.2): RMSNorm, RoPE, SwiGLU.

    A checkpoint (config.json, weights, tokenizer.json) brings its own tokenizer; a token that it lacks, as `<image>`,
    starts as the mean of all. Without one the decoder starts small, and its BPE is trained on the experiment's text.
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        checkpoint: Annotated[
            Checkpoint | None,
            Field(
                description="folder, hub id or GGUF file of a Llama, Mistral or Qwen2; null: the sizes below, untrained"
            ),
        ] = None,
        vocabulary_size: Annotated[
            PositiveInt, Field(description="most tokens of the BPE that is trained on the experiment's text")
        ] = 512,
        width: Annotated[PositiveInt, Field(description="width of the hidden states")] = 128,
        depth: Annotated[PositiveInt, Field(description="number of transformer blocks")] = 4,
        heads: Annotated[PositiveInt, Field(description="query heads of a block")] = 4,
        key_value_heads: Annotated[
            PositiveInt | None,
            Field(description="heads of keys and values, shared by groups of query heads; null: as many as heads"),
        ] = None,
        mlp_width: Annotated[
            PositiveInt | None, Field(description="hidden width of a block's MLP; null: 8/3 of width")
        ] = None,
        tied: Annotated[bool, Field(description="input embedding and output head share their weights")] = True,
    ):
        super().__init__()
        if checkpoint is not None:
            self._load(checkpoint)
            return
        self.tokenizer = tokenizer_for(corpus, vocabulary_size)
        sizes = Sizes(
            vocab_size=self.tokenizer.size,
            hidden_size=width,
            intermediate_size=mlp_width or 8 * width // 3,
            num_hidden_layers=depth,
            num_attention_heads=heads,
            num_key_value_heads=key_value_heads,
            tie_word_embeddings=tied,
        )
        self._start(sizes)

    @classmethod
    def files(cls, options: Mapping[str, Any]) -> Sequence[Path]:
        """The files of the checkpoint, its tokenizer among them; none where the decoder starts untrained."""
        return checkpoint_files(options["checkpoint"])

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The decoder's blocks, in order."""
        return list(self.model.layers)

    @property
    def attentions(self) -> Sequence[nn.Module]:
        """The self-attention of each block, in order."""
        return [layer.self_attn for layer in cast(Iterable[Block], self.model.layers)]

    def embed(self, ids: Tensor) -> Tensor:
        """ids [R,T] -> embeddings [R,T,D]."""
        return self.model.embed_tokens(ids)

    def forward(
        self, embeds: Tensor, positions: Tensor, mask: Tensor | None, cache: KeyValueCache | None = None
    ) -> Tensor:
        """embeds [R,S,D], positions [R,S], mask [R,1,S,K] -> hidden [R,S,D]."""
        rotation = self.rotary(positions)
        hidden = embeds
        for index, layer in enumerate(self.model.layers):
            hidden = layer(hidden, mask, rotation, cache, index)
        if cache is not None:
            cache.advance(embeds.shape[1])
        return self.model.norm(hidden)

    def hidden_at(self, embeds: Tensor, positions: Tensor, mask: Tensor, places: Tensor) -> Tensor:
        """The last block's queries and MLP are made at the places [R,L] alone -> hidden [R,L,D]."""
        rotation = self.rotary(positions)
        hidden = embeds
        last = len(self.model.layers) - 1
        for index, layer in enumerate(self.model.layers[:last]):
            hidden = layer(hidden, mask, rotation, None, index)
        seen = mask.gather(2, places[:, None, :, None].expand(-1, -1, -1, mask.shape[-1]))  # [R,1,L,K]
        return self.model.norm(self.model.layers[last](hidden, seen, rotation, None, last, places))

    def head(self, hidden: Tensor) -> Tensor:
        """hidden [..., D] -> logits [..., V]."""
        return self.lm_head(hidden)

    def new_cache(self, rows: int, capacity: int) -> KeyValueCache:
        """An empty cache for `rows` rows of at most `capacity` tokens."""
        return KeyValueCache(self.shape.depth, capacity)

    def for_transformers(self) -> TransformersPart:
        """The decoder of its own family there, as its checkpoint names it."""
        weights = {name.removeprefix("model."): weight for name, weight in self.state_dict().items()}
        told = self.sizes.rope_parameters or self.sizes.rope_scaling or {}
        turning = {"rope_type": told.get("type", "default"), "rope_theta": self.sizes.rope_theta, **told}
        config = self.sizes.model_dump(exclude_none=True, exclude={"rope_scaling", "use_sliding_window"})
        config["tie_word_embeddings"] = self.lm_head.weight is self.model.embed_tokens.weight
        return TransformersPart({**config, "head_dim": self.sizes.head_width, "rope_parameters": turning}, weights)

    def _start(self, sizes: Sizes) -> None:
        """A new decoder of these sizes; as the native GPT: N(0, 1/sqrt(3 x inputs)), and 0.02 for the embedding."""
        self._build(sizes, frozenset())
        self._tie(sizes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=(3 * module.in_features) ** -0.5)
        nn.init.normal_(self.model.embed_tokens.weight, std=0.02)

    def _load(self, checkpoint: str) -> None:
        """The tokenizer, sizes and weights of a checkpoint."""
        folder = checkpoint_folder(checkpoint)
        self.tokenizer = pretrained_tokenizer(folder)
        sizes, weights = read_decoder(folder, self.tokenizer)
        with torch.device("meta"):  # every weight is read: none has to be drawn
            self._build(sizes, biases_of(weights))
        self.to_empty(device=torch.get_default_device())
        self._tie(sizes)
        load_into(self, weights, checkpoint)

    def _build(self, sizes: Sizes, biases: frozenset[str]) -> None:
        self.sizes = sizes
        self.shape = DecoderShape(sizes.hidden_size, sizes.num_hidden_layers, sizes.num_attention_heads)
        self.model = Trunk(sizes, biases)
        self.rotary = rotary_of(sizes)
        self.lm_head = nn.Linear(sizes.hidden_size, sizes.vocab_size, bias=False)

    def _tie(self, sizes: Sizes) -> None:
        if sizes.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight


@hookimpl
def register_language_models(register):
    """Llama, Mistral and Qwen2, pretrained or small and new."""
    register("llama", Llama)
