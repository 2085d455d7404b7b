"""A model of scheme A as a folder that transformers itself loads: `LlavaForConditionalGeneration` (Liu et al. 2023,
https://arxiv.org/abs/2304.08485).

Encoder, connector, fusion and language model are asked for themselves in transformers' terms (`for_transformers`); what
has no counterpart there, or cannot be said there, is refused with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from workbench.checkpoints.llava_layout import TransformersPart
from workbench.checkpoints.tokenizer import Tokenizer
from workbench.checkpoints.transformers_models import quiet_transformers, transformers_for
from workbench.config.trial import Trial
from workbench.contracts.connector import Connector
from workbench.contracts.encoder import Encoder
from workbench.contracts.fusion import Fusion
from workbench.contracts.language_model import LanguageModel
from workbench.errors import UserError
from workbench.inference.llava_template import llava_template
from workbench.model.vision_language_model import VisionLanguageModel

PARTS = ("encoder", "connector", "fusion", "language_model")
# Where the weights of a part stand in transformers' model.
PLACES = {
    "encoder": "model.vision_tower.",
    "connector": "model.multi_modal_projector.",
    "language_model": "model.language_model.",
}
HEAD = "lm_head.weight"
PROCESSOR = "processor_config.json"


def write_llava(model: VisionLanguageModel, trial: Trial, folder: Path) -> None:
    """Write model (adapter merged, not quantized), tokenizer and preprocessing; all weights are there once. Raises
    `UserError` for a part that transformers has nothing like."""
    transformers = transformers_for("a LLaVA folder")
    parts = {kind: _part(getattr(model, kind), trial.components[kind].name, kind) for kind in PARTS}
    config = _config(transformers, parts, model)
    with torch.device("meta"), quiet_transformers():
        empty = transformers.LlavaForConditionalGeneration(config)
    weights = _named(parts, empty)
    kinds = {each.dtype for each in weights.values()}
    if len(kinds) > 1:
        raise UserError(f"the weights are of several types ({', '.join(map(str, kinds))}), a LLaVA folder has one")
    empty.load_state_dict(weights, strict=True, assign=True)
    empty.tie_weights()
    _check_ties(weights, empty)
    tokenizer = model.language_model.tokenizer
    empty.generation_config.eos_token_id = list(tokenizer.ends) if len(tokenizer.ends) > 1 else tokenizer.end
    empty.generation_config.pad_token_id = tokenizer.padding
    with quiet_transformers():
        empty.to(next(iter(kinds))).save_pretrained(folder)
    _write_tokenizer(transformers, tokenizer, trial.prompt, folder)
    for name, content in {**parts["encoder"].files, PROCESSOR: _processor(config, model)}.items():
        (folder / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _part(part: Encoder | Connector | Fusion | LanguageModel, name: str, kind: str) -> TransformersPart:
    try:
        told = part.for_transformers()
    except UserError as error:
        raise UserError(f"the {kind} '{name}' has no counterpart in transformers' LLaVA: {error}") from error
    if told is None:
        raise UserError(f"the {kind} '{name}' has no counterpart in transformers' LLaVA: it has no `for_transformers`")
    return told


def _config(transformers: Any, parts: Mapping[str, TransformersPart], model: VisionLanguageModel) -> Any:
    settings = {name: value for part in parts.values() for name, value in part.settings.items()}
    return transformers.LlavaConfig(
        vision_config=dict(parts["encoder"].config),
        text_config=dict(parts["language_model"].config),
        image_token_index=model.language_model.tokenizer.image,
        image_seq_length=model.connector.shape.tokens,
        tie_word_embeddings=parts["language_model"].config.get("tie_word_embeddings", False),
        **settings,
    )


def _processor(config: Any, model: VisionLanguageModel) -> dict[str, Any]:
    """What `AutoProcessor` counts the image tokens of an image by."""
    patch, strategy = config.vision_config.patch_size, config.vision_feature_select_strategy
    before = model.connector.shape.tokens - (model.encoder.image_size // patch) ** 2 + (strategy == "default")
    return {
        "processor_class": "LlavaProcessor",
        "patch_size": patch,
        "vision_feature_select_strategy": strategy,
        "num_additional_image_tokens": before,
    }


def _named(parts: Mapping[str, TransformersPart], empty: nn.Module) -> dict[str, Tensor]:
    """The weights of all parts under the names that the whole model has for them."""
    wanted = empty.state_dict()
    found: dict[str, Tensor] = {}
    for kind, place in PLACES.items():
        for name, weight in parts[kind].weights.items():
            if name == HEAD:
                found[HEAD] = weight
                continue
            ways = [whole for whole in (place + name, f"{place}vision_model.{name}") if whole in wanted]
            if not ways:
                raise UserError(f"the weight {name} of the {kind} is not known to transformers' LLaVA")
            found[ways[0]] = weight
    lacking = sorted(set(wanted) - set(found))
    if lacking:
        raise UserError(f"transformers' LLaVA needs weights that are not here: {', '.join(lacking[:4])}")
    unequal = [name for name, weight in found.items() if weight.shape != wanted[name].shape]
    if unequal:
        raise UserError(f"weights have other shapes in transformers' LLaVA: {', '.join(unequal[:4])}")
    return {name: weight.detach().cpu().contiguous() for name, weight in found.items()}


def _check_ties(weights: Mapping[str, Tensor], model: nn.Module) -> None:
    """No weight became another's where transformers shares what is not shared here."""
    now = model.state_dict()
    moved = [name for name, weight in weights.items() if not torch.equal(now[name], weight)]
    if moved:
        raise UserError(f"transformers would have one weight for several that differ here: {', '.join(moved[:4])}")


def _write_tokenizer(transformers: Any, tokenizer: Tokenizer, prompt: str, folder: Path) -> None:
    """It puts nothing before a text by itself: a prompt begins with its own start token, or as its template says."""
    padding, start, end, image = tokenizer.special
    raw = type(tokenizer.raw).from_str(json.dumps({**json.loads(tokenizer.json()), "post_processor": None}))
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token=start,
        eos_token=end,
        pad_token=padding,
        extra_special_tokens={"image_token": image},
    )
    if tokenizer.template is not None:
        fast.chat_template = llava_template(tokenizer.template, prompt)
    fast.save_pretrained(folder)
