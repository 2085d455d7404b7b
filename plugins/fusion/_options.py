"""Options that fusions with cross-attention have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

Heads = Annotated[PositiveInt, Field(description="attention heads of each cross-attention")]
Closed = Annotated[
    bool, Field(description="start with last layers of zeros, so that a pretrained decoder stays as it is")
]
Views = Annotated[
    PositiveInt, Field(description="images, or tiles, that are told apart by their order; 1: order makes no difference")
]
