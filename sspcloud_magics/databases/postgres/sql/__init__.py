"""SQL that users write: the names in a database, completion, hints after an error, saved statements."""
