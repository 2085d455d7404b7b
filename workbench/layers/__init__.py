"""Building blocks that plugins share: attention, cross-attention, MLP, normalisation, rotary positions, KV cache.

Letters in shapes: R rows, S sequence, K keys, M image tokens, D width, H heads, E width of a head.
"""
