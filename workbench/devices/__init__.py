"""What computes: the device and its precision, what a processor can do, and how much of a machine there is."""
