"""Rows of a database into S3, and files and objects into a table: in parts, with constant memory."""

from __future__ import annotations

import base64
import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sspcloud_magics.databases.arrow import arrow_table, import_optional
from sspcloud_magics.databases.export import Exported, find_writer, write_parts
from sspcloud_magics.databases.query_result import Part
from sspcloud_magics.errors import UsageProblem
from sspcloud_magics.i18n import _
from sspcloud_magics.lake.query import explain
from sspcloud_magics.lake.s3_target import S3Target, is_s3
from sspcloud_magics.user_files import user_path

if TYPE_CHECKING:
    from sspcloud_magics.lake.instance import Instance

_ROWS = 65_536  # of a file, read at a time
# Parts that wait while DuckDB writes; more would only take memory.
_WAITING = 1
_READERS = {".parquet": "read_parquet", ".csv": "read_csv"}


@dataclass(frozen=True, slots=True)
class S3Destination:
    """An address in S3 for the rows of a database.

    Parameters
    ----------
    instance
        The DuckDB instance, with access to S3.
    target
        The address.
    """

    instance: Instance
    target: S3Target

    def check(self) -> None:
        """Refuse to replace objects, before the query runs.

        Raises
        ------
        UsageProblem
            If an object exists, or the address has another suffix.
        QueryFailed, LoginRefused
            If S3 refuses.
        """
        import duckdb  # noqa: PLC0415 - optional

        try:
            self.target.check(self.instance)
        except duckdb.Error as error:
            raise explain(error, self.instance) from None

    def write(self, parts: Generator[Part, None, None]) -> Exported:
        """Write the rows, which are read in the caller's thread; objects appear when all are written.

        Raises
        ------
        QueryFailed, LoginRefused
            If S3 refuses.
        """
        target = self.target
        with target.replace_objects(self.instance) as (batch, to):
            if target.partition_by:
                rows, notes = self._divide(parts, to)
            else:
                opened = batch.begin(target.place.removeprefix("s3://"))
                rows, notes = write_parts(parts, find_writer(target.place)(opened))
                opened.close()
        return Exported(target.place, rows, batch.size, notes)

    def _divide(self, parts: Generator[Part, None, None], to: str) -> tuple[int, tuple[str, ...]]:
        """Let DuckDB divide the rows by the values of columns."""
        rows = 0
        notes: tuple[str, ...] = ()
        with closing(parts), _Writer(self.instance, to) as writer:
            for part in parts:
                writer.put(arrow_table(part.frame, part.types))
                rows, notes = rows + len(part.frame), part.notes
        return rows, notes


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
        reader = found.to_arrow_reader(_ROWS)
        schema = _restore_durations(instance, place, reader.schema)
        # Without rows the table still gets its columns.
        yield arrow.Table.from_batches([], schema=schema)
        for batch in reader:
            yield arrow.Table.from_batches([batch]).cast(schema)
    except duckdb.Error as error:
        raise explain(error, instance) from None


def _restore_durations(instance: Instance, place: str, schema: Any) -> Any:
    """Return the schema with Arrow's durations, which Parquet has as plain numbers and Arrow's own note on their type."""
    if Path(place).suffix.lower() != ".parquet":
        return schema
    arrow = import_optional("pyarrow", "arrow", _("An Arrow table"))
    found = (
        instance.duck.cursor()
        .execute("SELECT value FROM parquet_kv_metadata($1) WHERE key = 'ARROW:schema'::BLOB", [place])
        .fetchone()
    )
    written = arrow.ipc.read_schema(arrow.py_buffer(base64.b64decode(found[0]))) if found else ()
    for field in written:
        index = schema.get_field_index(field.name)
        if index >= 0 and arrow.types.is_duration(field.type):
            schema = schema.set(index, field)
    return schema
