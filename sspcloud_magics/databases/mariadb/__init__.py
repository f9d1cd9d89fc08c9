"""MariaDB, one kind of database, through PyMySQL.

`kind` implements the interface of `sspcloud_magics.databases.kinds`. The extra ``mariadb`` installs PyMySQL.
"""
