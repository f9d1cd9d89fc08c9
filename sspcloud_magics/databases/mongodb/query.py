"""Commands of MongoDB, with a DataFrame as their result."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from bson.errors import InvalidDocument
from pymongo.errors import PyMongoError

from sspcloud_magics.databases.mongodb import errors
from sspcloud_magics.databases.mongodb.command import make_command
from sspcloud_magics.databases.mongodb.connection import CODEC, MongodbConnection
from sspcloud_magics.databases.mongodb.documents import make_frame
from sspcloud_magics.databases.query_options import DEFAULTS, QueryOptions
from sspcloud_magics.databases.query_result import Part, QueryResult, StatementResult
from sspcloud_magics.errors import QueryFailed, UsageProblem
from sspcloud_magics.i18n import _, _n, quote_words
from sspcloud_magics.printable import shorten

_CURSORS = frozenset({"find", "aggregate", "listCollections", "listIndexes"})
"""The commands whose reply is a cursor."""

_TIMED = frozenset({"find", "aggregate", "count", "distinct"})
# Parts of a reply that are about the cluster, not about the command.
_ABOUT_THE_CLUSTER = frozenset({"ok", "operationTime", "$clusterTime", "electionId", "opTime"})
_BATCH = 10_000

_Reply = TypeVar("_Reply")


def run(
    connection: MongodbConnection,
    text: str | Mapping[str, Any],
    params: Mapping[str, object] | None = None,
    options: QueryOptions = DEFAULTS,
) -> QueryResult:
    """Run a command, and return its documents with notes.

    `text` is the command document, as text with ``:name`` for values or as a dict. The other parameters and the
    exceptions are those of `postgres.query.run`.
    """
    command = _prepare(text, params, options)
    name = next(iter(command))
    began = time.perf_counter()
    notes: list[str] = []
    with connection.turn, translate(connection, options):
        if name not in _CURSORS:
            reply = _send(connection.mongo.command, command)
            found = [{key: value for key, value in reply.items() if key not in _ABOUT_THE_CLUSTER}]
            if "values" in found[0]:  # of distinct
                found = [{"value": value} for value in found[0]["values"]]
        else:
            found = []
            for batch in _read(connection, command, options):
                found += batch
            if options.limit is not None and len(found) > options.limit:
                del found[options.limit :]
                notes.append(
                    _n(
                        "The first {count} row; there are more.",
                        "The first {count} rows; there are more.",
                        options.limit,
                    )
                )
    frame, types = make_frame(found, options)
    if options.on_columns is not None:
        options.on_columns([str(column) for column in frame.columns])
    done = (StatementResult(name, len(found)),)
    return QueryResult(frame, done, tuple(notes), time.perf_counter() - began, types)


def parts(
    connection: MongodbConnection,
    text: str | Mapping[str, Any],
    params: Mapping[str, object] | None,
    options: QueryOptions,
    *,
    size: int,
    most: int | None = None,  # noqa: ARG001 - of the interface; batches are small
) -> Generator[Part, None, None]:
    """Run one command that returns documents, and yield them in parts as they arrive; at least one part.

    The dtypes of a part follow from its own values.

    Raises
    ------
    UsageProblem
        If the command returns no documents. The other exceptions are those of `run`.
    """
    command = _prepare(text, params, options)
    if next(iter(command)) not in _CURSORS:
        raise UsageProblem(
            _("Only find and aggregate can be exported or chunked."),
            hint=_('write {"find": …} or {"aggregate": …}'),
        )
    waiting: list[dict[str, Any]] = []
    is_first = True
    with translate(connection, options):
        for batch in _read(connection, command, options):
            waiting += batch
            if len(waiting) >= size:
                yield Part(*make_frame(waiting, options))
                waiting, is_first = [], False
    if waiting or is_first:
        yield Part(*make_frame(waiting, options))


def _prepare(
    text: str | Mapping[str, Any], params: Mapping[str, object] | None, options: QueryOptions
) -> dict[str, Any]:
    command = make_command(text, params)
    name = next(iter(command), "")
    if name == "aggregate":
        command.setdefault("cursor", {})
    if options.timeout is not None and name in _TIMED:
        command.setdefault("maxTimeMS", max(1, round(options.timeout * 1000)))
    return command


def _read(
    connection: MongodbConnection, command: dict[str, Any], options: QueryOptions
) -> Iterator[list[dict[str, Any]]]:
    """Yield the documents of a command in batches, at most one more than the limit."""
    began = time.perf_counter()
    rows = 0
    # The end of the block closes the cursor on the server, also after an interruption.
    with _send(connection.mongo.cursor_command, command, codec_options=CODEC) as cursor:
        documents = cursor if options.limit is None else islice(cursor, options.limit + 1)
        while batch := list(islice(documents, _BATCH)):
            rows += len(batch)
            if options.progress is not None:
                options.progress(rows, 0, time.perf_counter() - began)
            yield batch


def _send(call: Callable[..., _Reply], command: Mapping[str, Any], **options: Any) -> _Reply:
    try:
        return call(command, **options)
    except (TypeError, InvalidDocument) as error:
        # Such as one document instead of a list, or a null character in a name.
        raise QueryFailed(
            _("PyMongo cannot send this command."),
            why=quote_words(shorten(str(error))),
            hint=_(
                'check it: documents, updates and deletes are lists, {"insert": "COLLECTION", "documents": [{…}]}'
            ),
        ) from None


@contextmanager
def translate(connection: MongodbConnection, options: QueryOptions) -> Iterator[None]:
    """Convert PyMongo's errors into this package's."""
    try:
        yield
    except PyMongoError as error:
        raise errors.make_error(error, place=connection.database.path, timeout=options.timeout) from None
