"""Names of a plugin that look as if somebody meant the workbench to read them, which it does not.

What a contract has a default for may be left out: where it is misspelt, nothing fails, and the default is taken. So
names close to one of the contract are told. They are no errors: a class may have what it likes.
"""

from __future__ import annotations

import difflib

from rich.console import Console

from workbench.contracts.adapter import Adapter
from workbench.contracts.connector import Connector
from workbench.contracts.dataset import Dataset
from workbench.contracts.encoder import Encoder
from workbench.contracts.fusion import Fusion
from workbench.contracts.language_model import LanguageModel
from workbench.contracts.launcher import Launcher
from workbench.contracts.metric import Metric
from workbench.contracts.quantizer import Quantizer
from workbench.contracts.tracker import Tracker
from workbench.registry import Plugin

CONTRACTS: dict[str, type] = {
    each.kind: each
    for each in (
        *(Encoder, Connector, Fusion, LanguageModel, Adapter),
        *(Quantizer, Dataset, Metric, Launcher, Tracker),
    )
}
OF_CLASSES = ("packages", "files", "usual")  # asked before anything is built
CLOSE = 0.85  # `fuse_imputs` is, to `fuse_inputs`


def show_unread(console: Console, plugin: Plugin) -> None:
    """Tell of such names, a line each."""
    for told in unread_names(plugin):
        console.print(f"note: {told} ({plugin.source})", style="yellow", markup=False, highlight=False, soft_wrap=True)


def unread_names(plugin: Plugin) -> list[str]:
    """What is told of such names, a sentence each."""
    contract = CONTRACTS[plugin.kind]
    declared = plugin.declared(contract)
    if declared is contract:
        ignored = [name for name in OF_CLASSES if hasattr(contract, name) and hasattr(plugin.factory, name)]
        return [
            f"`{name}` of the {plugin.kind} '{plugin.name}' is not read: it is asked of a class derived from"
            f" `{contract.__name__}`, and '{plugin.name}' is registered with something else"
            for name in ignored
        ]
    classes = [each for each in declared.__mro__ if not issubclass(contract, each)]
    own = {name for each in classes for name in vars(each) if not name.startswith("_")}
    return [
        f"`{name}` of the {plugin.kind} '{plugin.name}' is no name of its contract. Did you mean `{meant}`?"
        for name in sorted(own)
        for meant in _meant(name, own, contract)
    ]


def _meant(name: str, own: set[str], contract: type) -> list[str]:
    """The name of the contract that this one is close to, unless the class has that as well."""
    if hasattr(contract, name):
        return []
    classes = [each for each in contract.__mro__ if each.__module__.startswith("workbench.")]
    known = {known for each in classes for known in (*vars(each), *each.__annotations__) if not known.startswith("_")}
    return difflib.get_close_matches(name, known - own - {"kind"}, n=1, cutoff=CLOSE)
