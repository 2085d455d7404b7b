"""From records alone to an answer: statistics, tables, plots and one page."""
