"""Which settings of peft's methods cannot work here, and why: told before anything trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench import UserError

OF_THE_WHOLE = "it is of peft's own model around this one, which is not there"
WITH_TARGETS = "which layers are adapted is said with 'targets'"
LOSS = "it needs a term in the loss that no phase has"
# In the config of an adapter from elsewhere, and among the settings of a new one.
REFUSED = {
    "trainable_token_indices": "train the embedding itself",
    "target_parameters": "only layers are adapted here, not single parameters as those of experts",
    "layer_replication": "the decoder keeps the blocks it has",
    "megatron_config": "there is no Megatron here",
    "alora_invocation_tokens": "what depends on the tokens read cannot be merged",
    "arrow_config": "it chooses among adapters, and there is one",
    "monteclora_config": LOSS,
    "kasa_config": LOSS,
    "use_qalora": "it is for GPTQ's layers, which are none here",
    "ensure_weight_tying": "a merged layer gets a weight of its own here",
}
OF_NEW_ONES = {
    "target_modules": WITH_TARGETS,
    "layers_to_transform": WITH_TARGETS,
    "layers_pattern": WITH_TARGETS,
    "modules_to_save": "whole parts train by a phase's 'train'",
    "task_type": OF_THE_WHOLE,
    "inference_mode": OF_THE_WHOLE,
    "base_model_name_or_path": OF_THE_WHOLE,
    "revision": OF_THE_WHOLE,
    "auto_mapping": OF_THE_WHOLE,
    "peft_type": "write it as 'method'",
}
# Values of `init_lora_weights`: of any adapter, and of a new one.
CONVERT = "convert it to plain LoRA, with path_initial_model_for_weight_conversion of peft's save_pretrained"
FROM_DATA = f"what it takes from the model's weights was found with data, and cannot be had again: {CONVERT}"
STARTS = {
    "lora_ga": FROM_DATA,
    "corda": FROM_DATA,
    "loftq": "it is meant for a decoder that was saved with it: give that as the checkpoint, and write true here",
}
NEW_STARTS = {"eva": "it needs data before the model is built, without which it is no different from true"}


def check_settings(method: str, settings: Mapping[str, Any]) -> None:
    """`UserError` for settings of a new adapter that have no effect here, or another than in peft."""
    for name, value in settings.items():
        reason = (REFUSED | OF_NEW_ONES).get(name)
        if reason is not None and value:
            raise UserError(f"the setting {name} of peft's '{method}' cannot be had here: {reason}. Leave it out")
    start = settings.get("init_lora_weights")
    if isinstance(start, str) and start in STARTS | NEW_STARTS:
        raise UserError(f"init_lora_weights: {start} cannot be had here: {(STARTS | NEW_STARTS)[start]}")


def check_config(config: Any, folder: Any) -> None:
    """`UserError` for an adapter from elsewhere that needs what is not here."""
    for name, reason in REFUSED.items():
        if getattr(config, name, None):
            raise UserError(f"the adapter in {folder} has {name} in its config, which cannot be had here: {reason}")
    start = getattr(config, "init_lora_weights", None)
    if isinstance(start, str) and start in STARTS:
        raise UserError(f"the adapter in {folder} has init_lora_weights: {start}: {STARTS[start]}")


def check_method(method: str, tuner: Any, base: Any) -> None:
    """`UserError` for a method whose model, a `base` tuner, does more than its layers do, as a loss of its own."""
    if getattr(tuner, "forward", None) is not base.forward:
        raise UserError(f"peft's '{method}' does not live in single layers: {OF_THE_WHOLE}. Take lora, ia3, oft ...")
