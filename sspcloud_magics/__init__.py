"""Tunnels from a notebook to the databases of SSPCloud, with query results as DataFrames.

In a notebook, ``%load_ext sspcloud_magics`` loads the magics. Each magic is a thin layer over a
function of the same name, which scripts can call:

>>> import sspcloud_magics as ssp
>>> with ssp.forward("svc/mon-api", "1500:80") as forward:  # doctest: +SKIP
...     print(forward.local_port)
1500

Importing this package is cheap: urllib3, psycopg and pandas are imported by the first call that needs them.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sspcloud_magics._version import __version__ as __version__

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from sspcloud_magics.session import apply as apply
    from sspcloud_magics.session import close as close
    from sspcloud_magics.session import connect_client as connect_client
    from sspcloud_magics.session import connect_db as connect_db
    from sspcloud_magics.session import connection as connection
    from sspcloud_magics.session import databases as databases
    from sspcloud_magics.session import delete as delete
    from sspcloud_magics.session import describe as describe
    from sspcloud_magics.session import describe_table as describe_table
    from sspcloud_magics.session import doctor as doctor
    from sspcloud_magics.session import duckdb as duckdb
    from sspcloud_magics.session import endpoint as endpoint
    from sspcloud_magics.session import engine as engine
    from sspcloud_magics.session import events as events
    from sspcloud_magics.session import follow_logs as follow_logs
    from sspcloud_magics.session import forget_client as forget_client
    from sspcloud_magics.session import forward as forward
    from sspcloud_magics.session import forward_through_relay as forward_through_relay
    from sspcloud_magics.session import forwards as forwards
    from sspcloud_magics.session import get as get
    from sspcloud_magics.session import get_yaml as get_yaml
    from sspcloud_magics.session import kubernetes as kubernetes
    from sspcloud_magics.session import language as language
    from sspcloud_magics.session import load_table as load_table
    from sspcloud_magics.session import login as login
    from sspcloud_magics.session import logs as logs
    from sspcloud_magics.session import pods as pods
    from sspcloud_magics.session import preview_share as preview_share
    from sspcloud_magics.session import query_db as query_db
    from sspcloud_magics.session import read_dask as read_dask
    from sspcloud_magics.session import services as services
    from sspcloud_magics.session import share as share
    from sspcloud_magics.session import share_db as share_db
    from sspcloud_magics.session import shareable_schemas as shareable_schemas
    from sspcloud_magics.session import shares as shares
    from sspcloud_magics.session import tables as tables
    from sspcloud_magics.session import transaction as transaction
    from sspcloud_magics.session import unforward as unforward
    from sspcloud_magics.session import unshare as unshare
    from sspcloud_magics.session import use_namespace as use_namespace
    from sspcloud_magics.session import whoami as whoami
    from sspcloud_magics.widgets import panel as panel

__all__ = [
    "apply",
    "close",
    "connect_client",
    "connect_db",
    "connection",
    "databases",
    "delete",
    "describe",
    "describe_table",
    "doctor",
    "duckdb",
    "endpoint",
    "engine",
    "events",
    "follow_logs",
    "forget_client",
    "forward",
    "forward_through_relay",
    "forwards",
    "get",
    "get_yaml",
    "kubernetes",
    "language",
    "load_table",
    "login",
    "logs",
    "panel",
    "pods",
    "preview_share",
    "query_db",
    "read_dask",
    "services",
    "share",
    "share_db",
    "shareable_schemas",
    "shares",
    "tables",
    "transaction",
    "unforward",
    "unshare",
    "use_namespace",
    "whoami",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        subpackage = "widgets" if name == "panel" else "session"
        return getattr(import_module(f"{__name__}.{subpackage}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Function:
    """An API function with the same name as a subpackage.

    Importing ``sspcloud_magics.forwards.manager`` makes the import system set ``forwards`` on this
    package. A data descriptor keeps the function under that name.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, module: ModuleType | None, owner: type) -> Any:
        return self if module is None else __getattr__(self._name)

    def __set__(self, module: ModuleType, value: object) -> None:
        """Ignore the subpackage that the import system sets."""


class _Package(ModuleType):
    databases = _Function()
    doctor = _Function()
    forwards = _Function()


sys.modules[__name__].__class__ = _Package


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Load the magics, for ``%load_ext sspcloud_magics``. Sends nothing to the network."""
    # By name, as in `__getattr__`: scripts do not import the magics, and no layer imports a higher one through here.
    import_module(f"{__name__}.magics").load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Unload the magics. Forwards and the connection stay open, for ``%reload_ext``."""
    import_module(f"{__name__}.magics").unload(shell)
