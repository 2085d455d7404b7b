"""From trials to records: stages and their keys, what is missing, in which order it is done, and by which worker."""
