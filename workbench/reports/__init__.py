"""From records alone to an answer: what was found in words, tables, plots and one page."""
