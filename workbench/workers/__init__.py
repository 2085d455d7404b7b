"""A worker's life, on this machine or another: jobs come, news goes; how it is reached, how it ends, why it failed."""
