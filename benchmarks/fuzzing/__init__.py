"""What `benchmarks/fuzz.py` tries: mutants of experiments, damaged results, odd checkpoints and annotation files."""
