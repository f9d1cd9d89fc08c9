"""From a notebook, a tunnel to a colleague's Postgres on SSPCloud, and a DataFrame in the next cell.

In a notebook, ``%load_ext sspcloud_magics`` brings the magics. Each of them is a thin skin over a
function of the same name, for scripts:

>>> import sspcloud_magics as ssp
>>> with ssp.forward("svc/mon-api", "1500:80") as forward:  # doctest: +SKIP
...     print(forward.local_port)
1500

Importing this package is cheap: a function brings what it needs (urllib3, psycopg, pandas)
when it is first called.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sspcloud_magics._version import __version__ as __version__

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from sspcloud_magics.session import close as close
    from sspcloud_magics.session import connect_db as connect_db
    from sspcloud_magics.session import connection as connection
    from sspcloud_magics.session import databases as databases
    from sspcloud_magics.session import describe_table as describe_table
    from sspcloud_magics.session import doctor as doctor
    from sspcloud_magics.session import engine as engine
    from sspcloud_magics.session import forward as forward
    from sspcloud_magics.session import forward_through_relay as forward_through_relay
    from sspcloud_magics.session import forwards as forwards
    from sspcloud_magics.session import load_table as load_table
    from sspcloud_magics.session import login as login
    from sspcloud_magics.session import pods as pods
    from sspcloud_magics.session import preview_share as preview_share
    from sspcloud_magics.session import query_db as query_db
    from sspcloud_magics.session import services as services
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
    "close",
    "connect_db",
    "connection",
    "databases",
    "describe_table",
    "doctor",
    "engine",
    "forward",
    "forward_through_relay",
    "forwards",
    "load_table",
    "login",
    "panel",
    "pods",
    "preview_share",
    "query_db",
    "services",
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
        room = "widgets" if name == "panel" else "session"
        return getattr(import_module(f"{__name__}.{room}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Function:
    """A function of the API that has the name of a subpackage.

    Importing ``sspcloud_magics.forwards.manager`` makes the import system set ``forwards`` on this
    package. A data descriptor lets the function keep its name all the same.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, module: ModuleType | None, owner: type) -> Any:
        return self if module is None else __getattr__(self._name)

    def __set__(self, module: ModuleType, value: object) -> None:
        """Ignore what the import system sets."""


class _Package(ModuleType):
    databases = _Function()
    doctor = _Function()
    forwards = _Function()


sys.modules[__name__].__class__ = _Package


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Bring the magics into a notebook: ``%load_ext sspcloud_magics``. Touches no network."""
    # By name, as in `__getattr__`: a script pays for no magics, and no layer imports a higher one through here.
    import_module(f"{__name__}.magics").load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take the magics away again. Forwards and the connection stay: `%reload_ext` finds them."""
    import_module(f"{__name__}.magics").unload(shell)
