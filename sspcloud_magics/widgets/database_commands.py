"""Commands for databases: connect, list tables and columns, and share with a preview."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sspcloud_magics import session
from sspcloud_magics.widgets.command_args import Command, names, text, words
from sspcloud_magics.widgets.protocol import Columns, Note, OpenSessions, Preview, ShareResult, Tables
from sspcloud_magics.widgets.snapshots import cut

if TYPE_CHECKING:
    from sspcloud_magics.sharing.mariadb import MariadbPlan
    from sspcloud_magics.sharing.plan import SharePlan

MOST_TABLES = 200
MOST_COLUMNS = 200
LONGEST_DOCUMENT = 200_000
"""Characters of a preview's SQL and YAML: Jupyter Server drops messages above 1 MB a second."""


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


def list_schemas(command: Command) -> list[str]:
    """Return the schemas of your database that you can share."""
    return session.shareable_schemas(text(command, "database"))


def preview_share(command: Command) -> Preview:
    """Return the preview of a share, without creating anything."""
    plan: SharePlan | MariadbPlan = session.preview_share(**_share_arguments(command))
    return {
        "colleagues": [share.colleague.name for share in plan.shares],
        "roles": [share.role for share in plan.shares],
        "read_write": plan.shares[0].privileges.read_write,
        "schemas": list(plan.shares[0].privileges.schemas),
        "every": list(plan.schemas),
        "until": int(plan.shares[0].until.timestamp()),
        "objects": ["Job", "Secret", "Role", "RoleBinding"],
        "notes": _notes(plan.notes),
        "sql": plan.sql()[:LONGEST_DOCUMENT],
        "yaml": plan.yaml()[:LONGEST_DOCUMENT],
    }


def share(command: Command) -> ShareResult:
    """Share a database, and return the line to send to the colleagues."""
    result: Any = session.share_db(**_share_arguments(command))
    return {
        "line": result.line,
        "colleagues": [each.colleague.name for each in result.shares],
        "until": int(result.shares[0].until.timestamp()),
        "notes": _notes(result.notes),
    }


def _notes(notes: Iterable[str]) -> list[Note]:
    from sspcloud_magics.sharing.rendering import Risk, sort_notes  # noqa: PLC0415 - at first use

    return [{"text": str(note), "is_danger": isinstance(note, Risk)} for note in sort_notes(notes)]


def _share_arguments(command: Command) -> dict[str, Any]:
    return {
        "name": text(command, "database"),
        "colleagues": words(command, "colleagues"),
        "read_write": command.get("write") is True,
        "schemas": names(command, "schemas"),
        "duration": text(command, "duration"),
    }


def revoke(command: Command) -> None:
    """Revoke a share."""
    session.unshare(text(command, "database"), text(command, "colleague"))


def revoke_all(command: Command) -> None:
    """Revoke all shares of a database."""
    session.unshare(text(command, "database"), all_colleagues=True)


def list_sessions(_command: Command) -> dict[str, OpenSessions]:
    """Return the number of open sessions of each colleague, and the start of the first, by database and colleague."""
    import pandas as pd  # noqa: PLC0415 - at first use

    listed = session.shares()
    return {
        f"{database}/{colleague}": (int(count), None if pd.isna(since) else int(since.timestamp()))
        for database, colleague, count, since in zip(
            *(listed[column] for column in ("database", "colleague", "sessions", "since")), strict=True
        )
        if not pd.isna(count)
    }


def _number(value: Any) -> int | None:
    import pandas as pd  # noqa: PLC0415 - at first use

    return None if pd.isna(value) else int(value)


def _text(value: Any) -> str:
    import pandas as pd  # noqa: PLC0415 - at first use

    return "" if pd.isna(value) else cut(str(value))
