"""PostgreSQL, one kind of database; another kind would be another folder like this.

The rest of the package uses these parts of a kind:

========  ==================================================================================
connect   `session.connection.open_connection`; the connection has a turn, a session, settings
query     `query.run` into a DataFrame; `transfer.chunks`, `transfer.export` in parts
list      `catalogue.tables`
describe  `catalogue.describe_table`
share     `sspcloud_magics.sharing`, by SQL on a superuser's connection
========  ==================================================================================

The modules next to this folder serve any kind: `discovery`, `credentials`, `route`, `session_lock` and `query_options`.
"""
