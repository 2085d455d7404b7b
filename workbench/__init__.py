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

from workbench.renamed import PAGE, told

if TYPE_CHECKING:
    from workbench.annotations import (
        LETTERS,
        DataError,
        Entry,
        csv_rows,
        json_entries,
        json_lines,
        json_members,
        json_values,
        multiple_choice,
        read_entries,
        text_lines,
    )
    from workbench.capabilities import has_int8_rows, multiplies, multiplies_int8
    from workbench.captions import KarpathySplits, caption_examples
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
        Tracker,
        VisionShape,
    )
    from workbench.errors import UserError, did_you_mean
    from workbench.example import Turn
    from workbench.file_dataset import FileDataset
    from workbench.hashing import file_hash
    from workbench.hookspecs import hookimpl
    from workbench.hugging_face import checkpoint_files, checkpoint_folder, read_config, read_folder
    from workbench.layers import (
        MLP,
        Attention,
        CrossAttention,
        KeysValues,
        KeyValueCache,
        RMSNorm,
        Rotary,
        ViewPlaces,
        attend,
        beside,
        beside_as_one,
        heads_of,
        pick,
        rotate,
    )
    from workbench.linear_layers import (
        QuantizedLinear,
        embedding_factor,
        is_adaptable,
        is_conv1d,
        is_plain_linear,
        linear_sizes,
        product_type,
        replace_modules,
    )
    from workbench.machine import free_memory, usable_cores
    from workbench.peft_files import adapted_part, adapter_files, part_with, read_adapter, write_adapter
    from workbench.picture_files import ImageFiles
    from workbench.preprocessing import Preprocessing, read_preprocessing
    from workbench.pretrained import read_pretrained
    from workbench.tiles import Tiles
    from workbench.tokenizer import Tokenizer, pretrained_tokenizer, tokenizer_for
    from workbench.transformers_part import TransformersPart
    from workbench.trial import Checkpoint, Share
    from workbench.vqa_files import COCO_2014, vqa_dataset
    from workbench.workers import Advance, Crew, Finished, Job, died, serve

__version__ = "0.1.0"

_HOME = {
    "workbench.annotations": (
        "LETTERS",
        "DataError",
        "Entry",
        "csv_rows",
        "json_entries",
        "json_lines",
        "json_members",
        "json_values",
        "multiple_choice",
        "read_entries",
        "text_lines",
    ),
    "workbench.capabilities": ("has_int8_rows", "multiplies", "multiplies_int8"),
    "workbench.captions": ("KarpathySplits", "caption_examples"),
    "workbench.file_dataset": ("FileDataset",),
    "workbench.picture_files": ("ImageFiles",),
    "workbench.trial": ("Checkpoint", "Share"),
    "workbench.tiles": ("Tiles",),
    "workbench.vqa_files": ("COCO_2014", "vqa_dataset"),
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
        "Tracker",
        "VisionShape",
    ),
    "workbench.example": ("Turn",),
    "workbench.errors": ("UserError", "did_you_mean"),
    "workbench.hashing": ("file_hash",),
    "workbench.hookspecs": ("hookimpl",),
    "workbench.hugging_face": ("checkpoint_files", "checkpoint_folder", "read_config", "read_folder"),
    "workbench.layers": (
        "MLP",
        "Attention",
        "CrossAttention",
        "KeysValues",
        "KeyValueCache",
        "RMSNorm",
        "Rotary",
        "ViewPlaces",
        "attend",
        "beside",
        "beside_as_one",
        "heads_of",
        "pick",
        "rotate",
    ),
    "workbench.linear_layers": (
        "QuantizedLinear",
        "embedding_factor",
        "is_adaptable",
        "is_conv1d",
        "is_plain_linear",
        "linear_sizes",
        "product_type",
        "replace_modules",
    ),
    "workbench.machine": ("free_memory", "usable_cores"),
    "workbench.peft_files": ("adapted_part", "adapter_files", "part_with", "read_adapter", "write_adapter"),
    "workbench.preprocessing": ("Preprocessing", "read_preprocessing"),
    "workbench.pretrained": ("read_pretrained",),
    "workbench.transformers_part": ("TransformersPart",),
    "workbench.tokenizer": ("Tokenizer", "pretrained_tokenizer", "tokenizer_for"),
    "workbench.workers": ("Advance", "Crew", "Finished", "Job", "died", "serve"),
}
MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Adapter",
    "Advance",
    "Attention",
    "COCO_2014",
    "Checkpoint",
    "Connector",
    "Corpus",
    "Crew",
    "CrossAttention",
    "DataError",
    "Dataset",
    "DecoderShape",
    "Encoder",
    "Entry",
    "Example",
    "FileDataset",
    "Finished",
    "Fusion",
    "ImageFiles",
    "Inputs",
    "Job",
    "KarpathySplits",
    "KeyValueCache",
    "KeysValues",
    "LETTERS",
    "LanguageModel",
    "Launcher",
    "MLP",
    "Metric",
    "Prediction",
    "Preprocessing",
    "QuantizedLinear",
    "Quantizer",
    "RMSNorm",
    "Rotary",
    "Share",
    "Tiles",
    "Tokenizer",
    "TransformersPart",
    "Tracker",
    "Turn",
    "UserError",
    "ViewPlaces",
    "VisionShape",
    "adapted_part",
    "adapter_files",
    "attend",
    "beside",
    "beside_as_one",
    "caption_examples",
    "checkpoint_files",
    "checkpoint_folder",
    "csv_rows",
    "did_you_mean",
    "died",
    "embedding_factor",
    "file_hash",
    "free_memory",
    "has_int8_rows",
    "heads_of",
    "hookimpl",
    "is_adaptable",
    "is_conv1d",
    "is_plain_linear",
    "json_entries",
    "json_lines",
    "json_members",
    "json_values",
    "linear_sizes",
    "load_into",
    "multiple_choice",
    "multiplies",
    "multiplies_int8",
    "part_with",
    "pick",
    "pretrained_tokenizer",
    "product_type",
    "read_adapter",
    "read_config",
    "read_entries",
    "read_folder",
    "read_preprocessing",
    "read_pretrained",
    "read_weights",
    "replace_modules",
    "rotate",
    "serve",
    "text_lines",
    "tokenizer_for",
    "usable_cores",
    "vqa_dataset",
    "write_adapter",
]

# In a checkout that is not installed, the built-in plugins lie beside this folder as `plugins/`;
# installed, setuptools puts the same folder at `workbench/plugins`.
if not (Path(__file__).parent / "plugins").is_dir():
    __path__.append(str(Path(__file__).parent.parent))


def __getattr__(name: str):
    if name in PAGE:  # `from workbench import` passes no text of an AttributeError on
        raise ImportError(told("workbench", name, PAGE), name=__name__)
    if name not in MODULE_OF:
        raise AttributeError(f"module 'workbench' has no attribute '{name}'")
    return getattr(importlib.import_module(MODULE_OF[name]), name)
