"""What the workbench asks of a plugin's class before anything is built: what its numbers depend on besides its code.

`packages` and `files` are read from the class that is registered. A factory that is a function has neither, and the
defaults here count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar


class Ingredient:
    """A plugin on which numbers depend: a part of a model, an adapter, a quantizer, a dataset, a metric."""

    packages: ClassVar[Sequence[str]] = ()
    """Installed packages that it needs and does not import itself, as `("transformers",)`. The keys of stages hold
    their versions, beside those of the packages that its code imports."""


class Pretrainable(Ingredient):
    """A plugin that may begin with what files hold. What a dataset reads is known by its `fingerprint` instead."""

    @classmethod
    def files(cls, options: Mapping[str, Any]) -> Sequence[Path]:
        """The files that give it all its starting weights; none when the seed gives any.

        The keys of stages hold their hashes, so that a changed file is noticed; seeds share the features of an encoder
        that has some; `workbench export` copies them.
        """
        return ()
