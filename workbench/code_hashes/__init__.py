"""What code is made of, as hashes that tell when it changed: that of a plugin, and that of the workbench itself."""
