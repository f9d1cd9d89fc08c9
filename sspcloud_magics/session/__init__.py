"""The session of this process, and the Python API that works on it.

A notebook's kernel, or a script, has one *session*: the current cluster, the manager of its forwards, and the current
database connection. The functions here are the package's API (``import sspcloud_magics as ssp``), and the magics are
thin wrappers around them. The session finds what it needs at first use: where a configuration exists, you need not log
in, and modules are imported only when needed.

A failed call changes nothing: open forwards and connections, and the current identity, stay.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sspcloud_magics.session.authentication import login as login
    from sspcloud_magics.session.authentication import whoami as whoami
    from sspcloud_magics.session.clients import connect_client as connect_client
    from sspcloud_magics.session.clients import forget_client as forget_client
    from sspcloud_magics.session.dask_frames import read_dask as read_dask
    from sspcloud_magics.session.database_list import databases as databases
    from sspcloud_magics.session.database_list import reachable_databases as reachable_databases
    from sspcloud_magics.session.diagnosis import doctor as doctor
    from sspcloud_magics.session.display_language import language as language
    from sspcloud_magics.session.endpoints import endpoint as endpoint
    from sspcloud_magics.session.forwarding import forward as forward
    from sspcloud_magics.session.forwarding import forward_through_relay as forward_through_relay
    from sspcloud_magics.session.forwarding import restart_forward as restart_forward
    from sspcloud_magics.session.forwarding import unforward as unforward
    from sspcloud_magics.session.lake import duckdb as duckdb
    from sspcloud_magics.session.listing import forwards as forwards
    from sspcloud_magics.session.listing import pods as pods
    from sspcloud_magics.session.listing import services as services
    from sspcloud_magics.session.manifests import ApplyResult as ApplyResult
    from sspcloud_magics.session.manifests import apply as apply
    from sspcloud_magics.session.namespace import renew as renew
    from sspcloud_magics.session.namespace import use_namespace as use_namespace
    from sspcloud_magics.session.objects import DeleteResult as DeleteResult
    from sspcloud_magics.session.objects import delete as delete
    from sspcloud_magics.session.objects import describe as describe
    from sspcloud_magics.session.objects import events as events
    from sspcloud_magics.session.objects import get as get
    from sspcloud_magics.session.objects import get_yaml as get_yaml
    from sspcloud_magics.session.objects import kubernetes as kubernetes
    from sspcloud_magics.session.pod_logs import find_log as find_log
    from sspcloud_magics.session.pod_logs import follow_logs as follow_logs
    from sspcloud_magics.session.pod_logs import logs as logs
    from sspcloud_magics.session.querying import connect_db as connect_db
    from sspcloud_magics.session.querying import connection as connection
    from sspcloud_magics.session.querying import current_connection as current_connection
    from sspcloud_magics.session.querying import describe_table as describe_table
    from sspcloud_magics.session.querying import engine as engine
    from sspcloud_magics.session.querying import load_table as load_table
    from sspcloud_magics.session.querying import open_side_session as open_side_session
    from sspcloud_magics.session.querying import query_db as query_db
    from sspcloud_magics.session.querying import tables as tables
    from sspcloud_magics.session.recent_namespaces import colleagues_namespaces as colleagues_namespaces
    from sspcloud_magics.session.session import ClusterChoice as ClusterChoice
    from sspcloud_magics.session.session import QueryDefaults as QueryDefaults
    from sspcloud_magics.session.session import Use as Use
    from sspcloud_magics.session.session import close as close
    from sspcloud_magics.session.session import configure as configure
    from sspcloud_magics.session.session import configure_log as configure_log
    from sspcloud_magics.session.session import configure_queries as configure_queries
    from sspcloud_magics.session.session import configure_relay as configure_relay
    from sspcloud_magics.session.session import current_cluster as current_cluster
    from sspcloud_magics.session.session import leave as leave
    from sspcloud_magics.session.session import open_connections as open_connections
    from sspcloud_magics.session.session import open_forwards as open_forwards
    from sspcloud_magics.session.session import recent_use as recent_use
    from sspcloud_magics.session.session import watch_forwards as watch_forwards
    from sspcloud_magics.session.sharing import preview_share as preview_share
    from sspcloud_magics.session.sharing import share as share
    from sspcloud_magics.session.sharing import share_db as share_db
    from sspcloud_magics.session.sharing import shareable_schemas as shareable_schemas
    from sspcloud_magics.session.sharing import shares as shares
    from sspcloud_magics.session.sharing import unshare as unshare
    from sspcloud_magics.session.transactions import begin as begin
    from sspcloud_magics.session.transactions import commit as commit
    from sspcloud_magics.session.transactions import need_transaction as need_transaction
    from sspcloud_magics.session.transactions import rollback as rollback
    from sspcloud_magics.session.transactions import transaction as transaction

_NAMES = {
    "authentication": ("login", "whoami"),
    "dask_frames": ("read_dask",),
    "database_list": ("databases", "reachable_databases"),
    "diagnosis": ("doctor",),
    "clients": ("connect_client", "forget_client"),
    "endpoints": ("endpoint",),
    "forwarding": ("forward", "forward_through_relay", "restart_forward", "unforward"),
    "lake": ("duckdb",),
    "listing": ("forwards", "pods", "services"),
    "pod_logs": ("find_log", "follow_logs", "logs"),
    "manifests": ("ApplyResult", "apply"),
    "objects": ("DeleteResult", "delete", "describe", "events", "get", "get_yaml", "kubernetes"),
    "recent_namespaces": ("colleagues_namespaces",),
    "querying": (
        "open_side_session",
        "connect_db",
        "connection",
        "current_connection",
        "describe_table",
        "engine",
        "load_table",
        "query_db",
        "tables",
    ),
    "sharing": ("preview_share", "share", "share_db", "shareable_schemas", "shares", "unshare"),
    "session": (
        "ClusterChoice",
        "QueryDefaults",
        "Use",
        "close",
        "configure",
        "configure_log",
        "configure_queries",
        "configure_relay",
        "current_cluster",
        "leave",
        "open_connections",
        "open_forwards",
        "recent_use",
        "watch_forwards",
    ),
    "display_language": ("language",),
    "namespace": ("renew", "use_namespace"),
    "transactions": ("begin", "commit", "need_transaction", "rollback", "transaction"),
}
"""The names of each module, which is imported at their first use: loading the magics does not load pandas (PEP 562)."""

_MODULES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
