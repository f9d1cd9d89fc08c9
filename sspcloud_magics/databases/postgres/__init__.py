"""PostgreSQL, one kind of database.

`kind` implements the interface of `sspcloud_magics.databases.kinds`. Sharing is in `sspcloud_magics.sharing`, by SQL on a
superuser's connection.
"""
