"""What runs: inventory, state of pods, targets, and the tables that show them."""
