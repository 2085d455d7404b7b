"""How long a model takes to answer one question, and for each token that it writes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench.contracts.example import Example
from workbench.data.image_loader import ImageLoader
from workbench.data.image_views import Keys
from workbench.model.generation import generate
from workbench.model.predictor import Predictor, tokens_written

WARM_UP, LEAST_TIMED, MOST_TIMED, TIMING_SECONDS = 3, 3, 10, 0.25  # answers a round, and what they may take together


@dataclass(frozen=True)
class Latency:
    """Milliseconds from the images of one question to its whole answer, and those over the tokens it wrote: a model
    that writes much is slow by the first alone."""

    answer_ms: float
    token_ms: float


def measure_latency(predictor: Predictor, images: ImageLoader, grouped: Mapping[Keys, Sequence[Example]]) -> Latency:
    """The medians after a warm-up, of one question at a time. Of a large model fewer answers are timed."""
    model, most, seconds, tokens = predictor.model, predictor.settings.max_new_tokens, [], []
    for keys in list(grouped)[: WARM_UP + MOST_TIMED]:
        if len(seconds) >= WARM_UP + LEAST_TIMED and sum(seconds) > TIMING_SECONDS:
            break
        views, _, batch = predictor.read([keys], images.plain, [grouped[keys][:1]])
        started = time.perf_counter()
        [[answer]] = generate(model, model.see(views.to(predictor.device), batch.views), batch, most)
        seconds.append(time.perf_counter() - started)
        tokens.append(tokens_written(answer, most))
    start = WARM_UP if len(seconds) > WARM_UP else 0
    each = [spent / count for spent, count in zip(seconds, tokens, strict=True)]
    return Latency(1000 * statistics.median(seconds[start:]), 1000 * statistics.median(each[start:]))
