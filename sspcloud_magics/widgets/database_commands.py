"""Orders about databases: connecting, what is in them, and sharing them, with a preview first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sspcloud_magics import session
from sspcloud_magics.widgets.command_args import Order, names, text, words
from sspcloud_magics.widgets.snapshots import cut

if TYPE_CHECKING:
    from sspcloud_magics.sharing.plan import SharePlan

MOST_TABLES = 200
MOST_COLUMNS = 200


def connect(order: Order) -> None:
    """Connect to a database, and make it the one that queries ask."""
    session.connect_db(text(order, "database"))


def tables(order: Order) -> dict[str, Any]:
    """Return the tables of a database, which is connected to where it is not yet."""
    from sspcloud_magics.databases.postgres import catalogue  # noqa: PLC0415 - at first use

    with session.open_side_session(text(order, "database")) as connection:
        found = catalogue.tables(connection)
    return {
        "tables": [
            [
                row.schema,
                row.name,
                row.kind,
                _number(row.rows_about),
                _number(row.bytes),
                _text(row.comment),
                "" if row.owner == connection.user else row.owner,
            ]
            for row in found.head(MOST_TABLES).itertuples()
        ],
        "all": len(found),
    }


def columns(order: Order) -> dict[str, Any]:
    """Return the columns of a table, and a SELECT of them."""
    from sspcloud_magics.databases.postgres import catalogue  # noqa: PLC0415 - at first use

    with session.open_side_session(text(order, "database")) as connection:
        found = catalogue.columns(connection, text(order, "schema"), text(order, "table"))
    return {
        "columns": [
            [row.name, row.type, bool(row.nullable), _text(row.comment)]
            for row in found.frame.head(MOST_COLUMNS).itertuples()
        ],
        "all": len(found.frame),
        "select": found.select,
    }


def schemas(order: Order) -> list[str]:
    """Return the schemas of a database of one's own that can be shared."""
    return session.shareable_schemas(text(order, "database"))


def plan_share(order: Order) -> dict[str, Any]:
    """Return what sharing would make; nothing is made."""
    plan: SharePlan = session.preview_share(**_wish(order))
    return {
        "colleagues": [share.colleague.name for share in plan.shares],
        "roles": [share.role for share in plan.shares],
        "read_write": plan.shares[0].privileges.read_write,
        "schemas": list(plan.shares[0].privileges.schemas),
        "every": list(plan.schemas),
        "until": int(plan.shares[0].until.timestamp()),
        "objects": ["Job", "Secret", "Role", "RoleBinding"],
        "notes": list(plan.notes),
        "sql": plan.sql(),
        "yaml": plan.yaml(),
    }


def share(order: Order) -> dict[str, Any]:
    """Share a database, and return the line to send to the colleagues."""
    opened: Any = session.share_db(**_wish(order))
    return {
        "line": opened.line,
        "colleagues": [each.colleague.name for each in opened.shares],
        "until": int(opened.shares[0].until.timestamp()),
        "notes": list(opened.notes),
    }


def _wish(order: Order) -> dict[str, Any]:
    return {
        "name": text(order, "database"),
        "colleagues": words(order, "colleagues"),
        "read_write": order.get("write") is True,
        "schemas": names(order, "schemas"),
        "duration": text(order, "lasts"),
    }


def revoke(order: Order) -> None:
    """Take a share back."""
    session.unshare(text(order, "database"), text(order, "colleague"))


def sessions(_order: Order) -> dict[str, tuple[int, int | None]]:
    """Return how many sessions each colleague has open and since when, by database and colleague."""
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
