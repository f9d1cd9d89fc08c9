"""Export of a query's rows to Parquet, CSV or another place, in constant memory.

Rows are written as they arrive, tens of thousands at a time, into a partial file next to the target, which replaces the
target at the end. An interruption, an error or a full disk removes the partial file and leaves the target unchanged.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from sspcloud_magics.databases import arrow
from sspcloud_magics.databases.column_names import FOR_A_FILE, refuse_duplicates
from sspcloud_magics.databases.connection import Connection
from sspcloud_magics.databases.query_options import Destination, QueryOptions
from sspcloud_magics.databases.query_result import Part
from sspcloud_magics.errors import FileNotWritten, UsageProblem
from sspcloud_magics.i18n import N_, _, _n, format_bytes
from sspcloud_magics.i18n.system_reasons import system_reason
from sspcloud_magics.user_files import user_path

PART = 65_536
"""The number of rows to write at a time; in Parquet, a row group."""

PART_BYTES = 64 << 20
"""The number of bytes after which fewer rows are written."""


@dataclass(frozen=True, slots=True)
class Exported:
    """The result of an export."""

    file: Path | str  # the file, or the address of the object
    # The number of rows, and their size in bytes.
    rows: int
    size: int
    notes: tuple[str, ...] = ()  # notes on the values

    def __repr__(self) -> str:
        return _n(
            "{count} row in {file} ({size})",
            "{count} rows in {file} ({size})",
            self.rows,
            file=self.file,
            size=format_bytes(self.size),
        )


class Sink(Protocol):
    """A file, or an object that is being written."""

    def write(self, data: bytes, /) -> int:
        """Append bytes."""


class _Writer(Protocol):
    def write(self, frame: pd.DataFrame, types: Sequence[int]) -> None: ...

    def close(self) -> None: ...


class _Parquet:
    def __init__(self, file: Sink) -> None:
        self._parquet = arrow.import_optional("pyarrow.parquet", "arrow", _("A Parquet file"))
        self._file = file
        # The writer of the file; None until the first part shows the columns.
        self._open: Any = None

    def write(self, frame: pd.DataFrame, types: Sequence[int]) -> None:
        table = arrow.arrow_table(frame, types)
        if self._open is None:
            self._open = self._parquet.ParquetWriter(self._file, table.schema, compression="zstd")
        elif not table.schema.equals(self._open.schema, check_metadata=True):
            raise UsageProblem(
                _("The geometries have several SRIDs, or types that cannot be read."),
                why=_("A column of a file has one CRS."),
                hint=_(
                    "convert them in the query, such as ST_Transform(geom, 2154), or ST_CurveToLine(geom)"
                ),
            )
        self._open.write_table(table)

    def close(self) -> None:
        if self._open is not None:
            self._open.close()


class _Csv:
    def __init__(self, file: Sink) -> None:
        self._file = file
        # Whether the names of the columns are still to be written.
        self._head = True

    def write(self, frame: pd.DataFrame, types: Sequence[int]) -> None:
        columns = dict(enumerate(arrow.to_plain_columns(frame, types)))
        for index, oid in enumerate(types):
            if oid == arrow.BYTES:  # else Python's notation
                columns[index] = columns[index].map(lambda value: f"\\x{value.hex()}", na_action="ignore")
        names = [str(name) for name in frame.columns]
        text = pd.DataFrame(columns).to_csv(index=False, header=names if self._head else False)
        self._file.write(text.encode())
        self._head = False

    def close(self) -> None:
        pass


_WRITERS: dict[str, Callable[[Sink], _Writer]] = {".parquet": _Parquet, ".csv": _Csv}


class ReadParts(Protocol):
    """Function that runs one query, and yields its rows in parts."""

    def __call__(
        self, options: QueryOptions, *, size: int, most: int | None = None
    ) -> Generator[Part, None, None]:
        """Yield parts of at least `size` rows, or of `most` bytes."""


def export_parts(
    connection: Connection,
    read: ReadParts,
    to: Path | str | Destination,
    options: QueryOptions,
    *,
    overwrite: bool = False,
) -> Exported:
    """Write the rows of one query into a file, in the format of its suffix (``.parquet`` or ``.csv``), or to another place.

    Raises
    ------
    UsageProblem
        If the file exists, the suffix is another, or two columns have the same name.
    FileNotWritten
        If the file cannot be written, such as on a full disk.
    """
    options = replace(options, json_text=True, on_columns=partial(refuse_duplicates, refusal=FOR_A_FILE))
    if not isinstance(to, str | Path):
        to.check()
        with connection.turn:
            written: Exported = to.write(read(options, size=PART, most=PART_BYTES))
        return written
    file = user_path(to)
    make = find_writer(file.name)
    parts = read(options, size=PART, most=PART_BYTES)
    with (
        replace_atomically(file, overwrite=overwrite) as unfinished,
        connection.turn,
        unfinished.open("xb") as opened,
    ):
        rows, notes = write_parts(parts, make(opened))
    return Exported(file, rows, file.stat().st_size, notes)


def find_writer(name: str) -> Callable[[Sink], _Writer]:
    """Return what writes the format of a name's suffix, as `find_suffix`."""
    return _WRITERS[find_suffix(name)]


def find_suffix(name: str) -> str:
    """Return the suffix of a name, which tells the format.

    Raises
    ------
    UsageProblem
        If nothing writes that format.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in _WRITERS:
        raise UsageProblem(
            _("{name} ends neither in .parquet nor in .csv.", name=name),
            hint=_("use --to rows.parquet, or --to s3://bucket/rows.parquet"),
        )
    return suffix


def write_parts(parts: Generator[Part, None, None], writer: _Writer) -> tuple[int, tuple[str, ...]]:
    """Write parts, close both, and return the number of rows and the notes on them.

    A thread that encodes a part while the next one is decoded was measured: both need Python's lock, and it gains nothing.
    """
    rows = 0
    notes: tuple[str, ...] = ()
    try:
        with closing(parts):
            for part in parts:
                # The table may have changed since it was described.
                refuse_duplicates(part.frame.columns, FOR_A_FILE)
                writer.write(part.frame, part.types)
                rows, notes = rows + len(part.frame), part.notes
    finally:
        writer.close()
    return rows, notes


@contextmanager
def replace_atomically(file: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield the path of a partial file next to `file`, which replaces it at the end; an error removes it.

    Raises
    ------
    UsageProblem
        If the file exists and may not be replaced.
    FileNotWritten
        If it cannot be written, such as on a full disk.
    """
    if file.exists() and not overwrite:
        raise UsageProblem(
            _("{file} exists.", file=file), hint=_("choose another file, or replace it with --overwrite")
        )
    unfinished = file.with_name(f".{file.name}.{secrets.token_hex(4)}.partial")
    try:
        try:
            yield unfinished
            os.replace(unfinished, file)  # noqa: PTH105 - it replaces on every system
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        known = _REASONS.get(error.errno or 0)
        why = _(known) if known else system_reason(error)
        raise FileNotWritten(
            _("{file} could not be written, and no partial file is left.", file=file),
            why=why,
            hint=_("write to another place, or fetch fewer rows or columns"),
        ) from None


_REASONS = {
    errno.ENOSPC: N_("The disk is full."),
    errno.EDQUOT: N_("Your disk quota is exceeded."),
    errno.EFBIG: N_("The file would exceed the maximum file size."),
}
