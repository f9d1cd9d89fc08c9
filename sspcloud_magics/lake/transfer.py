"""Rows of a database into S3, and files and objects into a table: in parts, with constant memory.

An object appears under its name when it is complete: DuckDB writes it as a multipart upload, which an error or an
interruption ends without a result.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sspcloud_magics.databases.arrow import import_optional
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import _
from sspcloud_magics.lake.attachment import literal
from sspcloud_magics.lake.query import Written, copy_options, explain, is_s3, refuse_existing
from sspcloud_magics.user_files import user_path

if TYPE_CHECKING:
    from sspcloud_magics.databases.chunks import Chunks
    from sspcloud_magics.databases.query_options import Progress
    from sspcloud_magics.lake.instance import Instance

ROWS = 65_536
"""The number of rows in a part; in Parquet, DuckDB makes row groups of twice that."""

# Parts that wait while DuckDB writes; more would only take memory.
_WAITING = 2
_READERS = {".parquet": "read_parquet", ".csv": "read_csv"}


def upload(
    instance: Instance,
    parts: Chunks,
    place: str,
    *,
    overwrite: bool = False,
    partition_by: Sequence[str] = (),
    progress: Progress | None = None,
) -> Written:
    """Write Arrow tables of the same schema into an object, or into objects below a prefix.

    Parameters
    ----------
    instance
        The DuckDB instance, with access to S3.
    parts
        The tables, which are read in the caller's thread, and closed at the end.
    place
        The address: ``s3://bucket/name.parquet`` or ``.csv``.
    overwrite
        Whether existing objects may be replaced.
    partition_by
        The columns by whose values rows are divided; `place` is a prefix then.
    progress
        Called with the rows, bytes (0: they are not counted) and seconds so far.

    Raises
    ------
    UsageProblem
        If the object exists, or has another suffix.
    QueryFailed, LoginRefused
        If S3 refuses.
    """
    copied = copy_options(place, partition_by, overwrite=overwrite)
    rows, began = 0, time.perf_counter()
    with closing(parts):
        writer = _Writer(instance, f"TO {literal(place)} ({copied})")
        writer.check(place, overwrite=overwrite, is_prefix=bool(partition_by))
        with writer:
            for part in parts:
                writer.put(part)
                rows += len(part)
                if progress is not None:
                    progress(rows, 0, time.perf_counter() - began)
    return Written(place, rows)


# Seconds that a broken upload gets to end.
_PATIENCE = 5.0


class _Broken(Exception):
    """The rows have ended early."""


class _Writer:
    """DuckDB's COPY of parts that are put one after the other: it runs in a thread, and reads them from a queue.

    An exception in the block ends the COPY with an error instead of the next rows, so that no object appears.

    Parameters
    ----------
    instance
        The DuckDB instance.
    target
        The end of the COPY statement.
    """

    def __init__(self, instance: Instance, target: str) -> None:
        self._instance = instance
        self._target = target
        self._cursor = instance.duck.cursor()
        # Parts that DuckDB has not read yet; None ends them.
        self._waiting: queue.Queue[Any] = queue.Queue(_WAITING)
        self._ended = threading.Event()
        # The error of the COPY, set by its thread.
        self._failure: BaseException | None = None
        # Runs the COPY; None until the first part, which has the schema.
        self._thread: threading.Thread | None = None

    def check(self, place: str, *, overwrite: bool, is_prefix: bool) -> None:
        """Refuse to replace objects."""
        import duckdb  # noqa: PLC0415 - optional

        try:
            refuse_existing(self._cursor, place, overwrite=overwrite, is_prefix=is_prefix)
        except duckdb.Error as error:
            raise explain(error, self._instance) from None

    def put(self, part: Any) -> None:
        """Hand over an Arrow table; raise the COPY's error if it has failed."""
        if self._thread is None:
            arrow = import_optional("pyarrow", "arrow", _("An Arrow table"))
            self._cursor.register(
                "__sspcloud_rows", arrow.RecordBatchReader.from_batches(part.schema, self._take())
            )
            self._thread = threading.Thread(target=self._write, name="duckdb-upload", daemon=True)
            self._thread.start()
        self._put(part)
        if self._failure is not None:
            raise explain(self._failure, self._instance) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_details: object) -> None:
        if self._thread is None:
            return
        if kind is not None:
            self._cursor.interrupt()
            self._put(_Broken())
            self._ended.wait(_PATIENCE)
            return
        self._put(None)
        self._ended.wait()
        if self._failure is not None:
            raise explain(self._failure, self._instance) from None

    def _put(self, part: Any) -> None:
        while not self._ended.is_set():
            with suppress(queue.Full):
                self._waiting.put(part, timeout=0.2)
                return

    def _take(self) -> Iterator[Any]:
        while (part := self._waiting.get()) is not None:
            if isinstance(part, _Broken):
                raise part
            yield from part.to_batches()

    def _write(self) -> None:
        try:
            self._cursor.execute(f"COPY (SELECT * FROM __sspcloud_rows) {self._target}")  # noqa: S608 - quoted by us
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self._failure = error
        finally:
            self._ended.set()


def read_file(instance: Instance, place: str) -> Iterator[Any]:
    """Yield the rows of a Parquet or CSV file, local or in S3, as Arrow tables.

    Raises
    ------
    UsageProblem
        If the suffix is another, or a local file does not exist.
    QueryFailed, LoginRefused
        If DuckDB cannot read it, or S3 refuses.
    """
    arrow = import_optional("pyarrow", "arrow", _("An Arrow table"))
    function = _READERS.get(Path(place).suffix.lower())
    if function is None:
        raise UsageProblem(
            _("{place} ends neither in .parquet nor in .csv.", place=place),
            hint=_("%load_table takes a DataFrame, or a .parquet or .csv file"),
        )
    if not is_s3(place):
        file = user_path(place)
        if "*" not in place and not file.exists():
            raise UsageProblem(_("{file} does not exist.", file=file), hint=_("check the path"))
        place = str(file)
    duckdb = import_optional("duckdb", "duckdb", _("A file as a table"))
    cursor = instance.duck.cursor()
    try:
        found = cursor.execute(f"SELECT * FROM {function}($1)", [place])  # noqa: S608 - one of two names
        reader = found.to_arrow_reader(ROWS)
        # Without rows the table still gets its columns.
        yield arrow.Table.from_batches([], schema=reader.schema)
        for batch in reader:
            yield arrow.Table.from_batches([batch])
    except duckdb.Error as error:
        raise explain(error, instance) from None
