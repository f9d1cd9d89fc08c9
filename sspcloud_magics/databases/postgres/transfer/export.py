"""A query's rows straight into a file: Parquet or CSV, with a memory that does not grow with the rows.

Rows are written as they come, some ten thousand at a time, into a partial file beside the wanted one, which
takes its name once all are there. Whatever comes between (an interruption, an error, a full disk) removes the
partial file; what was there before stays.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from sspcloud_magics.databases.column_names import refuse_duplicates
from sspcloud_magics.databases.postgres import query
from sspcloud_magics.databases.postgres.session.connection import DatabaseConnection
from sspcloud_magics.databases.postgres.transfer import arrow
from sspcloud_magics.databases.query_options import DEFAULTS, QueryOptions
from sspcloud_magics.errors import FileNotWritten, UsageProblem
from sspcloud_magics.user_files import user_path

PART = 65_536
"""Rows that are written at a time; in Parquet one row group."""

PART_BYTES = 64 << 20
"""Wide rows are written sooner."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written.

    Parameters
    ----------
    file
        Where.
    rows, size
        How many rows, and how many bytes the file has.
    notes
        What a person should know of the values.
    """

    file: Path
    rows: int
    size: int
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return (
            f"{self.rows:,} row{'' if self.rows == 1 else 's'} in {self.file} ({self.size / 2**20:,.1f} MiB)"
        )


class _Writer(Protocol):
    def write(self, frame: pd.DataFrame, types: Sequence[int]) -> None: ...

    def close(self) -> None: ...


class _Parquet:
    def __init__(self, file: Path) -> None:
        self._parquet = arrow.import_optional("pyarrow.parquet", "arrow", "A Parquet file")
        self._file = file
        self._open: Any = None

    def write(self, frame: pd.DataFrame, types: Sequence[int]) -> None:
        table = arrow.arrow_table(frame, types)
        if self._open is None:
            self._open = self._parquet.ParquetWriter(self._file, table.schema, compression="zstd")
        self._open.write_table(table)

    def close(self) -> None:
        if self._open is not None:
            self._open.close()


class _Csv:
    def __init__(self, file: Path) -> None:
        self._open = file.open("x", encoding="utf-8", newline="")
        self._head = True

    def write(self, frame: pd.DataFrame, types: Sequence[int]) -> None:
        columns = dict(enumerate(arrow.plain(frame, types)))
        names = [str(name) for name in frame.columns]
        pd.DataFrame(columns).to_csv(self._open, index=False, header=names if self._head else False)
        self._head = False

    def close(self) -> None:
        self._open.close()


_WRITERS: dict[str, Callable[[Path], _Writer]] = {".parquet": _Parquet, ".csv": _Csv}


def export(
    connection: DatabaseConnection,
    sql: str,
    file: Path | str,
    params: Mapping[str, object] | None = None,
    options: QueryOptions = DEFAULTS,
    *,
    overwrite: bool = False,
) -> Exported:
    """Write the rows of one query into a file, as its ending says: ``.parquet`` or ``.csv``.

    Raises
    ------
    UsageProblem
        If the file exists, its ending is another, `sql` is no single query, or two columns have one name.
    FileNotWritten
        If the file cannot be written, such as on a full disk.
    """
    file = user_path(file)
    make = _WRITERS.get(file.suffix.lower())
    if make is None:
        raise UsageProblem(f"{file.name} ends neither in .parquet nor in .csv.", hint="--to rows.parquet")
    options = replace(options, json_text=True, on_columns=partial(refuse_duplicates, holder="a file"))
    parts = query.parts(connection, sql, params, options, size=PART, most=PART_BYTES)
    rows = 0
    notes: tuple[str, ...] = ()
    with replace_atomically(file, overwrite=overwrite) as unfinished, connection.turn:
        writer = make(unfinished)
        try:
            for part in parts:
                refuse_duplicates(
                    part.frame.columns, "a file"
                )  # the table may have changed since it was described
                writer.write(part.frame, part.types)
                rows, notes = rows + len(part.frame), part.notes
        finally:
            parts.close()
            writer.close()
    return Exported(file, rows, file.stat().st_size, notes)


@contextmanager
def replace_atomically(file: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a partial file beside the wanted one, which takes its place at the end and goes after any error.

    Raises
    ------
    UsageProblem
        If it is there and may not be replaced.
    FileNotWritten
        If it cannot be written, such as on a full disk.
    """
    if file.exists() and not overwrite:
        raise UsageProblem(f"{file} exists.", hint="name another file, or replace it with --overwrite")
    unfinished = file.with_name(f".{file.name}.{secrets.token_hex(4)}.partial")
    try:
        try:
            yield unfinished
            os.replace(unfinished, file)  # noqa: PTH105 - it replaces on every system
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        why = _FULL.get(error.errno or 0, error.strerror or str(error))
        raise FileNotWritten(
            f"{file} could not be written, and no part of it is left.",
            why=why,
            hint="write to another place, or fetch fewer rows or columns",
        ) from None


_FULL = {
    errno.ENOSPC: "The disk is full.",
    errno.EDQUOT: "Your quota of the disk is used up.",
    errno.EFBIG: "The file would be larger than is allowed here.",
}
