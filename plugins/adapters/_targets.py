"""Which layers adapters change unless told otherwise."""

from __future__ import annotations

# Wildcards over names: the attention of the language model, native or of transformers.
ATTENTION = ("language_model.*attention.*", "language_model.*attn.*")
