"""How sure a number is: intervals over images and seeds, comparisons and verdicts, power. Numbers in, numbers out."""
