"""A fusion that changes what belongs to its whole process, as a script would that has one to itself."""

from __future__ import annotations

import gc
import locale
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable

import torch
from torch import nn

from workbench import DecoderShape, Fusion, VisionShape, hookimpl

HELD: list[torch.inference_mode] = []  # such a mode ends with its object


def _wake() -> None:
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()


def _patch() -> None:
    nn.functional.linear = lambda x, weight, bias=None: torch.matmul(x, weight.T)  # without its bias


def _infer() -> None:
    HELD.append(torch.inference_mode())
    HELD[0].__enter__()


def _hook() -> None:
    nn.modules.module.register_module_forward_hook(lambda module, inputs, output: None)


def _leave_alone():
    """Start a process that is nobody's child and in a session of its own, as a daemon does."""
    if child := os.fork():
        os.waitpid(child, 0)
        return
    os.setsid()
    if not os.fork():
        time.sleep(60)
    os._exit(0)


PUT_BACK: dict[str, Callable[[], object]] = {
    "folder": lambda: os.chdir("/"),
    "umask": lambda: os.umask(0o777),
    "signal": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "mask": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]),
    "timer": lambda: signal.setitimer(signal.ITIMER_VIRTUAL, 60),
    "stdout": lambda: setattr(sys, "stdout", None),
    "filters": lambda: warnings.simplefilter("error"),
    "locale": lambda: locale.setlocale(locale.LC_ALL, "C.UTF-8"),
    "recursion": lambda: sys.setrecursionlimit(500),
    "collector": lambda: gc.disable(),
    "limit": lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1])),
}
REPLACED: dict[str, Callable[[], object]] = {
    "environment": lambda: os.environ.update(OMP_NUM_THREADS="7"),
    "path": lambda: sys.path.insert(0, "/"),
    "dtype": lambda: torch.set_default_dtype(torch.float64),
    "device": lambda: torch.set_default_device("meta"),
    "threads": lambda: torch.set_num_threads(3),
    "gradients": lambda: torch.set_grad_enabled(False),
    "inference": _infer,
    "anomalies": lambda: torch.autograd.set_detect_anomaly(True),
    "deterministic": lambda: torch.use_deterministic_algorithms(True),
    "precision": lambda: torch.set_float32_matmul_precision("medium"),
    "tf32": lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True),
    "benchmark": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "onednn": lambda: setattr(torch.backends.mkldnn, "enabled", False),
    "denormals": lambda: torch.set_flush_denormal(True),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16).__enter__(),
    "attention": lambda: torch.backends.cuda.enable_flash_sdp(False),
    "patched": _patch,
    "hooked": _hook,
    "inherited": lambda: setattr(torch.optim.AdamW, "step", lambda self, closure=None: None),
    "called": lambda: setattr(nn.Linear, "__call__", lambda self, given: self.forward(given)),
    "thread": _wake,
    "orphan": _leave_alone,
    "process": lambda: subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]),
}
CHANGES = {**PUT_BACK, **REPLACED, "random": lambda: random.seed(0)}


class Changing(Fusion):
    """Changes something in its first step, and never puts it back."""

    def __init__(self, vision: VisionShape, decoder: DecoderShape, *, what: str):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.what = what

    def prepare(self, vision, mask):
        CHANGES[self.what]()
        return vision


@hookimpl
def register_fusions(register):
    register("changing", Changing)
