"""The command line: its commands, what they show, and the plugins that `workbench new` writes."""
