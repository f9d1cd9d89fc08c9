"""Sessions with a server: login, settings, transactions, poolers and errors."""
