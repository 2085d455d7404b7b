"""The model of a trial: put together from its parts, brought back from what a stage left, run, and made to answer."""
