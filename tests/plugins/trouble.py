"""Fusions that go wrong on purpose, each in its own way."""

from __future__ import annotations

import os
import time

import torch
from torch import nn

from workbench import DecoderShape, Fusion, VisionShape, hookimpl


class Raising(Fusion):
    """Raises while it trains."""

    def __init__(self, vision: VisionShape, decoder: DecoderShape):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def prepare(self, vision):
        raise ZeroDivisionError("this fusion is broken")


class Dying(Raising):
    """Ends its whole process."""

    def prepare(self, vision):
        os._exit(3)


class NoNumber(Raising):
    """Makes the loss NaN."""

    def fuse_block(self, index, hidden, vision, prompt):
        return hidden * torch.nan * self.weight, vision

    def prepare(self, vision):
        return vision


class Waiting(Raising):
    """Takes its time, so that a test can interrupt it."""

    def prepare(self, vision):
        time.sleep(60)
        return vision


@hookimpl
def register_fusions(register):
    register("raising", Raising)
    register("dying", Dying)
    register("no_number", NoNumber)
    register("waiting", Waiting)
