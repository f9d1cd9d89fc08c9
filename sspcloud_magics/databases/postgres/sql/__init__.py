"""Assistance with the user's SQL: the names in a database, completion, hints after an error, saved statements."""
