"""Which files of the workbench compute the numbers of a stage: their code is part of the stage's key.

A key is the hash of all that a stage depends on (`runs/stage_keys.py`): when one of these files changes, the stage is
done anew. A module that computes a number has to lie in a folder that is listed here, and one that computes none
elsewhere; of folders that do other work as well, single files are listed. Comments and docstrings are no change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from workbench.code_hashes.sources import ALIASES, Source, read_source, version_of

CODE = "code:workbench/"
HERE = Path(__file__).parents[1]

# `tests/code_hashes/test_package_code.py` follows the imports of what does the stages: none may be missing here.
ENCODING = (
    *("checkpoints", "contracts", "data", "layers", "model"),
    *("config/component.py", "config/component_files.py", "config/phase.py", "config/seeds.py", "config/trial.py"),
    *("devices/capabilities.py", "devices/device.py", "devices/precision.py"),
    *("runs/feature_stage.py", "runs/workplace.py", "storage/artifacts.py", "storage/conditions.py"),
    *("storage/hashing.py", "storage/places.py", "storage/splits.py"),
)
TRAINING = (
    *(*ENCODING, "training", "devices/peak_memory.py", "evaluation/__init__.py", "evaluation/scored.py"),
    *("runs/stage_inputs.py", "runs/training_stage.py"),
)
EVALUATION = (
    *(*TRAINING, "evaluation", "runs/evaluation_stage.py", "runs/flop_counter.py", "runs/flops.py"),
    *("runs/meta_device.py", "runs/model_shapes.py"),
)
# In one of the folders, and without a number: where work is done, who hears of it, and what a plan tries out first.
LEFT_OUT = (
    *("contracts/launcher.py", "contracts/tracker.py"),
    *("checkpoints/small_layers.py", "checkpoints/small_likeness.py", "checkpoints/small_widths.py"),
)
# The packages of which a number is made where a module imports them: by the name of the import, the package's own.
PACKAGES = {
    name: ALIASES.get(name, name) for name in ("PIL", "jinja2", "numpy", "safetensors", "scipy", "tokenizers", "torch")
}
NO_NUMBER = {"huggingface_hub", "pluggy", "pydantic"}  # packages that are imported and make none


def core_code(ingredients: tuple[str, ...]) -> dict[str, str]:
    """The code of these folders and files of the workbench, file by file, and the versions of the packages it computes
    with."""
    return dict(_core_code(ingredients))


def core_files(ingredients: tuple[str, ...]) -> Iterator[Path]:
    """The files of these folders and files of the workbench."""
    for each in ingredients:
        place = HERE / each
        files = sorted(place.rglob("*")) if place.is_dir() else [place]
        yield from (file for file in files if file.is_file() and _counts(file))


@cache
def versions_of(packages: tuple[str, ...]) -> dict[str, str]:
    """The versions of packages, as far as they are installed; an alias and the package's own name are one."""
    own = {PACKAGES.get(package, package): package for package in packages if package not in NO_NUMBER}
    versions = {name.replace("_", "-"): version_of(name) for name in own}
    return {f"version:{name}": version for name, version in versions.items() if version is not None}


@cache
def _core_code(ingredients: tuple[str, ...]) -> dict[str, str]:
    sources = {file.relative_to(HERE).as_posix(): _source_of(file) for file in core_files(ingredients)}
    imported = {each.module.partition(".")[0] for source in sources.values() for each in source.imports}
    code = {f"{CODE}{name}": source.hash for name, source in sources.items()}
    return {**code, **versions_of(tuple(sorted(imported & set(PACKAGES))))}


def _counts(file: Path) -> bool:
    return "__pycache__" not in file.parts and file.relative_to(HERE).as_posix() not in LEFT_OUT


@cache
def _source_of(file: Path) -> Source:
    content = file.read_bytes()
    return read_source(content) if file.suffix == ".py" else Source(hashlib.sha256(content).hexdigest()[:16], ())
