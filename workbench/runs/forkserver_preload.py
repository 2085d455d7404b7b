"""What every worker needs, loaded when this is imported: by a server that forks workers, once for all of them."""

import torch._dynamo  # noqa: F401 (the first optimizer of a process loads it, which takes a second)

import workbench.runs.stage_work  # noqa: F401
from workbench.code_hashes.package_code import EVALUATION, core_files
from workbench.code_hashes.sources import read_source
from workbench.registry import load_registry

for file in core_files(EVALUATION):  # every worker compares them with the keys of its stages
    if file.suffix == ".py":
        read_source(file.read_bytes())

# Not those of installed packages: they may start threads or a GPU, which no fork survives.
load_registry(installed=False)
