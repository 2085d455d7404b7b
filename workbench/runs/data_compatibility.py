"""Whether the data fit a trial: splits and tasks, images and their places in the prompt, what a decoder can read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

import torch

from workbench.config.trial import Trial
from workbench.contracts.dataset import Dataset
from workbench.contracts.example import Example
from workbench.data.collator import Collator, own_places
from workbench.errors import UserError, did_you_mean
from workbench.evaluation.evaluate import examples_by_image
from workbench.evaluation.out_of_distribution import outside_images
from workbench.model.build import CompositionError, naming
from workbench.model.vision_language_model import VisionLanguageModel
from workbench.runs.context_length import check_context
from workbench.storage.splits import HELD_OUT, TRAIN
from workbench.training.training_set import training_examples

TRIED = 256  # examples that are looked at before anything runs


def check_data(trial: Trial, dataset: Dataset) -> None:
    """The dataset has the splits, tasks and examples that are asked of it; `CompositionError` names those it lacks."""
    name, evaluation = trial.components["dataset"].name, trial.evaluation
    with naming("dataset", name):
        tasks, splits = tuple(dataset.tasks()), tuple(dataset.splits())
    asked = [("evaluation", "task", evaluation.task, tasks), ("evaluation", "split", evaluation.split, splits)]
    for phase in trial.phases:
        asked += [(f"phase '{phase.name}'", "task", task, tasks) for task in phase.tasks]
    unknown = [
        f"{where}: the dataset '{name}' has no {what} '{word}'.{_instead(what, word, known)}"
        for where, what, word, known in asked
        if word not in known
    ]
    if unknown:
        raise CompositionError("\n".join(unknown))
    with naming("dataset", name):
        if evaluation.split == HELD_OUT and not dataset.examples(HELD_OUT, evaluation.task):
            raise UserError(
                f"the task '{evaluation.task}' has no training images to hold any out of."
                " Write evaluation: {split: test}"
            )
        examples_by_image(dataset, evaluation)
        for phase in trial.phases:
            training_examples(dataset, phase.tasks)


def _instead(what: str, word: str, known: Sequence[str]) -> str:
    if (what, word) == ("split", HELD_OUT):
        splits = " or ".join(f"{{split: {split}}}" for split in known)
        return f" It has no training images to hold any out of. Write evaluation: {splits}"
    return f"{did_you_mean(word, known)} {what.capitalize()}s: {', '.join(known)}"


def sorts(examples: Iterable[Example]) -> list[Example]:
    """Of the examples there, one of each number of images and of own places for them."""
    found: dict[tuple[int, int], Example] = {}
    for example in examples:
        found.setdefault((len(example.images), own_places(example)), example)
    return list(found.values())


def check_places(trial: Trial, model: VisionLanguageModel, sorts: Callable[[str, str], Sequence[Example]]) -> None:
    """Every image has a place, and every place an image; `CompositionError` names an example where that is not so."""
    with naming("language_model", trial.components["language_model"].name):
        collate = Collator(model.language_model.tokenizer, trial.prompt)
    asked, problems = {(trial.evaluation.split, trial.evaluation.task): None}, []
    for phase in trial.phases:
        if phase.objective == "answers":
            asked |= {(TRAIN, task): None for task in phase.tasks}
            continue
        alone = next((each for task in phase.tasks for each in sorts(TRAIN, task) if not each.images), None)
        if alone:
            problems.append(
                f"phase '{phase.name}': contrast is that of an image with its caption; example '{alone.id}' has no"
                " image. Train the encoder on other tasks"
            )
        several = next((each for task in phase.tasks for each in sorts(TRAIN, task) if each.more), None)
        if several:
            problems.append(
                f"phase '{phase.name}': contrast is that of one image with its caption; example '{several.id}' has"
                f" {len(several.images)}. Train the encoder on other tasks"
            )
    fits = ((each.id, collate.misfit(each)) for place in asked for each in sorts(*place))
    problems += [f"example '{id_}': {problem}" for id_, problem in fits if problem]
    if problems:
        raise CompositionError("\n".join(problems))


def check_reading(trial: Trial, model: VisionLanguageModel, dataset: Dataset) -> None:
    """The decoder can read every prompt with its images and answer, and write one; and there is something in the first
    examples to learn."""
    with naming("language_model", trial.components["language_model"].name):
        collate = Collator(model.language_model.tokenizer, trial.prompt, model.fusion.reads_text)
    examples = list(islice(dataset.examples(trial.evaluation.split, trial.evaluation.task), TRIED))
    if not examples:
        return
    with torch.device("cpu"):
        batch = collate(torch.empty(0), [[example] for example in examples])
        silent = (batch.labels < 0).all(1)
    if silent.any():
        example = examples[int(silent.nonzero()[0])]
        raise CompositionError(f"example '{example.id}' has nothing to learn: no token of its answer carries a label")
    check_context(trial, model, dataset, collate)


def check_outside(trial: Trial, dataset: Callable[[], Dataset]) -> None:
    """The outside dataset has at least two images; `CompositionError` when it has not."""
    with naming("dataset", trial.elsewhere.components["dataset"].name):
        outside_images(dataset(), trial.evaluation, most=2)
