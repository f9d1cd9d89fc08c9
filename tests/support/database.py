"""The database of the sandbox that tests connect to and share."""

DATABASE = "postgresql-cnpg-951239"
DATABASE_PATH = f"user-alice/{DATABASE}"
