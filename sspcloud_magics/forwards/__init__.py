"""Forwards as the kernel sees them, and the one thread that looks after them."""
