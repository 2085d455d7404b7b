"""What is measured on a trained model, and the numbers that become of it."""
