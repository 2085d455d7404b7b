"""From an experiment file to its trials: the grid, overrides, what may be set, and what is wrong in words."""
