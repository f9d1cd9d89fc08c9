"""MongoDB, behind the interface of a kind of database (`sspcloud_magics.databases.kinds`)."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from functools import partial
from typing import Any, NoReturn

from sspcloud_magics.databases.mongodb import query
from sspcloud_magics.databases.mongodb.catalogue import columns, describe_table, tables
from sspcloud_magics.databases.mongodb.connection import MongodbConnection
from sspcloud_magics.databases.output import run_into
from sspcloud_magics.databases.query_options import Output, QueryOptions
from sspcloud_magics.databases.query_result import Part, attach_notes
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import _

__all__ = [
    "columns",
    "describe_table",
    "dialect",
    "engine",
    "explain",
    "explains_in_text",
    "load_table",
    "native",
    "open_connection",
    "run",
    "tables",
]

open_connection = MongodbConnection.open
dialect = None
explains_in_text = False


def run(
    connection: MongodbConnection,
    sql: str | Mapping[str, Any],
    params: Mapping[str, Any] | None,
    options: QueryOptions,
    output: Output,
) -> Any:
    """Run a command, and return the result in the form that `output` names."""
    if output.from_ is not None:
        raise UsageProblem(
            _("--from reads the input of PostgreSQL's COPY, which MongoDB does not have."),
            hint=_('ssp.connection()["collection"].insert_many(df.to_dict("records"))   writes documents'),
        )
    return run_into(
        output,
        connection,
        options,
        run=partial(query.run, connection, sql, params),
        parts=partial(query.parts, connection, sql, params),
        parts_of_file=partial(_read_whole, connection, sql, params),
    )


def _read_whole(
    connection: MongodbConnection,
    text: str | Mapping[str, Any],
    params: Mapping[str, Any] | None,
    options: QueryOptions,
    *,
    size: int,
    most: int | None = None,
) -> Generator[Part, None, None]:
    """Yield the documents in one part: their common types, which a file needs, are known at the end."""
    del size, most
    result = query.run(connection, text, params, options)
    yield Part(attach_notes(result), result.types, result.notes)


def explain(sql: str) -> str:
    """Return the command that shows the plan of a command."""
    return f'{{"explain": {sql}}}'


def load_table(
    connection: MongodbConnection, frame: object, name: str, *_mode: Any, **_progress: Any
) -> NoReturn:
    """Refuse: PyMongo itself writes documents.

    Raises
    ------
    UsageProblem
        Always.
    """
    del frame
    raise UsageProblem(
        _("%load_table writes into a table, and {path} is MongoDB.", path=connection.database.path),
        hint=_('ssp.connection()["{name}"].insert_many(df.to_dict("records"))   writes documents', name=name),
    )


def native(connection: MongodbConnection) -> Any:
    """Return the database as PyMongo's object."""
    return connection.mongo


def engine(connection: MongodbConnection) -> NoReturn:
    """Refuse: SQLAlchemy speaks SQL.

    Raises
    ------
    UsageProblem
        Always.
    """
    raise UsageProblem(
        _("SQLAlchemy speaks SQL, and {path} is MongoDB.", path=connection.database.path),
        hint=_("ssp.connection()   is PyMongo's database"),
    )
