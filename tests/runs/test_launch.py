"""The launcher of an experiment: the one it names, with the number of workers of the command line."""

from __future__ import annotations

import pytest

from tests.small import load, small_registry
from workbench.errors import UserError
from workbench.runs.launch import make_launcher


def test_an_experiment_that_names_no_launcher_has_the_usual_one(tmp_path):
    found = make_launcher(load(tmp_path), small_registry(), workers=3)
    assert type(found) is small_registry().plugin("launcher", "local").factory
    assert vars(found)["workers"] == 3


def test_the_command_line_takes_the_place_of_the_files_number_of_workers_and_of_nothing_else(tmp_path):
    experiment = load(tmp_path, "launcher={name: local, workers: 2, threads: 5}")
    found = [vars(make_launcher(experiment, small_registry(), workers)) for workers in (None, 4)]
    assert [(each["workers"], each["threads"]) for each in found] == [(2, 5), (4, 5)]


def test_a_launcher_without_workers_takes_no_number_of_them(tmp_path):
    with pytest.raises(UserError, match="--workers does not fit: the launcher 'inside' has no option 'workers'"):
        make_launcher(load(tmp_path, "launcher=inside"), small_registry(), workers=2)
