"""What is left of a decoder's text ability: how surprised it is by plain text, before training and after.

The decoder reads by itself, without any image: fusions hang on it and do nothing. So a frozen decoder under scheme B
gives the same number before and after to the last bit, and what scheme A or an adapter costs in text shows.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from workbench.data.annotations import DataError
from workbench.devices.precision import autocast
from workbench.model.build import create
from workbench.model.vision_language_model import visible
from workbench.storage.hashing import digest

if TYPE_CHECKING:
    from workbench.checkpoints.tokenizer import Corpus
    from workbench.config.trial import Trial
    from workbench.contracts.language_model import LanguageModel
    from workbench.registry import Registry

WINDOW = 256  # tokens that are read together, where a decoder has positions for them and the start
PLAIN_TEXT = Path(__file__).with_name("plain_text.txt")  # plain English on many things, in our own words
AFTER, BEFORE = "text_perplexity", "text_perplexity.before"


def text_perplexities(
    trial: Trial, trained: LanguageModel, corpus: Corpus, registry: Registry, known: dict[str, float]
) -> dict[str, float]:
    """The perplexity of the evaluation's text under the trained decoder, and under the one it began as. `known` keeps
    the latter for other trials that begin with the same decoder, so that it need not be built again."""
    if not trial.evaluation.text:
        return {}
    text = _read(trial.text_file or PLAIN_TEXT)
    device = next(trained.parameters()).device
    after = perplexity(trained, text, trial.evaluation.precision)
    parts = [trial.components[kind].work for kind in ("language_model", "dataset")]
    start = digest([parts, trial.seed, trial.evaluation.precision, text])
    if start not in known:
        decoder: LanguageModel = create(trial, "language_model", registry, corpus).to(device)
        known[start] = perplexity(decoder, text, trial.evaluation.precision)
    return {AFTER: after, BEFORE: known[start]}


def perplexity(language_model: LanguageModel, text: str, precision: str = "fp32") -> float:
    """e to the mean negative log-likelihood of the text's tokens, read in windows that each begin with the start token.

    It compares what reads by the same tokenizer; between tokenizers it does not. Raises `DataError` for a text without
    tokens.
    """
    tokenizer, device = language_model.tokenizer, next(language_model.parameters()).device
    ids = torch.tensor(tokenizer.encode_text(text), device=device)
    if not len(ids):
        raise DataError("the text of 'evaluation.text' has no tokens: give a file with a few paragraphs")
    losses = 0.0
    training = language_model.training
    language_model.eval()
    with torch.inference_mode(), autocast(device, precision):
        for window in ids.split(min(WINDOW, (language_model.context or WINDOW + 1) - 1)):
            read = torch.cat([ids.new_tensor([tokenizer.start]), window])[None]  # [1,W+1]
            everywhere = torch.zeros_like(read)
            places = torch.arange(read.shape[1], device=device)[None]
            embeds = language_model.embed(read)
            hidden = language_model(embeds, places, visible(everywhere, everywhere))
            logits = language_model.head(hidden[0, :-1]).float()  # [W,V]
            losses += float(functional.cross_entropy(logits, window, reduction="sum"))
    language_model.train(training)
    return math.exp(min(losses / len(ids), 700.0))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"'evaluation.text' cannot be read from {file}: {error}. Give a file of plain text") from error
