"""From a statement to columns: parameters, description, rows in batches, types, frames."""
