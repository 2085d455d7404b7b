"""Launchers whose engine is an extra: named in words where it is missing, and loaded by nobody else."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from tests.tiny import builtin_registry
from workbench.errors import UserError


@pytest.mark.parametrize(("name", "package"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_engine_is_told_with_its_extra(name, package, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda each: None if each == package else find(each))
    with pytest.raises(UserError, match=f"'{name}' needs that package: pip install 'workbench.{name}.'"):
        builtin_registry().create("launcher", name)


def test_no_engine_is_loaded_with_the_plugins():
    look = (
        "import sys; from workbench.registry import load_registry; load_registry(installed=False); print(*sys.modules)"
    )
    loaded = set(subprocess.check_output([sys.executable, "-c", look], text=True).split())
    assert {"ray", "submitit", "fsspec"} & loaded == set()
