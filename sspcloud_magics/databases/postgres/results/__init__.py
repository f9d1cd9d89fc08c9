"""Execution of a statement: its parameters, its description, its rows in batches, their types, and DataFrames."""
