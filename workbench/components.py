"""The plugins that a trial is made of: which they are, what tells them apart, and how they are called."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.settings import label
from workbench.trial import Component, Trial


def components_of(trial: Trial) -> Iterator[Component]:
    """A trial's components, and those among their options."""
    for component in (*trial.components.values(), *trial.metrics, *filter(None, [trial.outside])):
        yield component
        yield from component.parts()


def identity(component: Component) -> str:
    """What tells a plugin with its options from others."""
    return f"{component.kind} {component.spec_text}"


def named(component: Component) -> str:
    """In words: `fusion mine(heads=2)`."""
    options = ", ".join(f"{name}={label(value)}" for name, value in component.spec().items() if name != "name")
    return f"{component.kind} {component.name}" + (f"({options})" if options else "")
