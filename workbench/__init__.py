"""A research workbench for vision-language models.

This page is what a plugin author imports, and nothing else::

    from workbench import Fusion, hookimpl

Names are loaded on first use, so that ``import workbench`` (and with it ``workbench --help``) does not
import torch.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.checkpoints import load_into, read_weights
    from workbench.contracts import (
        Adapter,
        Connector,
        Corpus,
        Dataset,
        DecoderShape,
        Encoder,
        Example,
        Fusion,
        Inputs,
        LanguageModel,
        Launcher,
        Metric,
        Prediction,
        Quantizer,
        Turn,
        VisionShape,
    )
    from workbench.errors import UserError
    from workbench.hookspecs import hookimpl
    from workbench.hugging_face import checkpoint_files, checkpoint_folder, read_config, read_folder
    from workbench.layers import (
        MLP,
        Attention,
        CrossAttention,
        KeyValueCache,
        RMSNorm,
        Rotary,
        attend,
        heads_of,
        pick,
        rotate,
    )
    from workbench.pretrained import read_pretrained
    from workbench.tokenizer import Tokenizer, pretrained_tokenizer, tokenizer_for
    from workbench.workers import Advance, Crew, Finished, Job, died, serve

__version__ = "0.1.0"

_HOME = {
    "workbench.checkpoints": ("load_into", "read_weights"),
    "workbench.contracts": (
        "Adapter",
        "Connector",
        "Corpus",
        "Dataset",
        "DecoderShape",
        "Encoder",
        "Example",
        "Fusion",
        "Inputs",
        "LanguageModel",
        "Launcher",
        "Metric",
        "Prediction",
        "Quantizer",
        "Turn",
        "VisionShape",
    ),
    "workbench.errors": ("UserError",),
    "workbench.hookspecs": ("hookimpl",),
    "workbench.hugging_face": ("checkpoint_files", "checkpoint_folder", "read_config", "read_folder"),
    "workbench.layers": (
        "MLP",
        "Attention",
        "CrossAttention",
        "KeyValueCache",
        "RMSNorm",
        "Rotary",
        "attend",
        "heads_of",
        "pick",
        "rotate",
    ),
    "workbench.pretrained": ("read_pretrained",),
    "workbench.tokenizer": ("Tokenizer", "pretrained_tokenizer", "tokenizer_for"),
    "workbench.workers": ("Advance", "Crew", "Finished", "Job", "died", "serve"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "MLP",
    "Adapter",
    "Advance",
    "Attention",
    "Connector",
    "Corpus",
    "Crew",
    "CrossAttention",
    "Dataset",
    "DecoderShape",
    "Encoder",
    "Example",
    "Finished",
    "Fusion",
    "Inputs",
    "Job",
    "KeyValueCache",
    "LanguageModel",
    "Launcher",
    "Metric",
    "Prediction",
    "Quantizer",
    "RMSNorm",
    "Rotary",
    "Tokenizer",
    "Turn",
    "UserError",
    "VisionShape",
    "attend",
    "checkpoint_files",
    "checkpoint_folder",
    "died",
    "heads_of",
    "hookimpl",
    "load_into",
    "pick",
    "pretrained_tokenizer",
    "read_config",
    "read_folder",
    "read_pretrained",
    "read_weights",
    "rotate",
    "serve",
    "tokenizer_for",
]

# In a checkout that is not installed, the built-in plugins lie beside this folder as `plugins/`;
# installed, setuptools puts the same folder at `workbench/plugins`.
if not (Path(__file__).parent / "plugins").is_dir():
    __path__.append(str(Path(__file__).parent.parent))


def __getattr__(name: str):
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'workbench' has no attribute '{name}'")
    return getattr(importlib.import_module(_MODULE_OF[name]), name)
