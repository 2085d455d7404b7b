"""A plugin with options, as a file has it -> the component with every option it runs with, checked by its plugin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from workbench.config.component import Checkpoint, Component
from workbench.config.problems import Keys
from workbench.config.validation_messages import Fault, label, shown
from workbench.config.written import Resolved, Written
from workbench.registry import Plugin, Registry, RegistryError, check_options, resolve_options
from workbench.storage.places import unusable


def check_component(kind: str, written: Any, keys: Keys, registry: Registry) -> list[Fault]:
    """What is wrong with a component as written, apart from options it still needs: they may have axes."""
    plugin, options, faults = _read_component(kind, written, keys, registry)
    wrong = check_options(plugin, options) if plugin else ()
    return faults + [((*keys, option), message) for option, message in wrong if option in options]


def resolve_component(kind: str, written: Written, registry: Registry, folder: Path) -> Resolved:
    """A component with its defaults filled in, or all that is wrong with it; nothing is raised. Paths among its options
    are relative to `folder`."""
    plugin, options, faults = _read_component(kind, written.value, written.keys, registry)
    if plugin is None:
        return Resolved(None, tuple(faults))
    places: dict[str, Keys] = {option: (*written.keys, option) for option in options}
    for option, (value, keys) in written.swept.items():
        if option in options and written.keys[0] != "base":
            faults.append((keys, f"'{kind}.{option}' has an axis, and '{plugin.name}' sets it too. Remove one of them"))
        options[option] = value
        places[option] = keys
    for option, inner in plugin.options.items():
        if inner.kind and isinstance(options.get(option), dict):
            options[option], more = _resolve_parts(inner.kind, options[option], places[option], registry, folder)
            faults += more
    try:
        resolved = resolve_options(plugin, options)
        component = Component(kind, plugin.name, resolved, folder, untold=_untold(plugin, resolved))
    except RegistryError:
        for option, message in check_options(plugin, options):
            advice = _exclude_or_write_out(plugin, option, written) if option not in plugin.options else ""
            faults.append((places.get(option, written.keys), message + advice))
        return Resolved(None, tuple(faults))
    for option, value in component.options.items():
        faults += [
            (places.get(option, written.keys), problem) for problem in filter(None, map(unusable, _paths(value)))
        ]
    return Resolved(None if faults else component, tuple(faults))


def _paths(value: Any) -> Iterator[Path | str]:
    """The places on a disk that an option's value names."""
    match value:
        case Path() | Checkpoint():
            yield value
        case dict() | tuple():
            for each in value.values() if isinstance(value, dict) else value:
                yield from _paths(each)


def _resolve_parts(
    kind: str, written: Mapping[str, Any], keys: Keys, registry: Registry, folder: Path
) -> tuple[dict[str, Component], list[Fault]]:
    """The components that another one takes by name, and what is wrong with them."""
    found = {
        name: resolve_component(kind, Written(each, (*keys, name)), registry, folder) for name, each in written.items()
    }
    return {name: each.value for name, each in found.items()}, [
        fault for each in found.values() for fault in each.faults
    ]


def _read_component(
    kind: str, written: Any, keys: Keys, registry: Registry
) -> tuple[Plugin | None, dict[str, Any], list[Fault]]:
    """`mine` or `{name: mine, depth: 2}` -> the plugin and the options; without a plugin, what is wrong."""
    options = dict(written) if isinstance(written, dict) else {}
    name = options.pop("name", None) if isinstance(written, dict) else written
    known = ", ".join(plugin.name for plugin in registry.plugins(kind))
    if written is None:
        message = f"'{kind}' is missing. Write '{kind}: NAME' in base, or vary it in grid or variants. Known: {known}"
        return None, {}, [(keys[:-1], message)]
    if not isinstance(name, str):
        what = (
            f"the {kind}'s name is missing"
            if isinstance(written, dict) and name is None
            else f"{shown(name)} is no {kind}"
        )
        return None, {}, [(keys, f"{what}. Write 'NAME' or '{{name: NAME, option: value}}'. Known: {known}")]
    try:
        return registry.plugin(kind, name), options, []
    except RegistryError as error:
        return None, {}, [((*keys, "name") if isinstance(written, dict) else keys, str(error))]


def _untold(plugin: Plugin, options: Mapping[str, Any]) -> frozenset[str]:
    """The options of which records say nothing, as they have their defaults and were added later."""
    silent = {name: option.default for name, option in plugin.options.items() if not option.written_at_default}
    return frozenset(name for name, default in silent.items() if options[name] == default)


def _exclude_or_write_out(plugin: Plugin, option: str, written: Written) -> str:
    if option not in written.swept:
        return ""
    return (
        f". Exclude these trials (exclude: [{{{plugin.kind}: {plugin.name}}}]), or write the values out:"
        f" {plugin.kind}: [{plugin.name}, {{name: OTHER, {option}: {label(written.swept[option][0])}}}]"
    )
