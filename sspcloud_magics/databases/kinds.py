"""The kinds of databases that queries run on, each in its own folder behind one interface.

=================  ======================================================================
`open_connection`  connect by a route
`run`              run a query into a DataFrame, a file, chunks, Arrow or polars
`tables`           list the tables
`describe_table`   describe one table; `columns` reads no rows
`load_table`       write a DataFrame into a table
`native`           the session as the library's own object
`engine`           the session as a SQLAlchemy engine
=================  ======================================================================

A kind is imported at its first use, since it needs its library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from sspcloud_magics.databases.arrow import import_optional
from sspcloud_magics.databases.query_options import Mode, Output, Progress, QueryOptions
from sspcloud_magics.i18n import _

if TYPE_CHECKING:
    import pandas as pd

    from sspcloud_magics.cluster.cluster import Cluster
    from sspcloud_magics.databases.connection import Connection
    from sspcloud_magics.databases.credentials import DatabaseCredentials
    from sspcloud_magics.databases.discovery import Database
    from sspcloud_magics.databases.query_result import Columns
    from sspcloud_magics.databases.route import Route
    from sspcloud_magics.databases.sql_names import Dialect
    from sspcloud_magics.forwards.manager import ForwardManager


class Kind(Protocol):
    """The interface of a kind of database; its modules ``kind`` implement it."""

    def open_connection(
        self,
        cluster: Cluster,
        manager: ForwardManager,
        database: Database,
        used: DatabaseCredentials,
        *,
        dbname: str | None = None,
        timeout: float = 30.0,
        route: Route | None = None,
    ) -> Connection:
        """Connect to a database by a route."""

    def run(
        self,
        connection: Any,
        sql: Any,
        params: Mapping[str, Any] | None,
        options: QueryOptions,
        output: Output,
    ) -> Any:
        """Run a query, and return the result in the form that `output` names."""

    @property
    def dialect(self) -> Dialect | None:
        """The kind's SQL; None if it has none."""

    @property
    def explains_in_text(self) -> bool:
        """Whether a plan is one column of text."""

    def explain(self, sql: str) -> str:
        """Return the query that shows the plan of a query."""

    def tables(self, connection: Any, pattern: str | None) -> pd.DataFrame:
        """List the tables that you may read."""

    def describe_table(self, connection: Any, name: str) -> Any:
        """Describe one table."""

    def columns(self, connection: Any, schema: str, name: str) -> Columns:
        """Return the columns of a table without reading its rows."""

    def load_table(
        self,
        connection: Any,
        frame: pd.DataFrame,
        name: str,
        mode: Mode = "new",
        *,
        progress: Progress | None = None,
    ) -> int:
        """Write a DataFrame into a table, and return the number of its rows."""

    def native(self, connection: Any) -> Any:
        """Return the session as the library's own object."""

    def engine(self, connection: Any) -> Any:
        """Return the session as a SQLAlchemy engine."""


@dataclass(frozen=True, slots=True)
class Probe:
    """The first bytes of a protocol, by which a server shows that it is of its kind."""

    name: str  # the name of the kind for people
    request: bytes  # the bytes to send; empty if the server speaks first
    # Whether the first bytes of the answer are those of a server of this kind.
    answers: Callable[[bytes], bool]


# PostgreSQL's manual, "Message Formats": the server answers an SSLRequest with one byte, S or N.
_SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"

# MariaDB speaks first: a packet whose content begins with the version of the protocol, or an error.
_GREETINGS = (b"\x0a", b"\xff")

# MongoDB's "Wire Protocol": OP_MSG {isMaster: 1, $db: "admin"}, which needs no login and has an OP_MSG as its reply.
_OP_MSG = b"\xdd\x07\x00\x00"
_DOCUMENT = b"\x10isMaster\x00\x01\x00\x00\x00\x02$db\x00\x06\x00\x00\x00admin\x00\x00"
_BODY = b"\x00\x00\x00\x00\x00" + (len(_DOCUMENT) + 4).to_bytes(4, "little") + _DOCUMENT
_IS_MASTER = (len(_BODY) + 16).to_bytes(4, "little") + b"\x01\x00\x00\x00\x00\x00\x00\x00" + _OP_MSG + _BODY

PROBES = {
    "postgres": Probe("PostgreSQL", _SSL_REQUEST, lambda answer: answer[:1] in (b"S", b"N")),
    "mariadb": Probe("MariaDB", b"", lambda answer: answer[4:5] in _GREETINGS),
    "mongodb": Probe("MongoDB", _IS_MASTER, lambda answer: answer[12:16] == _OP_MSG),
}
"""The probe of each kind that queries run on."""


def get(kind: str) -> Kind:
    """Return the implementation of a kind in `PROBES`.

    Raises
    ------
    UsageProblem
        If the library of that kind is not installed.
    """
    if kind == "mongodb":
        import_optional("pymongo", "mongodb", _("A connection to MongoDB"))
        from sspcloud_magics.databases.mongodb import kind as mongodb  # noqa: PLC0415 - at first use

        return mongodb
    if kind == "mariadb":
        import_optional("pymysql", "mariadb", _("A connection to MariaDB"))
        from sspcloud_magics.databases.mariadb import kind as mariadb  # noqa: PLC0415 - at first use

        return mariadb
    from sspcloud_magics.databases.postgres import kind as postgres  # noqa: PLC0415 - at first use

    return postgres
