"""What lies on disk: files written whole or not at all, what stages leave, records of trials, and the hashes that tell
things apart."""
