"""Commands for databases: connect, and list tables and columns."""

from __future__ import annotations

from typing import Any

from sspcloud_magics import session
from sspcloud_magics.widgets.command_args import Command, text
from sspcloud_magics.widgets.protocol import Columns, Tables
from sspcloud_magics.widgets.snapshots import cut

MOST_TABLES = 200
MOST_COLUMNS = 200


def connect(command: Command) -> None:
    """Connect to a database, and make it the current connection."""
    session.connect_db(text(command, "database"))


def disconnect(command: Command) -> None:
    """Close the connections to a database."""
    wanted = text(command, "database")
    for each in session.open_connections():
        if each.database.path == wanted:
            each.close()


def list_tables(command: Command) -> Tables:
    """Return the tables of a database, connecting to it if necessary."""
    from sspcloud_magics.databases import kinds  # noqa: PLC0415 - at first use

    with session.open_side_session(text(command, "database")) as connection:
        found = kinds.get(connection.database.kind).tables(connection, None)
    return {
        "tables": [
            (
                str(row.schema),
                str(row.name),
                str(row.kind),
                _number(row.rows_about),
                _number(row.bytes),
                _text(row.comment),
                "" if row.owner == connection.user else str(row.owner),
            )
            for row in found.head(MOST_TABLES).itertuples()
        ],
        "all": len(found),
    }


def describe_table(command: Command) -> Columns:
    """Return the columns of a table, and a SELECT statement with them."""
    from sspcloud_magics.databases import kinds  # noqa: PLC0415 - at first use

    with session.open_side_session(text(command, "database")) as connection:
        kind = kinds.get(connection.database.kind)
        found = kind.columns(connection, text(command, "schema"), text(command, "table"))
    return {
        "columns": [
            (str(row.name), str(row.type), bool(row.nullable), _text(row.comment))
            for row in found.frame.head(MOST_COLUMNS).itertuples()
        ],
        "all": len(found.frame),
        "select": found.select,
    }


def _number(value: Any) -> int | None:
    import pandas as pd  # noqa: PLC0415 - at first use

    return None if pd.isna(value) else int(value)


def _text(value: Any) -> str:
    import pandas as pd  # noqa: PLC0415 - at first use

    return "" if pd.isna(value) else cut(str(value))
