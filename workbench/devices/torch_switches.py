"""What of torch is set for a whole process and changes numbers: whoever sets it does so for all that runs there later.

Found are the switches that torch has, and functions of torch, numpy, `random` and `math` that were put in the place of
others. What somebody changed in any other library cannot be found.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

PATCHABLE = ("torch", "torch.nn", "torch.nn.init", "torch.nn.functional", "torch.optim", "numpy", "random", "math")


def torch_switches() -> dict[str, Any]:
    """Every switch by the name that a reader of torch's documentation knows it by; nothing when torch is not loaded."""
    torch = sys.modules.get("torch")
    return {} if torch is None else {**_states(torch), **_flags(), **_functions()}


def changed_switches(before: dict[str, Any]) -> list[str]:
    """The names of those that are another one than they were; what was loaded since is none, but a method that a class
    had from another one and now has of its own is."""
    now = torch_switches()
    changed = {name for name, value in before.items() if not _same(now.get(name), value)}
    return sorted(changed | {name for name in now.keys() - before.keys() if _hides_another(name, now[name], before)})


def _same(one: Any, other: Any) -> bool:
    return _plain(one) is _plain(other) or (type(one) is type(other) and not callable(one) and one == other)


def _hides_another(name: str, method: Any, before: dict[str, Any]) -> bool:
    """Whether a method is new in a class that there was, and stands before one that the class inherits."""
    whose, _, own = name.rpartition(".")
    owner = before.get(whose)
    above = owner.__mro__[1:] if isinstance(owner, type) else ()
    hidden = next((vars(each)[own] for each in above if own in vars(each)), None)
    return hidden is not None and _plain(hidden) is not _plain(method)


def _plain(value: Any) -> Any:
    """Of what torch itself wraps the function within: a step when the first optimizer of its class is made, and what
    is never compiled, as `torch.manual_seed`, when the compiler is loaded."""
    value = getattr(value, "_torchdynamo_orig_callable", value) if inspect.isfunction(value) else value
    return vars(value)["__wrapped__"] if callable(value) and "hooked" in getattr(value, "__dict__", ()) else value


def _states(torch: Any) -> dict[str, Any]:
    """What has a function of its own that asks for it."""
    overrides, dispatch = torch.overrides, torch.utils._python_dispatch
    module, cuda = torch.nn.modules.module, torch.backends.cuda
    return {
        "default dtype": torch.get_default_dtype(),
        "default device": str(torch.get_default_device()),
        "threads": torch.get_num_threads(),
        "interop threads": torch.get_num_interop_threads(),
        "grad mode": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "anomaly mode": (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        "deterministic algorithms": torch.get_deterministic_debug_mode(),
        "float32 matmul precision": torch.get_float32_matmul_precision(),
        "flush denormal": _flushes(torch),
        "autocast": [(torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda")],
        "autocast cache": torch.is_autocast_cache_enabled(),
        "function modes": len(overrides._get_current_function_mode_stack()),
        "dispatch modes": len(dispatch._get_current_dispatch_mode_stack()),
        "attention fast path": torch.backends.mha.get_fastpath_enabled(),
        "attention kernels": [
            getattr(cuda, f"{kind}_sdp_enabled")() for kind in ("flash", "mem_efficient", "math", "cudnn")
        ],
        "attention in reduced precision": cuda.fp16_bf16_reduction_math_sdp_allowed(),
        "hooks of all modules": [str(each) for name, each in vars(module).items() if name.startswith("_global_")],
    }  # fmt: skip


def _flags() -> dict[str, Any]:
    """The flags of `torch.backends` and its like: attributes of modules that pass them on to torch's own."""
    found: dict[str, Any] = {}
    for name, module in sorted(sys.modules.items()):
        if name.startswith("torch.backends") or name == "torch.utils.deterministic":
            for flag, value in _flags_of(module):
                found[f"{name}.{flag}"] = value
    return {**found, **_multiplications()}


def _flags_of(module: ModuleType) -> Iterator[tuple[str, Any]]:
    for flag, kept in vars(type(module)).items():
        if hasattr(type(kept), "__set__") and not flag.startswith("__"):
            yield from _read(flag, lambda flag=flag: getattr(module, flag))
    for flag in ("enabled", "strategy"):  # of opt_einsum: plain attributes
        if isinstance(vars(module).get(flag), (bool, str)):
            yield flag, vars(module)[flag]


def _multiplications() -> dict[str, Any]:
    import torch

    found: dict[str, Any] = {}
    for kind in ("cuda", "mkldnn", "cudnn"):
        backend = getattr(torch.backends, kind)
        for part in ("matmul", "conv", "rnn"):
            flags = getattr(backend, part, None)
            for flag in (
                "allow_tf32", "fp32_precision", "allow_fp16_reduced_precision_reduction",
                "allow_bf16_reduced_precision_reduction", "allow_fp16_accumulation",
            ):  # fmt: skip
                named = f"torch.backends.{kind}.{part}.{flag}"
                found |= dict(_read(named, lambda flags=flags, flag=flag: getattr(flags, flag)))
    return found


def _read(name: str, ask: Callable[[], Any]) -> Iterator[tuple[str, Any]]:
    """A flag, unless this build of torch has none of that name."""
    try:
        yield name, ask()
    except (AttributeError, RuntimeError, AssertionError):
        return


def _functions() -> dict[str, Any]:
    """The functions of the libraries that compute, and the methods of torch's tensors and modules."""
    found: dict[str, Any] = {}
    for name in PATCHABLE:
        module = sys.modules.get(name)
        for own, value in list(vars(module).items()) if module else ():
            if callable(value):
                found[f"{name}.{own}"] = value
            if isinstance(value, type) and name in ("torch", "torch.nn", "torch.optim"):
                found |= {f"{name}.{own}.{method}": each for method, each in vars(value).items() if callable(each)}
    return found


def _flushes(torch: Any) -> bool:
    """Whether numbers next to zero become zero; torch has no function that says so."""
    smallest = torch.tensor([1e-45], dtype=torch.float32, device="cpu")
    return bool((smallest * 1.0 == 0.0).item())
