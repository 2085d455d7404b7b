"""What every worker needs, loaded when this is imported: by a server that forks workers, once for all of them."""

import torch._dynamo  # noqa: F401 (the first optimizer of a process loads it, which takes a second)

import workbench.work  # noqa: F401
from workbench.registry import load_registry

# Not those of installed packages: they may start threads or a GPU, which no fork survives.
load_registry(installed=False)
