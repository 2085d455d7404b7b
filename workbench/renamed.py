"""What plugins and experiment files of earlier versions call otherwise: whoever still does is told the new name.

Nothing here makes the old names work. Records, which nobody writes by hand, are read as before: `older_records.py`.
"""

from __future__ import annotations

from typing import Any

DATASET = {"picture": "image"}
"""Methods of datasets."""

PAGE = {"PictureFiles": "ImageFiles"}
"""What plugins import from `workbench`."""

MODULES = {"records": "workbench.storage.records", "study": "workbench.reports.results_data"}
"""What scripts import of `workbench`."""


class MovedModules:
    """Asked where no module was found: whether it is one that scripts knew by another name."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        """Never a module; `ImportError` for one that lies elsewhere now."""
        package, _, module = fullname.rpartition(".")
        if package == "workbench" and module in MODULES:
            raise ImportError(told(package, module, MODULES), name=fullname)


def told(owner: str, name: str, names: dict[str, str]) -> str:
    """That a name of `owner` is another one now."""
    return f"{owner}.{name} is called {names[name]} now"
