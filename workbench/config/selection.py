"""Which points of the grid become trials (`exclude`), which trial the others are compared with (`baseline`), and which
are tested at the end (`final`)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from workbench.config.grid import SEED, Axis
from workbench.config.problems import Keys, Problems
from workbench.config.validation_messages import label
from workbench.errors import did_you_mean

Labels = Mapping[str, str]  # axis -> the label of a point's value
Pattern = Mapping[str, set[str]]  # axis -> the labels that fit


def keep(
    labelled: Sequence[Labels],
    patterns: Sequence[Mapping[str, Any]],
    axes: Sequence[Axis],
    unread: Collection[str],
    problems: Problems,
) -> list[int]:
    """The numbers of the points that no pattern of `exclude` takes out. Axes that are `unread` have problems of
    their own."""
    kept = list(range(len(labelled)))
    for number, written in enumerate(patterns):
        keys: Keys = ("exclude", number)
        pattern = _read(written, keys, axes, unread, problems)
        if not written:
            problems.add(keys, "the pattern is empty. Write {axis: value}")
        elif pattern is not None:
            hit = {point for point, labels in enumerate(labelled) if _fits(labels, pattern)}
            kept = [point for point in kept if point not in hit]
            if not hit:
                problems.add(keys, "no trial is like this. Correct the pattern, or remove it")
    if labelled and not kept:
        problems.add(("exclude",), "every trial is excluded. Exclude fewer")
    return kept


def choose_baseline(
    labelled: Sequence[Labels],
    written: Mapping[str, Any],
    axes: Sequence[Axis],
    unread: Collection[str],
    problems: Problems,
) -> dict[str, str]:
    """The labels of the first trial that agrees with what `baseline` says."""
    keys: Keys = ("baseline",)
    pattern = _read(written, keys, axes, unread, problems)
    if pattern is None:
        return {}
    for axis, labels in pattern.items():
        if len(labels) > 1:
            choices = ", ".join(f"'{text}'" for text in sorted(labels))
            problems.add((*keys, axis), f"this means several values. Write one of: {choices}")
            return {}
    chosen = next((labels for labels in labelled if _fits(labels, pattern)), None)
    if chosen is None and labelled:
        problems.add(keys, "no trial is like this. Write the values of one of the trials")
    return dict(chosen or {})


def choose_final(
    labelled: Sequence[Labels],
    patterns: Sequence[Mapping[str, Any]],
    axes: Sequence[Axis],
    unread: Collection[str],
    problems: Problems,
) -> list[int]:
    """The numbers of the trials that a pattern of `final` names, with all their seeds; an empty one names every
    trial."""
    chosen: set[int] = set()
    for number, written in enumerate(patterns):
        keys: Keys = ("final", number)
        if SEED in written:
            problems.add((*keys, SEED), "a trial is tested with all its seeds, not with a chosen one. Leave this out")
            continue
        pattern = _read(written, keys, axes, unread, problems)
        hit = {point for point, labels in enumerate(labelled) if pattern is not None and _fits(labels, pattern)}
        if pattern is not None and labelled and not hit:
            problems.add(keys, "no trial is like this. Correct the pattern, or remove it")
        chosen |= hit
    return sorted(chosen)


def _read(
    written: Mapping[str, Any], keys: Keys, axes: Sequence[Axis], unread: Collection[str], problems: Problems
) -> dict[str, set[str]] | None:
    """For each axis the labels that are meant; None when something is wrong."""
    by_name = {axis.name: axis for axis in axes}
    pattern: dict[str, set[str]] = {}
    for name, value in written.items():
        if name in by_name:
            pattern[name] = by_name[name].matching(value)
            if not pattern[name]:
                labels = by_name[name].labels
                near = f"{did_you_mean(label(value), labels)} Values: {', '.join(labels)}"
                problems.add((*keys, name), f"'{label(value)}' is no value of this axis.{near}")
        elif name not in unread:
            near = f"{did_you_mean(name, by_name)} Axes: {', '.join(by_name)}"
            problems.add((*keys, name), f"'{name}' is no axis here.{near}")
    return pattern if len(pattern) == len(written) and all(pattern.values()) else None


def _fits(labels: Labels, pattern: Pattern) -> bool:
    return all(labels[axis] in wanted for axis, wanted in pattern.items())
