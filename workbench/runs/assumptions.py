"""What is taken for granted about machines that are not here, for a plan that says what a study would cost there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.devices.data_sheets import DATA_SHEETS, DataSheet
from workbench.errors import UserError, did_you_mean

# Between what large decoders were trained at: GPT-3 0.213, MT-NLG 0.302, Gopher 0.325, PaLM 0.462.
USUAL_MFU = 0.3
USUAL_MFU_SOURCE = "between those of GPT-3, 0.213, and PaLM, 0.462: https://arxiv.org/abs/2204.02311, table 3"
USUAL_CHECKPOINT_BYTES = 2.0


@dataclass(frozen=True)
class Assumptions:
    """`device` as its maker describes it; `mfu`, the model FLOPs utilisation: the share of the peak that the FLOPs of
    the model come to; `gpus` that compute at once; `price` of a GPU for an hour; `bandwidth` in bytes a second, of all
    that is read and written; `checkpoint_bytes` of a weight in files of others. What is None is not known. `given` are
    the names of those that were asked for."""

    device: DataSheet
    mfu: float = USUAL_MFU
    gpus: int = 1
    price: float | None = None
    bandwidth: float | None = None
    checkpoint_bytes: float = USUAL_CHECKPOINT_BYTES
    given: frozenset[str] = frozenset()

    @property
    def automatic(self) -> str:
        """What `precision: auto` is there."""
        return "bf16" if "bf16" in self.device.peak else "fp32"

    def lines(self, precisions: Sequence[str]) -> list[str]:
        """Each in words, with where it comes from; of the peaks those in these precisions."""
        device = self.device
        peaks = [f"{device.peak[each] / 1e12:g} TFLOP/s dense in {each}" for each in precisions if each in device.peak]
        none = [
            f"no products in {each}, so what is asked in it is not known"
            for each in precisions
            if each not in device.peak
        ]
        usual = "" if "mfu" in self.given else f" ({USUAL_MFU_SOURCE}; give yours with --assume mfu=...)"
        price = "not given, so money is not known" if self.price is None else f"{self.price:g} a GPU hour"
        line = (
            "not given, so its time is not known" if self.bandwidth is None else f"{8 * self.bandwidth / 1e9:g} Gbit/s"
        )
        return [
            f"device: {device.title}, {device.memory / 1e9:g} GB; {'; '.join([*peaks, *none])} ({device.source})",
            f"model FLOPs utilisation (MFU): {self.mfu:g} of that peak, in every stage{usual}",
            f"GPUs: {self.gpus}, and a stage on n of them takes an n-th of its time",
            f"price: {price}",
            f"network: {line}",
            f"files of others hold {self.checkpoint_bytes:g} bytes a weight; the store keeps 4, as the workbench does",
        ]


def read_assumptions(written: Sequence[str]) -> Assumptions | None:
    """What stands behind each `--assume NAME=VALUE`; None where there is none. `UserError` says what can be written."""
    if not written:
        return None
    found: dict[str, Any] = {}
    for each in written:
        name, equals, value = (part.strip() for part in each.partition("="))
        if not equals or name not in READ:
            raise UserError(f"--assume {each}: write NAME=VALUE, of {', '.join(READ)}.{did_you_mean(name, READ)}")
        if name in found:
            raise UserError(f"--assume {each}: '{name}' is given twice")
        found[name] = READ[name](each, value)
    if "device" not in found:
        raise UserError(f"--assume: name a device too, as --assume device=h100; there are {', '.join(DATA_SHEETS)}")
    return Assumptions(**found, given=frozenset(found))


def _device(written: str, value: str) -> DataSheet:
    if value not in DATA_SHEETS:
        hint = did_you_mean(value, DATA_SHEETS)
        raise UserError(f"--assume {written}: no data sheet of that device.{hint} There are {', '.join(DATA_SHEETS)}")
    return DATA_SHEETS[value]


def _number(most: float = float("inf"), times: float = 1.0) -> Callable[[str, str], float]:
    def read(written: str, value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not 0 < number <= most or number == float("inf"):
            behind = f" and at most {most:g}" if most < float("inf") else ""
            raise UserError(f"--assume {written}: write a number above 0{behind}")
        return number * times

    return read


def _count(written: str, value: str) -> int:
    if not (value.isascii() and value.isdecimal() and int(value)):
        raise UserError(f"--assume {written}: write a whole number above 0")
    return int(value)


READ: dict[str, Callable[[str, str], Any]] = {
    "device": _device,
    "mfu": _number(1.0),
    "gpus": _count,
    "price": _number(),
    "bandwidth": _number(times=1e9 / 8),  # written in Gbit/s
    "checkpoint_bytes": _number(),
}
