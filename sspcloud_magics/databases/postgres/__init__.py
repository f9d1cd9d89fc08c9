"""PostgreSQL, one kind of database; another one is another folder like this.

What the rest of the package asks of a kind:

========  ==================================================================================
connect   `session.connection.open_connection`; the connection has a turn, a session, settings
query     `query.run` into a DataFrame; `transfer.chunks`, `transfer.export` in parts
list      `catalogue.tables`
describe  `catalogue.describe_table`
share     `sspcloud_magics.sharing`, by SQL on a superuser's connection
========  ==================================================================================

What is any database's stands next to this folder: where it is (`discovery`), how to log in (`credentials`), the route, the turns of
threads, the options of a query.
"""
