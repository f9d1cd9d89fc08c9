"""A session with a server: its login, settings, transactions, pooler and errors."""
