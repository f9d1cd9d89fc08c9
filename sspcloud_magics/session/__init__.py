"""What this process is connected to, and the Python API that works on it.

A notebook's kernel, or a script, has one *session*: the cluster of the moment, the manager of its
forwards, and the database connection of the moment. The functions here are the package's API
(``import sspcloud_magics as ssp``); the magics are skins over them. What is needed is found at first use:
nobody has to log in where a configuration is there, and nothing is imported before it is needed.

A failed call changes nothing: whatever was open, and whoever one was, stays.
"""

from sspcloud_magics.session.examining import doctor
from sspcloud_magics.session.forwarding import (
    forward,
    forward_through_relay,
    forwards,
    restart_forward,
    unforward,
)
from sspcloud_magics.session.looking import databases, pods, reachable_databases, services, whoami
from sspcloud_magics.session.querying import (
    beside,
    connect_db,
    connection,
    current_connection,
    describe_table,
    engine,
    load_table,
    query_db,
    tables,
)
from sspcloud_magics.session.sharing import preview_share, share_db, shareable_schemas, shares, unshare
from sspcloud_magics.session.state import (
    Choice,
    QueryDefaults,
    Use,
    close,
    colleagues_namespaces,
    configure,
    configure_log,
    configure_queries,
    configure_relay,
    current_cluster,
    leave,
    login,
    open_connections,
    open_forwards,
    recent_use,
    watch_forwards,
)
from sspcloud_magics.session.switching import renew, use_namespace
from sspcloud_magics.session.transactions import begin, commit, need_transaction, rollback, transaction

__all__ = [
    "Choice",
    "QueryDefaults",
    "Use",
    "begin",
    "beside",
    "close",
    "colleagues_namespaces",
    "commit",
    "configure",
    "configure_log",
    "configure_queries",
    "configure_relay",
    "connect_db",
    "connection",
    "current_cluster",
    "current_connection",
    "databases",
    "describe_table",
    "doctor",
    "engine",
    "forward",
    "forward_through_relay",
    "forwards",
    "leave",
    "load_table",
    "login",
    "need_transaction",
    "open_connections",
    "open_forwards",
    "pods",
    "preview_share",
    "query_db",
    "reachable_databases",
    "recent_use",
    "renew",
    "restart_forward",
    "rollback",
    "services",
    "share_db",
    "shareable_schemas",
    "shares",
    "tables",
    "transaction",
    "unforward",
    "unshare",
    "use_namespace",
    "watch_forwards",
    "whoami",
]
