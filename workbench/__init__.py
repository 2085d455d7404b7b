"""A research workbench for vision-language models.

This is the *page* of plugin authors: what a plugin imports, and nothing else::

    from workbench import Fusion, hookimpl

Its names are listed in `__init__.pyi`. They are loaded on first use, so that ``import workbench`` (and with it
``workbench --help``) does not import torch.
"""

import sys
from pathlib import Path

import lazy_loader

from workbench.renamed import PAGE, MovedModules, told

__version__ = "0.1.0"

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

# In a checkout that is not installed, the built-in plugins lie beside this folder as `plugins/`;
# installed, setuptools puts the same folder at `workbench/plugins`.
if not (Path(__file__).parent / "plugins").is_dir():
    __path__.append(str(Path(__file__).parent.parent))

if not any(isinstance(each, MovedModules) for each in sys.meta_path):
    sys.meta_path.append(MovedModules())


def __getattr__(name: str):
    if name in PAGE:  # `from workbench import` passes no text of an AttributeError on
        raise ImportError(told("workbench", name, PAGE), name=__name__)
    if name not in __all__:
        raise AttributeError(f"module 'workbench' has no attribute '{name}'")
    return _load(name)
