"""What every worker needs, loaded when this is imported: by a server that forks workers, once for all of them."""

from pathlib import Path

import torch._dynamo  # noqa: F401 (the first optimizer of a process loads it, which takes a second)

import workbench.work  # noqa: F401
from workbench.keys import EVALUATION_CODE
from workbench.registry import load_registry
from workbench.sources import read_source

for module in EVALUATION_CODE:  # every worker compares them with the keys of its stages
    read_source((Path(__file__).parent / f"{module}.py").read_bytes())

# Not those of installed packages: they may start threads or a GPU, which no fork survives.
load_registry(installed=False)
