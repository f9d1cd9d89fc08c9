"""The result of a query in the form that was asked for: a DataFrame, Arrow or polars, chunks, or a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from sspcloud_magics.databases import arrow
from sspcloud_magics.databases.chunks import Chunks
from sspcloud_magics.databases.column_names import FOR_POLARS, refuse_duplicates
from sspcloud_magics.databases.connection import Connection
from sspcloud_magics.databases.export import ReadParts, export_parts
from sspcloud_magics.databases.query_options import Output, QueryOptions
from sspcloud_magics.databases.query_result import QueryResult, attach_notes


def run_into(
    output: Output,
    connection: Connection,
    options: QueryOptions,
    *,
    run: Callable[[QueryOptions], QueryResult],
    parts: ReadParts,
    parts_of_file: ReadParts | None = None,
) -> Any:
    """Run a query, and return its result in the form that `output` names.

    Parameters
    ----------
    output, connection, options
        The form, the connection, and the options of the query.
    run, parts
        Run the query at once, and in parts.
    parts_of_file
        Runs it in parts for a file, if that differs.
    """
    if output.as_ == "polars":
        options = replace(options, on_columns=partial(refuse_duplicates, refusal=FOR_POLARS))
    if output.to is not None:
        return export_parts(
            connection, parts_of_file or parts, output.to, options, overwrite=output.overwrite
        )
    convert = arrow.converter(output.as_)
    if output.chunks is not None:
        read = parts(replace(options, progress=None), size=output.chunks)
        return Chunks(connection, read, output.chunks, convert)
    result = run(options)
    return result if result.frame is None else convert(attach_notes(result), result.types)
