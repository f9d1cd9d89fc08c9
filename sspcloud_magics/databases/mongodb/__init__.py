"""MongoDB, one kind of database, through PyMongo.

`kind` implements the interface of `sspcloud_magics.databases.kinds`. The extra ``mongodb`` installs PyMongo.
No server of the chart's versions runs in the tests, so this folder is thin: PyMongo does what it can do.
"""
