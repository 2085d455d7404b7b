"""Every family of causal decoders that transformers has, as the language model `huggingface`, beside its own class.

Each is a tiny random model that behaves as the family's released ones do (`small_likeness`), with whatever scales or
bounds logits, embeddings or residuals set to a value that counts. It is saved as a checkpoint and loaded by both.

    python benchmarks/decoder_families.py                 # all of them, some minutes on one thread
    python benchmarks/decoder_families.py --only llama opt
    python benchmarks/decoder_families.py --write families.md --json families.json

Columns, each the largest difference of logits (or hidden states under `fused`) in units of their spread:
`logits`: one text beyond the window, by us and by transformers' own eager code, also with the head tied as it is not;
`packed`: two questions in a row, and each alone; `cached`: token by token, and in one pass;
`fused`: under each fusion, answers from the cache and in one pass, questions in a row and alone.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from decoder_configs import CannotBeBuilt, configs, random_checkpoint
from side_by_side import print_machine
from torch import Tensor, nn

from workbench import Corpus, Fusion, UserError
from workbench.checkpoints.transformers_models import quiet_transformers
from workbench.conformance.cached_decoding import answers_from_the_cache_equal_the_full_pass
from workbench.conformance.leakage import questions_are_answered_in_a_row_as_if_each_stood_alone
from workbench.conformance.reference_model import batch_for, opened, trained
from workbench.conformance.reference_parts import ReferenceEncoder
from workbench.conformance.reference_questions import QUESTIONS, corpus
from workbench.conformance.rules import Broken, Subject
from workbench.model.vision_language_model import VisionLanguageModel
from workbench.registry import Registry, load_registry

LENGTH, READ = 24, 9  # tokens of the text; as many of them are read into the cache in one piece
CLOSE = 1e-3
FUSIONS = ("concat_projection", "cross_attention", "gated", "bidirectional")
COLUMNS = ("logits", "tied", "packed", "cached", *FUSIONS)
VIT = {"image_size": 16, "patch_size": 8, "width": 16, "depth": 1, "heads": 2}


@dataclass
class Row:
    """A family: what each column found (a difference, or what went wrong), and what that comes to."""

    family: str
    verdict: str = ""
    told: str = ""
    columns: dict[str, float | str] = field(default_factory=dict)
    seconds: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], help="families, as transformers calls their model_type")
    parser.add_argument("--write", type=Path, help="a Markdown table")
    parser.add_argument("--json", type=Path, help="the same for a program")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print_machine(threads=1)
    rows = []
    for family, config in configs(given.only):
        rows.append(compared(load_registry(), family, config))
        print(line_of(rows[-1]), flush=True)
        if given.json:
            given.json.write_text(json.dumps([asdict(row) for row in rows], indent=1), encoding="utf-8")
    counts = {kind: sum(row.verdict == kind for row in rows) for kind in dict.fromkeys(row.verdict for row in rows)}
    print("\n" + ", ".join(f"{count} {kind}" for kind, count in counts.items()))
    if given.write:
        given.write.write_text(markdown(rows), encoding="utf-8")


def compared(registry: Registry, family: str, config: Callable[[], Any]) -> Row:
    """One family in all columns; what cannot be built or loaded has none."""
    row, started = Row(family), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, quiet_transformers():
        try:
            random_checkpoint(config(), Path(folder) / "own")
            ours = decoder_of(registry, Path(folder) / "own")
        except CannotBeBuilt as error:
            row.verdict, row.told = "cannot be built tiny", str(error)
        except UserError as error:
            row.verdict, row.told = "refused", _without(str(error), folder)
        except Exception as error:
            row.verdict, row.told = "fails", f"loading: {_said(error)}"
        else:
            _fill(row, registry, ours, config, Path(folder))
            row.verdict, row.told = verdict(row)
    row.seconds = time.perf_counter() - started
    return row


def decoder_of(registry: Registry, folder: Path) -> Any:
    told = corpus()
    return registry.create("language_model", "huggingface", Corpus(told.texts), checkpoint=str(folder)).eval()


def _fill(row: Row, registry: Registry, ours: Any, config: Callable[[], Any], folder: Path) -> None:
    """Every column, whatever happens in another."""

    def logits() -> float:
        return apart_from_transformers(ours, folder / "own")

    def tied() -> float | str:
        other = config()
        vars(other)["tie_word_embeddings"] = not getattr(other, "tie_word_embeddings", False)
        random_checkpoint(other, folder / "tied")
        return apart_from_transformers(decoder_of(registry, folder / "tied"), folder / "tied")

    tried: dict[str, Callable[[], float | str]] = {
        "logits": logits,
        "tied": tied,
        "packed": lambda: packed_apart_from_alone(ours),
        "cached": lambda: cached_apart_from_full(ours),
        **{name: lambda name=name: under(registry, name, copy.deepcopy(ours)) for name in FUSIONS},
    }
    for name, column in tried.items():
        try:
            row.columns[name] = column()
        except Broken as error:
            row.columns[name] = _number_in(str(error))
        except UserError as error:
            row.columns[name] = f"refused: {_without(str(error), str(folder))}"
        except Exception as error:
            row.columns[name] = f"fails: {_said(error)}"


@torch.no_grad()
def apart_from_transformers(ours: Any, folder: Path) -> float:
    """Our logits against those of transformers' own class with its eager attention."""
    from transformers import AutoModelForCausalLM

    theirs: Any = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    ids = some_ids()
    told = theirs(ids, use_cache=False).logits
    return apart(logits_of(ours, ids)[..., : told.shape[-1]], told)


@torch.no_grad()
def packed_apart_from_alone(ours: Any) -> float:
    """Two rows of two questions, and the four questions each in a row of its own."""
    model = of_text(ours)
    collate, nothing = model.collator("{question}\n"), torch.empty(0)

    def answers(rows: Any) -> Tensor:
        batch = collate(nothing, rows)
        return ours.head(model.hidden(torch.empty(len(rows), 0), batch))[batch.labels >= 0]

    alone = [answers([[question]]) for row in QUESTIONS for question in row]
    return apart(answers(QUESTIONS), torch.cat(alone))


@torch.no_grad()
def cached_apart_from_full(ours: Any) -> float:
    """A text in one pass; and its beginning in one piece, then token by token."""
    ids = some_ids()
    full = logits_of(ours, ids)
    cache, pieces = ours.new_cache(len(ids), LENGTH), []
    for start, end in [(0, READ), *((place, place + 1) for place in range(READ, LENGTH))]:
        positions = torch.arange(start, end).expand(len(ids), -1)
        mask = (torch.arange(end)[None] <= positions[0, :, None])[None, None].expand(len(ids), -1, -1, -1)
        pieces.append(ours.head(ours(ours.embed(ids[:, start:end]), positions, mask, cache)))
    return apart(torch.cat(pieces, 1), full)


def under(registry: Registry, fusion: str, ours: Any) -> float | str:
    """A whole model with gates open: finite loss and gradients, and the rules of conformance for caches and rows."""
    torch.manual_seed(0)
    encoder = registry.create("encoder", "vit", **VIT)
    connector = registry.create("connector", "mlp", encoder.shape, ours.shape.width)
    chosen = opened(registry.create("fusion", fusion, connector.shape, ours.shape))
    model = VisionLanguageModel(encoder, connector, chosen, ours).eval()
    loss = model.loss(batch_for(model))
    loss.backward()
    gradients = [each.grad for each in model.parameters() if each.grad is not None]
    if not all(bool(each.isfinite().all()) for each in (loss, *gradients)):
        return float("inf")
    model.zero_grad(set_to_none=True)
    subject = Subject(registry.plugin("language_model", "huggingface"), _made={trained: (model, {})})
    with torch.no_grad():
        answers_from_the_cache_equal_the_full_pass(subject)
        questions_are_answered_in_a_row_as_if_each_stood_alone(subject)
    return 0.0


def of_text(ours: Any) -> VisionLanguageModel:
    return VisionLanguageModel(ReferenceEncoder(), nn.Identity(), Fusion(), ours)  # pyright: ignore[reportArgumentType]


def logits_of(ours: Any, ids: Tensor) -> Tensor:
    """ids [R,T] -> logits [R,T,V] of a causal pass."""
    length = ids.shape[1]
    mask = torch.ones(length, length, dtype=torch.bool).tril()[None, None].expand(len(ids), -1, -1, -1)
    return ours.head(ours(ours.embed(ids), torch.arange(length).expand_as(ids), mask))


def some_ids() -> Tensor:
    return torch.randint(5, 280, (2, LENGTH), generator=torch.Generator().manual_seed(1))


def apart(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference, in units of how far apart theirs are from each other."""
    if not bool(ours.isfinite().all()) or not bool(theirs.isfinite().all()):
        return float("inf")
    return float((ours - theirs).abs().max() / theirs.std())


def verdict(row: Row) -> tuple[str, str]:
    """right, refused, WRONG or fails, and in which columns."""
    wrong = {name: value for name, value in row.columns.items() if isinstance(value, float) and not value < CLOSE}
    if wrong:
        return "WRONG", ", ".join(f"{name} {value:.2g}" for name, value in wrong.items())
    for kind in ("fails", "refused"):
        told = [f"{name}: {text}" for name, text in row.columns.items() if str(text).startswith(kind)]
        if told:
            return kind, told[0] + (f" and {len(told) - 1} more" if len(told) > 1 else "")
    return "right", ""


def line_of(row: Row) -> str:
    cells = " ".join(f"{_cell(row.columns.get(name, '')):>8}" for name in COLUMNS)
    return f"{row.family:<24} {row.verdict:<9} {cells}  {row.seconds:4.1f} s  {row.told}"


def markdown(rows: list[Row]) -> str:
    head = ["family", "verdict", *COLUMNS, "told"]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        told = row.told.replace("|", "\\|")
        lines.append([row.family, row.verdict, *(_cell(row.columns.get(name, "")) for name in COLUMNS), told])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def _cell(value: float | str) -> str:
    return value.partition(":")[0] if isinstance(value, str) else f"{value:.1e}"


def _number_in(text: str) -> float | str:
    found = re.search(r"by ([\d.]+(?:e[+-]?\d+)?|inf)", text)
    return float(found[1].rstrip(".")) if found else float("inf")


def _said(error: Exception) -> str:
    """The exception, and the place in transformers or here that raised it."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__} at {place}: {' '.join(str(error).split())[:200]}"


def _without(text: str, folder: str) -> str:
    return text.replace(f"{folder}/own", "it").replace(f"{folder}/tied", "it")


if __name__ == "__main__":
    sys.exit(main())
