"""The measures and the goals of queries."""
